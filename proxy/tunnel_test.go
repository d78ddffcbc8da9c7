package proxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/proxy"
)

const handshake = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, Set-Cookie\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"

// open sends a handshake followed by more, and reads the 101.
func (gw *gateway) open(t *testing.T, more string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", gw.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	head := get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	if _, err := io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")+more); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 {
		t.Fatalf("got %d, want 101", res.StatusCode)
	}
	return conn, br, res
}

func TestTunnelBytes(t *testing.T) {
	got := make(chan string, 1)
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		_, _ = io.WriteString(conn, handshake+"\x81\x02hi")
		buf := make([]byte, 8)
		_, _ = io.ReadFull(conn, buf)
		got <- string(buf)
	})
	s := newSession()
	s.due = fresh
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	conn, br, res := gw.open(t, "\x81\x82abc") // the first bytes of a frame come with the handshake
	if got := res.Header["Connection"]; len(got) != 1 || got[0] != "Upgrade" {
		t.Errorf("H-26 Connection: got %q, want Upgrade alone", got)
	}
	if got := res.Header.Get("Set-Cookie"); got != fresh {
		t.Errorf("cookie: got %q, want %q", got, fresh)
	}
	frame := make([]byte, 4)
	if _, err := io.ReadFull(br, frame); err != nil || string(frame) != "\x81\x02hi" {
		t.Errorf("got %q, %v", frame, err)
	}
	if _, err := io.WriteString(conn, "def"); err != nil {
		t.Fatal(err)
	}
	if got := <-got; got != "\x81\x82abcdef" {
		t.Errorf("upstream: got %q, want all bytes in order", got)
	}
}

func TestNoCloseFrameInsideAFrame(t *testing.T) {
	for name, tt := range map[string]struct{ sent, want string }{
		"between two frames":            {"\x81\x02hi", "\x81\x02hi\x88\x0f\x11\x31session ended"},
		"before the first":              {"", "\x88\x0f\x11\x31session ended"},
		"between fragments":             {"\x01\x02hi", "\x01\x02hi\x88\x0f\x11\x31session ended"},
		"inside a payload":              {"\x81\x0ahalf", "\x81\x0ahalf"},
		"inside a header":               {"\x81", "\x81"},
		"inside a long header":          {"\x81\x7e\x01", "\x81\x7e\x01"},
		"behind a frame of 126 bytes":   {"\x81\x7e\x00\x7e" + strings.Repeat("a", 126), ""},
		"behind a frame of 65536 bytes": {"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + strings.Repeat("a", 65536), ""},
		"behind a masked frame":         {"\x81\x82abcdhi", "\x81\x82abcdhi\x88\x0f\x11\x31session ended"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.sent + "\x88\x0f\x11\x31session ended"
			}
			leaked := make(chan int, 1)
			up := newUpstream(t, func(conn net.Conn, r *http.Request) {
				_, _ = io.WriteString(conn, handshake)
				for i := range len(tt.sent) { // in the smallest pieces for the header
					if i == 12 {
						_, _ = io.WriteString(conn, tt.sent[i:])
						break
					}
					_, _ = io.WriteString(conn, tt.sent[i:i+1])
					time.Sleep(time.Millisecond)
				}
				n, _ := io.Copy(io.Discard, conn)
				leaked <- int(n)
			})
			s := newSession()
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
			conn, br, _ := gw.open(t, "")
			got := make([]byte, len(tt.sent))
			if _, err := io.ReadFull(br, got); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
			s.end()
			rest, _ := io.ReadAll(io.LimitReader(br, max(1, int64(len(tt.want)-len(got))))) // the close frame, or the end
			_, _ = io.WriteString(conn, "\x88\x80abcd")                                     // after its session has ended nobody hears the client
			more, _ := io.ReadAll(br)
			if string(got)+string(rest)+string(more) != tt.want {
				t.Errorf("got %.100q … %q %q, want %.100q", got, rest, more, tt.want)
			}
			if n := <-leaked; n != 0 {
				t.Errorf("%d bytes reached the upstream after the session had ended", n)
			}
		})
	}
}

func TestSlowReaderDoesNotKeepItsWebSocket(t *testing.T) { // W-06
	ended := make(chan time.Time, 1)
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		defer func() { ended <- time.Now() }()
		_, _ = io.WriteString(conn, handshake)
		chunk := "\x82\x7e\xff\xff" + strings.Repeat("a", 65535)
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	})
	s := newSession()
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	gw.open(t, "") // and reads no more
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	s.end()
	inASecond(t, "the upstream's side", began, ended)
}

func TestUpstreamOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		fmt.Fprint(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: server.URL, TLS: &tls.Config{RootCAs: roots}})},
		&proxy.Route{Path: "/strange", Upstream: newWay(t, proxy.UpstreamOptions{Target: server.URL})})})
	if res := gw.send(t, get("/")); res.body != "HTTP/2.0" {
		t.Errorf("got %d %q, want HTTP/2.0", res.StatusCode, res.body)
	}
	conn, _, err := dial(t, gw, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(t.Context()); string(got) != "hi" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if res := gw.send(t, get("/strange")); res.StatusCode != 502 {
		t.Errorf("a certificate nobody vouches for: got %d, want 502", res.StatusCode)
	}
}

// TestTunnelInBulk: all of it arrives in order, also what comes once one side has said all.
func TestTunnelInBulk(t *testing.T) {
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		_, _ = io.WriteString(conn, handshake)
		said, _ := io.ReadAll(conn) // to the client's end
		for range 3 {
			_, _ = conn.Write(said)
			time.Sleep(time.Millisecond)
		}
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	conn, br, _ := gw.open(t, "")
	said := strings.Repeat("0123456789abcdef", 8<<10) // more than any buffer on the way
	go func() {
		_, _ = io.WriteString(conn, said)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(br)
	if err != nil || string(got) != said+said+said {
		t.Errorf("got %d bytes and %v, want %d", len(got), err, 3*len(said))
	}
}
