package door_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

const (
	proxyAddress = "127.0.0.9" // trusted
	stranger     = "127.0.0.2"
)

func behindProxy(l door.Limits) door.Options {
	return door.Options{ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix(proxyAddress + "/32")}, Limits: l}
}

// ask sends text and returns the status and body of the answer, or 0 where there
// is none.
func ask(c net.Conn, text string) (int, string) {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, text)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func version2(t *testing.T, command proxyproto.ProtocolVersionAndCommand, source string) string {
	t.Helper()
	var b bytes.Buffer
	h := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:443")))
	if strings.HasPrefix(source, "[") {
		h = proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8::2]:443")))
	}
	h.Command = command
	if _, err := h.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// nobody2 is a header of version 2 that is for somebody and has no address (PROXY with UNSPEC).
func nobody2(more string) string {
	return "\r\n\r\n\x00\r\nQUIT\n\x21\x00\x00" + string(rune(len(more))) + more
}

const get = "GET / HTTP/1.1\r\nHost: gate.example\r\nConnection: close\r\n\r\n"

// TestProxyProtocol: the handler answers with the address that it is told.
func TestProxyProtocol(t *testing.T) {
	s := serve(t, behindProxy(door.Limits{}))
	for _, c := range []struct {
		name, from, header string
		status             int
		client             string
	}{
		{"version 1", proxyAddress, "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", 200, "203.0.113.7:4711"},
		{"version 1, IPv6", proxyAddress, "PROXY TCP6 2001:db8::7 2001:db8::2 4711 443\r\n", 200, "[2001:db8::7]:4711"},
		{"version 1, the proxy's own", proxyAddress, "PROXY UNKNOWN\r\n", 200, proxyAddress + ":"},
		{"version 2", proxyAddress, version2(t, proxyproto.PROXY, "203.0.113.7:4711"), 200, "203.0.113.7:4711"},
		{"version 2, IPv6", proxyAddress, version2(t, proxyproto.PROXY, "[2001:db8::7]:4711"), 200, "[2001:db8::7]:4711"},
		{"version 2, the proxy's own", proxyAddress, version2(t, proxyproto.LOCAL, "203.0.113.7:4711"), 200, proxyAddress + ":"},
		{"version 2, nobody known", proxyAddress, nobody2(""), 200, proxyAddress + ":"},
		{"version 2, nobody known, and more of it", proxyAddress, nobody2("\x04\x00\x03abc"), 200, proxyAddress + ":"},
		{"version 2, an unknown command for nobody", proxyAddress, strings.Replace(nobody2(""), "\x21", "\x22", 1), 0, ""},
		{"version 3 for nobody", proxyAddress, strings.Replace(nobody2(""), "\x21", "\x31", 1), 0, ""},
		{"version 2, an unknown family", proxyAddress, strings.Replace(nobody2(""), "\x21\x00", "\x21\x01", 1), 0, ""},
		{"H-13 nobody known, from a stranger", stranger, nobody2(""), 400, ""},
		{"H-13 a stranger's header is garbage", stranger, "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", 400, ""},
		{"H-13 in version 2 too", stranger, version2(t, proxyproto.PROXY, "203.0.113.7:4711"), 400, ""},
		{"a stranger without", stranger, "", 200, stranger + ":"},
		{"a trusted proxy without is not guessed about", proxyAddress, "", 0, ""},
		{"an address that is none", proxyAddress, "PROXY TCP4 999.0.113.7 192.0.2.1 4711 443\r\n", 0, ""},
		{"a line without end", proxyAddress, "PROXY TCP4 " + strings.Repeat("1", 200), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := ask(dialFrom(t, c.from, s.front), c.header+get)
			if status != c.status || status == 200 && !strings.HasPrefix(body, c.client) {
				t.Errorf("got %d for %s, want %d for %s", status, body, c.status, c.client)
			}
		})
	}
	for end := time.Now().Add(patience); s.log.count("door.no_proxy_header") == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) { // it is told after the connection has closed
	}
	if got := s.log.count("door.no_proxy_header"); got != 1 || !strings.Contains(s.log.String(), "proxy="+proxyAddress) {
		t.Errorf("got %d lines about missing headers, want one:\n%s", got, s.log)
	}
	// The listener for plain http stands behind the same proxy.
	if status, _ := ask(dialFrom(t, proxyAddress, s.redirect), "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n"); status != 421 {
		t.Errorf("on plain http: got %d, want 421", status)
	}
}

// TestProxyHeaderInPieces: where a read ends says nothing, in version 2.
func TestProxyHeaderInPieces(t *testing.T) {
	s := serve(t, behindProxy(door.Limits{}))
	for name, header := range map[string]string{"version 2": version2(t, proxyproto.PROXY, "203.0.113.7:4711"), "version 2, nobody known": nobody2("")} {
		for _, ends := range []int{1, 5, 11, 12, 13, 14, 15} {
			c := dialFrom(t, proxyAddress, s.front)
			_, _ = io.WriteString(c, header[:ends])
			time.Sleep(2 * time.Millisecond)
			if status, body := ask(c, header[ends:]+get); status != 200 {
				t.Errorf("%s, of which the first piece has %d bytes: got %d %s", name, ends, status, body)
			}
		}
		c := dialFrom(t, proxyAddress, s.front)
		for i := range len(header) {
			_, _ = io.WriteString(c, header[i:i+1])
			time.Sleep(time.Millisecond)
		}
		if status, body := ask(c, get); status != 200 {
			t.Errorf("%s, byte by byte: got %d %s", name, status, body)
		}
	}
}

func TestProxyProtocolIsOff(t *testing.T) {
	o := behindProxy(door.Limits{})
	o.ProxyProtocol = false
	if status, _ := ask(dialFrom(t, proxyAddress, serve(t, o).front), "PROXY UNKNOWN\r\n"+get); status != 400 {
		t.Errorf("got %d, want 400", status)
	}
}

// TestProxyProtocolBeforeTLS: the header comes first, over HTTP/2 as well.
func TestProxyProtocolBeforeTLS(t *testing.T) {
	a := newAuthority(t)
	o := behindProxy(door.Limits{})
	o.Certificates = files(t, a)
	s := serve(t, o)
	c := dialFrom(t, proxyAddress, s.front)
	fmt.Fprint(c, version2(t, proxyproto.PROXY, "203.0.113.7:4711"))
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: a.client(),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}}
	res, err := client.Get("https://gate.example/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "203.0.113.7:4711" || res.ProtoMajor != 2 {
		t.Errorf("got %s over %s, want the client's address over HTTP/2", body, res.Proto)
	}
	// A stranger's handshake is one that begins with garbage.
	c = dialFrom(t, stranger, s.front)
	fmt.Fprint(c, version2(t, proxyproto.PROXY, "203.0.113.7:4711"))
	if err := tls.Client(c, a.client()).Handshake(); err == nil {
		t.Error("a stranger's header was taken")
	}
}

// TestSlowProxyHeader: it is read where the connection is served, so nobody waits for it,
// and it has a deadline of its own.
func TestSlowProxyHeader(t *testing.T) {
	s := serve(t, behindProxy(door.Limits{HeaderTimeout: 5 * time.Second}))
	var slow []net.Conn
	start := time.Now()
	for range 20 {
		c := dialFrom(t, proxyAddress, s.front)
		fmt.Fprint(c, version2(t, proxyproto.PROXY, "203.0.113.7:4711")[:14])
		slow = append(slow, c)
	}
	for range 20 {
		if status, body := ask(dialFrom(t, stranger, s.front), get); status != 200 {
			t.Fatalf("beside slow ones: got %d, %s", status, body)
		}
	}
	if took := time.Since(start); took > 4500*time.Millisecond {
		t.Errorf("20 requests beside slow headers took %v: they wait for them", took)
	}
	for _, c := range slow {
		if !closed(c, 10*time.Second) {
			t.Fatal("a header that does not come is waited for without end")
		}
	}
	if took := time.Since(start); took < 4900*time.Millisecond || took > 8*time.Second {
		t.Errorf("half a header was waited for %v, want 5s", took)
	}
}

// TestConnectionsOfAClientBehindAProxy: the limit is the client's, as soon as the
// header has said who it is.
func TestConnectionsOfAClientBehindAProxy(t *testing.T) {
	s := serve(t, behindProxy(door.Limits{ConnectionsPerAddress: 8}))
	through := func(client string) net.Conn {
		c := dialFrom(t, proxyAddress, s.front)
		fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 4711 443\r\n", client)
		return c
	}
	var held []net.Conn
	for range 8 {
		c := through("203.0.113.7")
		if !stays(c) {
			t.Fatal("a connection within the limit was closed")
		}
		held = append(held, c)
	}
	if !closedAtOnce(through("203.0.113.7")) {
		t.Error("a connection over the limit was not closed at once")
	}
	if status, _ := ask(through("203.0.113.8"), get); status != 200 {
		t.Errorf("another client: got %d, want 200", status)
	}
	_ = held[0].Close()
	within(t, patience, "room where one was closed", func() bool {
		status, _ := ask(through("203.0.113.7"), get)
		return status == 200
	})
}
