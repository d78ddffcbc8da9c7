package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/evergate/evergate/internal/fetch"
)

// A request goes to another target where nobody can have acted on it: there was
// no connection, and nobody has read of its body. Where there was one and it
// closed before the first byte of an answer, nobody knows; a request is then sent
// again only if doing it twice is doing it once (RFC 9110 section 9.2.2).

// attempt follows one request at one target, and tells what its error is about.
type attempt struct {
	asked     atomic.Bool // the transport looked for a connection
	connected atomic.Bool // it was handed one
	wrote     atomic.Bool // the header was written to it
	stuck     atomic.Bool // the target did not take the rest
	answered  atomic.Bool // a byte of the answer came
	before    atomic.Bool // the header was written to a connection before this one
}

// follow returns req with a watch on it.
//
// httputil.ReverseProxy watches for interim answers in the same way, by a trace of this
// request alone. The first attempt puts what it watches for into that one: a second trace
// would be put together with it by reflection, in another copy of the request. A later one
// leaves it alone, for a transport may still be at the first.
func (a *attempt) follow(req *http.Request, c *carriage) *http.Request {
	ctx := req.Context()
	outer := httptrace.ContextClientTrace(ctx)
	if outer != nil && !c.followed {
		c.followed = true
		a.watch(outer)
		return req
	}
	trace := &httptrace.ClientTrace{}
	if outer != nil {
		trace.Got1xxResponse, ctx = outer.Got1xxResponse, c.ctx
	}
	a.watch(trace)
	return req.WithContext(httptrace.WithClientTrace(ctx, trace))
}

// watch has t tell a.
func (a *attempt) watch(t *httptrace.ClientTrace) {
	// The transport itself tries again where an idle connection turns out to be
	// closed and nothing was lost; what counts is how the last of these ended.
	t.GetConn = func(string) {
		a.asked.Store(true)
		a.connected.Store(false)
		if a.wrote.Swap(false) {
			a.before.Store(true)
		}
	}
	t.GotConn = func(httptrace.GotConnInfo) { a.connected.Store(true) }
	t.WroteHeaders = func() { a.wrote.Store(true) }
	t.WroteRequest = func(i httptrace.WroteRequestInfo) {
		if i.Err != nil {
			a.stuck.Store(true)
		}
	}
	t.GotFirstResponseByte = func() { a.answered.Store(true) }
}

// came notes how far a request came that went by a fetch.Line.
func (a *attempt) came(p fetch.Progress) {
	a.asked.Store(p.Asked)
	a.connected.Store(p.Connected)
	a.wrote.Store(p.Wrote)
	a.stuck.Store(p.Stuck)
	a.answered.Store(p.Answered)
	a.before.Store(p.Before)
}

// goodbyes is how often a request is sent again to a server that closes its connections in
// order: it may be restarted twice in a row, and must not be asked for ever.
const goodbyes = 3

// ask sends req to t, and again where t closed its connection as it had said that it would.
// Over HTTP/1.1 net/http does so by itself where a connection that was used before turns
// out to be closed. Over HTTP/2 it does where the server named the last request that it
// takes; one that restarts may have named the highest there can be, and close before it
// names another (RFC 9113 section 6.8).
func (t *target) ask(req *http.Request, c *carriage) (*attempt, *http.Response, error) {
	for sent := 0; ; sent++ {
		try := c.newAttempt()
		res, err := t.roundTrip(req, c)
		if err == nil || sent == goodbyes || !isGoodbye(err) || !isIdempotent(req.Method) || !try.mayGoOn(req, c, err) {
			return try, res, err
		}
		next := again(req)
		if next == nil {
			return try, res, err
		}
		req = next
	}
}

// newAttempt makes the attempt of now.
func (c *carriage) newAttempt() *attempt {
	if c.try == nil {
		c.try = &c.rooms.try
	} else {
		c.try = &attempt{} // a transport may still tell the one before
	}
	return c.try
}

// isGoodbye reports whether an HTTP/2 server ended a connection in order, and what was on
// its way with it. net/http keeps the type of that error to itself.
func isGoodbye(err error) bool {
	said := err.Error()
	return strings.Contains(said, "http2: server sent GOAWAY and closed the connection") && strings.Contains(said, "ErrCode=NO_ERROR")
}

// mayGoOn reports whether a request that ended in err may go to another target,
// as far as its method and its answer tell.
func (a *attempt) mayGoOn(req *http.Request, c *carriage, err error) bool {
	switch {
	case req.Context().Err() != nil, c.bodyErr.Load() != nil, a.answered.Load():
		return false
	case !a.connected.Load() && a.before.Load() && hasIdempotencyKey(req.Header):
		// The transport takes the key as leave to send it twice. That is between the
		// client and one app: another target may not know the key.
		return isIdempotent(req.Method)
	case !a.connected.Load():
		return true
	}
	return isIdempotent(req.Method) && !isTimeout(err)
}

// hasIdempotencyKey reports whether net/http sends a request again by itself, though
// its method does not say that it may.
func hasIdempotencyKey(h http.Header) bool {
	return h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil
}

// isTargets reports whether the error tells of the target: it was not reached, was
// silent, broke off or made no sense. A transport also refuses what a client made
// of a request, before it looks for a connection or, where the target said
// beforehand what it takes, before it writes; and an app closes on a body that does
// not come. Neither is the target's failure.
func (a *attempt) isTargets() bool {
	switch {
	case !a.asked.Load():
		return false
	case !a.connected.Load():
		return true
	}
	return a.wrote.Load() && !a.stuck.Load()
}

// again returns req for another target, or nil if its body is not whole any more.
func again(req *http.Request) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	body, ok := req.Body.(*upload)
	if !ok || !body.revoke() {
		return nil
	}
	next := *req
	next.Body = &upload{ReadCloser: body.ReadCloser, c: body.c, out: body.out, left: body.left}
	return &next
}

// isIdempotent reports whether a method may be sent twice, of those that are
// carried.
func isIdempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "QUERY", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "REPORT", "SEARCH":
		return true
	}
	return false
}

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
