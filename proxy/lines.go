package proxy

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/fetch"
)

// Protocol is what is spoken with the targets.
type Protocol int

const (
	// Auto is HTTP/1.1, and over TLS whichever of HTTP/2 and HTTP/1.1 they agree on.
	Auto Protocol = iota
	// HTTP1 is HTTP/1.1.
	HTTP1
	// H2 is HTTP/2 over TLS and nothing else.
	H2
	// H2C is HTTP/2 without TLS, from the first byte on (RFC 9113 section 3.3).
	H2C
)

func (p Protocol) set() *http.Protocols {
	var all http.Protocols
	all.SetHTTP1(p == Auto || p == HTTP1)
	all.SetHTTP2(p == Auto || p == H2)
	all.SetUnencryptedHTTP2(p == H2C)
	return &all
}

// An HTTP/2 connection that has gone dead takes every later request with it, and is
// found out by pings. gRPC servers end connections, and the streams on them, whose
// client pings more often than every five minutes.
const (
	pingEvery        = 30 * time.Second
	pingStreamsEvery = 6 * time.Minute
	pingTimeout      = 15 * time.Second
)

// lines are the connections to one target. They are several, for a transport has
// one bound for the response header and one set of protocols.
type lines struct {
	short    *fetch.Line // for what has no body, over HTTP/1.1 without TLS; nil where that is not spoken
	plain    *http.Transport
	streams  *http.Transport // without a bound for the response header
	upgrades *http.Transport // HTTP/1.1, which alone can change to WebSocket; plain, if that can
}

func newLines(o *UpstreamOptions, t *target) *lines {
	plain, streams := newTransport(o, t), newTransport(o, t)
	plain.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingEvery, PingTimeout: pingTimeout}
	streams.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingStreamsEvery, PingTimeout: pingTimeout}
	streams.ResponseHeaderTimeout = 0
	l := &lines{newLine(o, t, plain), plain, streams, plain}
	if o.Protocol == H2 || o.Protocol == H2C {
		l.upgrades = newTransport(o, t)
		l.upgrades.Protocols = HTTP1.set()
	}
	return l
}

func newTransport(o *UpstreamOptions, t *target) *http.Transport {
	idle := o.IdleConns
	if idle <= 0 {
		idle = 256
	}
	return &http.Transport{
		Proxy:                  nil, // what the environment says is not for the way inside
		DialContext:            t.dialer(o),
		TLSClientConfig:        t.tlsConfig(o),
		TLSHandshakeTimeout:    orDefault(o.ConnectTimeout, 10*time.Second),
		Protocols:              o.Protocol.set(),
		DisableCompression:     true, // what the browser asked for is what it gets
		MaxConnsPerHost:        o.Connections,
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        orDefault(o.IdleTimeout, 90*time.Second),
		ResponseHeaderTimeout:  o.headerTimeout(),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// newLine makes the line for requests without a body, with the settings of the transport beside
// it. Where connections are counted there is none: those that it keeps would be beside those of
// the transport.
func newLine(o *UpstreamOptions, t *target, plain *http.Transport) *fetch.Line {
	if name := t.url.Hostname(); strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) {
		return nil // the transport knows how to look that up
	}
	if !fetch.Here || t.url.Scheme != "http" || o.Protocol != Auto && o.Protocol != HTTP1 || o.Connections > 0 {
		return nil
	}
	address := net.JoinHostPort(t.url.Hostname(), cmp.Or(t.url.Port(), "80"))
	return &fetch.Line{
		Dial:      func(ctx context.Context) (net.Conn, error) { return plain.DialContext(ctx, "tcp", address) },
		MaxHeader: plain.MaxResponseHeaderBytes, MaxIdle: plain.MaxIdleConns, IdleTimeout: plain.IdleConnTimeout,
	}
}

// headerTimeout bounds the wait for the header of an answer; zero does not.
func (o *UpstreamOptions) headerTimeout() time.Duration {
	if o.Timeout == 0 {
		return 60 * time.Second
	}
	return max(o.Timeout, 0) // below zero is no bound
}

func (u *Upstream) headerTimeout() time.Duration { return u.options.headerTimeout() }

// send sends a request by the line that it needs.
func (l *lines) send(req *http.Request, c *carriage) (*http.Response, error) {
	if l.short != nil && !c.websocket {
		timeout := c.route.Upstream.headerTimeout()
		if isStream(req.Header) {
			timeout = 0
		}
		res, progress, err := l.short.Do(req, timeout)
		switch {
		case err == nil:
			c.body = res.Body
			return res, nil
		case err != fetch.ErrNotTaken:
			c.try.came(progress)
			return nil, err
		}
	}
	if c.cancel == nil { // it looked shorter than it is
		c.ctx, c.cancel = context.WithCancel(c.ctx)
		c.followed = true // the trace of the request is of the context before
	}
	return l.of(req, c).RoundTrip(c.try.follow(req, c))
}

// of finds the transport for a request.
func (l *lines) of(req *http.Request, c *carriage) *http.Transport {
	switch {
	case c.websocket:
		return l.upgrades
	case isStream(req.Header):
		return l.streams
	}
	return l.plain
}

// isStream reports whether a request asks for an answer that comes when there is
// something to say: its header may take as long as that, too.
func isStream(h http.Header) bool {
	for _, kind := range h["Content-Type"] {
		if strings.HasPrefix(kind, "application/grpc") {
			return true
		}
	}
	for _, accepted := range h["Accept"] {
		if strings.HasPrefix(accepted, "text/event-stream") { // all that browsers write for an EventSource
			return true
		}
	}
	return false
}

// closeIdle closes what nobody uses, and each other connection once its request
// is done.
func (l *lines) closeIdle() {
	if l.short != nil {
		l.short.CloseIdle()
	}
	l.plain.CloseIdleConnections()
	l.streams.CloseIdleConnections()
	l.upgrades.CloseIdleConnections()
}
