package door

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/evergate/evergate/internal/web"
)

// behindProxies reads the PROXY header of connections of trusted proxies. It is
// demanded of them, for the protocol forbids to guess: where it was optional, a
// client of a proxy that sends none could write one. From everybody else it is not
// known, so that it is garbage in front of TLS or HTTP.
type behindProxies struct {
	net.Listener
	limiter *limiter // which knows the proxies
	timeout time.Duration
	missing coarse
}

// Accept implements net.Listener. It reads nothing: whoever is slow with the header
// keeps nobody else waiting.
func (l *behindProxies) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.limiter.isTrusted(c.RemoteAddr()) {
		return c, err
	}
	return &proxied{listener: l, Conn: proxyproto.NewConn(&nameless{Conn: c},
		proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(l.timeout))}, nil
}

// proxied is a connection through a trusted proxy. The first that asks who it is
// from, or reads it, reads the header: the goroutine that serves it.
type proxied struct {
	*proxyproto.Conn
	listener *behindProxies

	once    sync.Once
	err     error
	release func()
}

var errTooMany = errors.New("the client has too many connections through the proxy")

func (c *proxied) open() error {
	c.once.Do(func() {
		if _, err := c.Conn.Read(nil); err != nil { // of no bytes: the header alone is read
			c.refuse(err)
			c.listener.missing.warn("a trusted proxy's connection does not begin with a PROXY header; have the proxy send it, or unset proxy_protocol",
				"event", "door.no_proxy_header", "proxy", c.Raw().RemoteAddr().String(), "err", err)
			return
		}
		// Now it is known whose connection this is.
		release, ok := c.listener.limiter.admit(c.Conn.RemoteAddr())
		if !ok {
			c.refuse(errTooMany)
		}
		c.release = release
	})
	return c.err
}

// refuse ends the connection now. The error is of the kind to which net/http has
// nothing to answer.
func (c *proxied) refuse(err error) {
	c.err = &net.OpError{Op: "read", Net: "tcp", Err: err}
	_ = c.Raw().Close()
}

// RemoteAddr is the client's address; the proxy's own where the connection is the
// proxy's (its health checks), or has no good header.
func (c *proxied) RemoteAddr() net.Addr {
	if c.open() != nil {
		return c.Raw().RemoteAddr()
	}
	return c.Conn.RemoteAddr()
}

// isOwn reports whether the header names no client: the connection is the
// proxy's own (LOCAL, its health checks), or it does not know whose it is
// (UNKNOWN, and PROXY with UNSPEC). The address is then the proxy's, which is trusted, and whoever is
// behind it must not be believed for that.
func (c *proxied) isOwn() bool {
	if c.open() != nil {
		return true
	}
	h := c.ProxyHeader()
	return h == nil || h.Command.IsLocal() || h.SourceAddr == nil
}

// withOwn is a ConnContext. It runs where connections are accepted, so it leaves
// the header unread.
func withOwn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if p, ok := c.(*proxied); ok {
		return web.WithProxysOwn(ctx, p.isOwn)
	}
	return ctx
}

// Read implements net.Conn.
func (c *proxied) Read(b []byte) (int, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Close implements net.Conn.
func (c *proxied) Close() error {
	err := c.Conn.Close()
	// Whoever is reading the header is woken by that; afterwards nobody begins to.
	c.once.Do(func() { c.err = net.ErrClosed })
	if c.release != nil {
		c.release()
	}
	return err
}

// CloseWrite is what net/http calls to have an answer arrive before the end.
func (c *proxied) CloseWrite() error {
	if half, ok := c.Raw().(*nameless); ok {
		return half.CloseWrite()
	}
	return nil
}
