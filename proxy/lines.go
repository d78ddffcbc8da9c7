package proxy

import (
	"net/http"
	"strings"
	"time"
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

// lines are the connections to one target. They are three, for a transport has
// one bound for the response header and one set of protocols.
type lines struct {
	plain    *http.Transport
	streams  *http.Transport // without a bound for the response header
	upgrades *http.Transport // HTTP/1.1, which alone can change to WebSocket; plain, if that can
}

func newLines(o *UpstreamOptions, t *target) *lines {
	plain, streams := newTransport(o, t), newTransport(o, t)
	plain.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingEvery, PingTimeout: pingTimeout}
	streams.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingStreamsEvery, PingTimeout: pingTimeout}
	streams.ResponseHeaderTimeout = 0
	l := &lines{plain, streams, plain}
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

// headerTimeout bounds the wait for the header of an answer; zero does not.
func (o *UpstreamOptions) headerTimeout() time.Duration {
	if o.Timeout == 0 {
		return 60 * time.Second
	}
	return max(o.Timeout, 0) // below zero is no bound
}

func (u *Upstream) headerTimeout() time.Duration { return u.options.headerTimeout() }

// of finds the line for a request.
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
	l.plain.CloseIdleConnections()
	l.streams.CloseIdleConnections()
	l.upgrades.CloseIdleConnections()
}
