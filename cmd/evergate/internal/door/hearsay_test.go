package door_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/internal/web"
)

// TestNobodyKnown: whoever the proxy does not know comes with the proxy's address,
// and what it says of itself is not believed for that. Requests that follow on the
// same connection are no better.
func TestNobodyKnown(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name, header, client, scheme string
	}{
		{"version 1, unknown", "PROXY UNKNOWN\r\n", proxyAddress, ""},
		{"version 1, unknown with addresses", "PROXY UNKNOWN 203.0.113.7 192.0.2.1 4711 443\r\n", proxyAddress, ""},
		{"version 2, local", version2(t, proxyproto.LOCAL, "203.0.113.7:4711"), proxyAddress, ""},
		{"version 2, unknown", nobody2(""), proxyAddress, ""},
		{"a client that is known", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", "203.0.113.7", ""},
		{"a trusted proxy behind the proxy", "PROXY TCP4 " + proxyAddress + " 192.0.2.1 4711 443\r\n", "6.6.6.6", "http"},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", c.name, secure), func(t *testing.T) {
				o := behindProxy(door.Limits{})
				if secure {
					o.Certificates = files(t, a)
				}
				o.Handler = web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n := web.NoteOf(r.Context())
					fmt.Fprint(w, n.Client, " ", n.Scheme)
				}), web.Options{TrustedProxies: o.TrustedProxies})
				var conn net.Conn = dialFrom(t, proxyAddress, serve(t, o).front)
				_, _ = io.WriteString(conn, c.header)
				want, said := c.client+" http", "https"
				if secure {
					conn = tls.Client(conn, a.client())
					want, said = c.client+" https", "http"
				}
				if c.scheme != "" {
					want = c.client + " " + said
				}
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				from := bufio.NewReader(conn)
				for range 2 {
					fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: gate.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: %s\r\n\r\n", said)
					res, err := http.ReadResponse(from, nil)
					if err != nil {
						t.Fatal(err)
					}
					if body, _ := io.ReadAll(res.Body); string(body) != want {
						t.Errorf("got %s, want %s", body, want)
					}
				}
			})
		}
	}
}
