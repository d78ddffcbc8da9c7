package proxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// hasToken reports whether a comma-separated header lists token.
func hasToken(h http.Header, name, token string) bool {
	for _, line := range h[name] {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// isWebSocket reports whether a header changes the protocol to WebSocket and to
// nothing else.
func isWebSocket(h http.Header) bool {
	return hasToken(h, "Connection", "upgrade") && len(h["Upgrade"]) == 1 && strings.EqualFold(h["Upgrade"][0], "websocket")
}

// checkUpgrade decides about a request to change the protocol. WebSocket is the
// only one carried, for behind any other the gateway would see nothing more
// (CVE-2026-88008); the others are ignored, as RFC 9110 section 7.8 allows.
//
// A browser lets any page open a WebSocket to any host, with its cookies, and
// the Origin header is all that tells (CWE-1385). One that is not the route's own
// and not listed is refused. A request without Origin comes from a program, for
// every browser sends it: it passes unless Fetch Metadata say that a browser it is.
func checkUpgrade(r *http.Request, route *Route, scheme string) (websocket bool, err *web.Error) {
	if !isWebSocket(r.Header) {
		return false, nil
	}
	if r.Method != http.MethodGet || !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 || r.ContentLength != 0 {
		return false, &web.Error{Status: http.StatusBadRequest, Code: "bad_upgrade",
			Detail: "A WebSocket is opened by a GET request over HTTP/1.1 without a body."}
	}
	if !originAllowed(r, route, scheme) {
		return false, &web.Error{Status: http.StatusForbidden, Code: "foreign_origin",
			Detail: "Pages of this origin may not open a WebSocket here. Whoever runs the gateway can list it under the route's origins."}
	}
	if isAsked(r.Context()) { // the proxy in front opens it, and may not tell all of its headers
		return true, nil
	}
	if bad := checkHandshake(r.Header); bad != nil {
		return false, bad
	}
	return true, nil
}

func originAllowed(r *http.Request, route *Route, scheme string) bool {
	switch origins := r.Header["Origin"]; len(origins) {
	case 0:
		return r.Header.Get("Sec-Fetch-Mode") == "" && r.Header.Get("Sec-Fetch-Site") == ""
	case 1:
		origin := strings.ToLower(origins[0])
		if origin == scheme+"://"+withoutDefaultPort(scheme, canonicalHost(r.Host)) {
			return true
		}
		for _, o := range route.allow {
			if origin == o {
				return true
			}
		}
	}
	return false
}

// Closing a WebSocket from here.
const (
	// CloseSessionEnded is the close code that a page sees (RFC 6455 section
	// 7.4.2, private use; 4401 after HTTP's 401).
	CloseSessionEnded = 4401
	// CloseRestart is the registered code of a service that restarts: come again.
	CloseRestart = 1012

	closeWait = 250 * time.Millisecond
)

// tunnel is the client's side of a WebSocket. Bytes from the client move the
// idle clock; bytes to it are followed frame by frame, so that a close frame can
// be put between two of them.
type tunnel struct {
	net.Conn
	buf      *bufio.Reader // holds what came behind the request's header; nil once that is read
	activity func()
	stall    *stall
	over     chan struct{} // closed once the client has no more to say
	once     sync.Once

	mu     sync.Mutex // guards writing and what follows
	frames frames
	closed bool
}

// open keeps hold of a connection that has changed its protocol.
func (c *carriage) open(conn net.Conn, buf *bufio.ReadWriter) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	activity := c.activity
	if activity == nil {
		activity = func() {}
	}
	// The connection is not the server's any more, so its controller has no hold on it.
	c.down.mu.Lock()
	c.down.cut = cutBy(func() { _ = conn.SetWriteDeadline(past) })
	c.down.mu.Unlock()
	c.tunnel = &tunnel{Conn: conn, buf: buf.Reader, activity: activity, stall: &c.down, over: make(chan struct{})}
	return c.tunnel
}

// Read implements net.Conn. Once the session has ended nothing the client says
// reaches the upstream.
func (t *tunnel) Read(p []byte) (int, error) {
	for {
		n, err := t.read(p)
		if err != nil {
			t.once.Do(func() { close(t.over) })
		}
		t.mu.Lock()
		closed := t.closed
		t.mu.Unlock()
		if closed && err == nil {
			continue
		}
		if closed {
			return 0, err
		}
		if n > 0 {
			t.activity()
		}
		return n, err
	}
}

// read reads what the server had already read of the connection, and then from that. The
// server's buffer is nobody's any more by then, and emptied: whoever holds on to the reader
// holds no more than that.
func (t *tunnel) read(p []byte) (int, error) {
	if t.buf == nil {
		return t.Conn.Read(p)
	}
	if t.buf.Buffered() > 0 {
		return t.buf.Read(p)
	}
	*t.buf = bufio.Reader{}
	t.buf = nil
	return t.Conn.Read(p)
}

// Write implements net.Conn.
func (t *tunnel) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return len(p), nil // the upstream is about to be told
	}
	t.stall.begin()
	n, err := t.Conn.Write(p)
	t.stall.end()
	t.frames.follow(p[:n])
	return n, err
}

// CloseWrite passes on that the upstream has no more to say.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// close tells the client why, if the stream stands between two frames, and waits a
// moment for it to hang up, lest the last bytes are lost to a reset.
func (t *tunnel) close(why ending) {
	_ = t.Conn.SetWriteDeadline(time.Now().Add(closeWait)) // also frees a Write that hangs
	t.mu.Lock()
	told := !t.closed && t.frames.between()
	t.closed = true
	if told {
		frame := []byte{0x88, byte(2 + len(why.reason))}
		frame = binary.BigEndian.AppendUint16(frame, why.code)
		_, err := t.Conn.Write(append(frame, why.reason...))
		told = err == nil
	}
	t.mu.Unlock()
	if !told {
		return
	}
	wait := time.NewTimer(closeWait)
	defer wait.Stop()
	select {
	case <-t.over:
	case <-wait.C:
	}
}

// frames follows a stream of WebSocket frames (RFC 6455 section 5.2) to know
// where one ends.
type frames struct {
	head [14]byte
	n    int    // bytes of head seen
	left uint64 // bytes of payload to come
}

func (f *frames) follow(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			k := min(f.left, uint64(len(p)))
			f.left -= k
			p = p[k:]
			continue
		}
		f.head[f.n] = p[0]
		f.n++
		p = p[1:]
		if size, payload := f.size(); f.n >= 2 && f.n == size {
			f.n, f.left = 0, payload
		}
	}
}

// size returns the length of the header begun and, once it is whole, of its payload.
func (f *frames) size() (header int, payload uint64) {
	header, payload = 2, uint64(f.head[1]&0x7f)
	switch payload {
	case 126:
		header, payload = 4, uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		header, payload = 10, binary.BigEndian.Uint64(f.head[2:])
	}
	if f.head[1]&0x80 != 0 {
		header += 4 // a mask, which no server should send
	}
	return header, payload
}

func (f *frames) between() bool { return f.n == 0 && f.left == 0 }
