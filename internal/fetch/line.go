package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"time"
)

// Line is the way to one server, over connections that are kept. Its fields are set before
// the first request.
type Line struct {
	// Dial opens a connection. It is required.
	Dial func(ctx context.Context) (net.Conn, error)
	// MaxHeader bounds the header of an answer, in bytes, interim answers included. Zero
	// means 256 KiB.
	MaxHeader int64
	// MaxIdle is how many connections are kept that nobody uses. Zero keeps none.
	MaxIdle int
	// IdleTimeout is how long such a connection is kept. Zero means 90 s.
	IdleTimeout time.Duration

	mu      sync.Mutex // guards what follows
	idle    []*conn    // the one that was used last comes last
	sweeper *time.Timer
	era     int // how often CloseIdle was called
}

// Progress is how far a request came.
type Progress struct {
	// Asked says that a connection was looked for, Connected that there was one, Wrote that
	// the request was written to it, Stuck that the server did not take all of it, and
	// Answered that a byte of the answer came.
	Asked, Connected, Wrote, Stuck, Answered bool
	// Before says that the request was written to a connection before the one of Connected,
	// which turned out to be closed.
	Before bool
}

// ErrNotTaken reports a request that cannot be written as it is. Nothing of it was sent, and
// http.Transport may be asked instead.
var ErrNotTaken = errors.New("this request has something that is not written here")

var errTooLong = errors.New("the header of the answer is too long")

// TimeoutError reports that the header of an answer did not come in time. It implements
// net.Error.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("waited %v for the header of the answer", e.After)
}

// Timeout and Temporary implement net.Error.
func (*TimeoutError) Timeout() bool   { return true }
func (*TimeoutError) Temporary() bool { return true }

// Do sends a request that is one of Takes, and returns once the header of the answer is there.
// Interim answers go to the httptrace.ClientTrace of the request, which hears of nothing else.
// The body of the answer has to be read to its end, for the connection to be kept, or closed.
//
// Header bounds the wait for the header of the answer, from when the request was written; zero
// does not. The server has as long to take the request.
//
// A kept connection that turns out to be closed before a byte of the answer came is made up
// for by a new one: GET and HEAD may be sent twice (RFC 9110 section 9.2.2).
//
// The errors are ErrNotTaken, a *TimeoutError, that of the context, those of Dial, and what
// became of the connection.
func (l *Line) Do(req *http.Request, header time.Duration) (*http.Response, Progress, error) {
	h := heads.Get().(*head)
	defer h.free()
	if !Takes(req) || !h.write(req) {
		return nil, Progress{}, ErrNotTaken
	}
	ctx, p := req.Context(), Progress{Asked: true}
	for c := l.take(); c != nil; c = l.take() {
		res, err := l.exchange(ctx, c, h, req, header, &p)
		if errors.Is(err, errHungUp) {
			p = Progress{Asked: true}
			continue
		}
		if err == nil || p.Answered || ctx.Err() != nil || isTimeout(err) {
			return res, p, err
		}
		p = Progress{Asked: true, Before: p.Wrote}
		break
	}
	c, err := l.dial(ctx)
	if err != nil {
		return nil, p, err
	}
	res, err := l.exchange(ctx, c, h, req, header, &p)
	return res, p, err
}

func (l *Line) dial(ctx context.Context) (*conn, error) {
	l.mu.Lock()
	era := l.era
	l.mu.Unlock()
	nc, err := l.Dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return newConn(nc, era)
}

// exchange sends h on c and reads what comes. C is the answer's after it, or closed.
func (l *Line) exchange(ctx context.Context, c *conn, h *head, req *http.Request, header time.Duration, p *Progress) (*http.Response, error) {
	p.Connected = true
	stop := context.AfterFunc(ctx, c.hangUp)
	res, err := l.ask(c, h, req, header, p)
	if err != nil {
		stop()
		c.hangUp()
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case isTimeout(err):
			err = &TimeoutError{header}
		}
		return nil, err
	}
	b := &body{ReadCloser: res.Body, line: l, ctx: ctx, stop: stop, keep: !res.Close && res.StatusCode >= 200}
	b.conn.Store(c)
	if res.Body == http.NoBody {
		b.end(nil)
		return res, nil
	}
	if res.ContentLength < 0 || res.ContentLength > int64(c.in.Buffered()) {
		c.unbound() // a body may take as long as it likes
	}
	res.Body = b
	return res, nil
}

func (l *Line) ask(c *conn, h *head, req *http.Request, header time.Duration, p *Progress) (*http.Response, error) {
	if err := c.bound(header); err != nil {
		return nil, err
	}
	if c.left = l.MaxHeader; c.left == 0 {
		c.left = 256 << 10
	}
	c.ask = h.bytes
	_, err := c.in.Peek(1)
	p.Wrote = c.turn.at != hungUp // some of it, where it fails
	if err != nil {
		if c.turn.at == writing {
			p.Stuck = true
			return nil, fmt.Errorf("writing the request: %w", c.broke)
		}
		return nil, c.readError(err)
	}
	p.Answered = true
	for {
		res, err := http.ReadResponse(c.in, req)
		if err != nil {
			return nil, c.readError(err)
		}
		switch {
		case res.StatusCode < 100:
			return nil, fmt.Errorf("reading the answer: %s is no status", res.Status)
		case res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols:
			c.left = unlimited
			return res, nil
		}
		if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
				return nil, err
			}
		}
	}
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
