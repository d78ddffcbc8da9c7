package door_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// dialFrom connects from one of the many addresses of the loopback.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// closedAtOnce reports whether the other side ends c without having heard anything, and without
// having waited for it.
func closedAtOnce(c net.Conn) bool { return closed(c, 5*time.Second) }

func closed(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := c.Read(make([]byte, 1))
	return err == io.EOF || err != nil && strings.Contains(err.Error(), "reset")
}

func stays(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func TestConnectionsPerAddress(t *testing.T) {
	a := newAuthority(t)
	s := serve(t, door.Options{Certificates: files(t, a), TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")},
		Limits: door.Limits{ConnectionsPerAddress: 8}})
	var held []net.Conn
	for range 8 {
		held = append(held, dialFrom(t, "127.0.0.2", s.front))
	}
	for i, c := range held {
		if !stays(c) {
			t.Fatalf("connection %d of 8 was closed", i+1)
		}
	}
	for range 20 {
		// The handshake has not begun when it is closed.
		if !closedAtOnce(dialFrom(t, "127.0.0.2", s.front)) {
			t.Fatal("a connection over the limit was not closed at once")
		}
	}
	if !closedAtOnce(dialFrom(t, "127.0.0.2", s.redirect)) {
		t.Error("the plain listener does not share the limit")
	}
	if got := s.log.count("door.too_many_connections"); got != 1 || !strings.Contains(s.log.String(), "address=127.0.0.2/32") {
		t.Errorf("got %d lines, want one that names the address:\n%s", got, s.log)
	}

	for range 12 {
		if !stays(dialFrom(t, "127.0.0.9", s.front)) {
			t.Fatal("a trusted proxy is held to the limit")
		}
	}
	other := &http.Client{Transport: &http.Transport{TLSClientConfig: a.client(), DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.3")}}).DialContext}}
	defer other.CloseIdleConnections()
	res, err := other.Get("https://" + s.front)
	if err != nil {
		t.Fatalf("another address: %v", err)
	}
	res.Body.Close()

	_ = held[0].Close()
	within(t, patience, "room where one was closed", func() bool {
		c, err := tls.DialWithDialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}}, "tcp", s.front, a.client())
		if err != nil {
			return false
		}
		defer c.Close()
		return true
	})
}

// TestSlowHeader (D-01): who sends a byte now and then is cut off, and nobody else
// is kept waiting.
func TestSlowHeader(t *testing.T) {
	s := serve(t, door.Options{Limits: door.Limits{HeaderTimeout: 3 * time.Second}})
	for range 50 {
		c := dialFrom(t, "127.0.0.2", s.front)
		go func() {
			for _, b := range []byte("GET / HTTP/1.1\r\nHost: gate.example\r\nX-Slow: " + strings.Repeat("x", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		defer func(start time.Time) {
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.Copy(io.Discard, c)
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("a slow header was cut off after %v, want 3s", took)
			}
		}(time.Now())
	}
	start := time.Now()
	res, err := http.Get("http://" + s.front)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("beside slow ones a request took %v", took)
	}
}

// TestSlowHandshake: who connects and says nothing is cut off before TLS too.
func TestSlowHandshake(t *testing.T) {
	s := serve(t, door.Options{Certificates: files(t, newAuthority(t)), Limits: door.Limits{HeaderTimeout: 300 * time.Millisecond}})
	start := time.Now()
	if c := dialFrom(t, "127.0.0.2", s.front); !closedAtOnce(c) {
		t.Error("a handshake that does not come is waited for without end")
	}
	if took := time.Since(start); took < 250*time.Millisecond {
		t.Errorf("it was cut off after %v, want 300ms", took)
	}
}

// TestLongHeader (D-05).
func TestLongHeader(t *testing.T) {
	s := serve(t, door.Options{Limits: door.Limits{HeaderBytes: 8 << 10}})
	for size, want := range map[int]int{4 << 10: 200, 64 << 10: 431} {
		req, _ := http.NewRequest("GET", "http://"+s.front, nil)
		req.Header.Set("X-Long", strings.Repeat("x", size))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%d bytes: got %d, want %d", size, res.StatusCode, want)
		}
	}
}
