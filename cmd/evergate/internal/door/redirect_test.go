package door_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

func TestRedirect(t *testing.T) {
	known := func(h string) bool { return h == "gate.example" || h == "[::1]" }
	standard, other := serve(t, door.Options{Known: known, Port: "443"}), serve(t, door.Options{Known: known, Port: "8443"})
	for _, c := range []struct {
		name, line, host string
		at               *open
		want             int
		location         string
	}{
		{"a known host", "GET /a?b=c", "gate.example", standard, 308, "https://gate.example/a?b=c"},
		{"a form that was posted", "POST /a", "gate.example", standard, 308, "https://gate.example/a"},
		{"another port of https", "GET /a", "gate.example", other, 308, "https://gate.example:8443/a"},
		{"the port of plain http goes", "GET /", "GATE.example.:8080", standard, 308, "https://gate.example/"},
		{"an address", "GET /", "[::1]:80", other, 308, "https://[::1]:8443/"},
		{"path and query as they came", "GET /%2e%2E/a%2Fb;c?x=%zz&y", "gate.example", standard, 308, "https://gate.example/%2e%2E/a%2Fb;c?x=%zz&y"},
		{"two slashes stay a path", "GET //evil.example/x", "gate.example", standard, 308, "https://gate.example//evil.example/x"},
		{"a request line with a host of its own", "GET http://evil.example/x", "gate.example", standard, 421, ""},
		{"a stranger's host", "GET /", "evil.example", standard, 421, ""},
		{"a known host as a user name", "GET /", "gate.example@evil.example", standard, 400, ""},
		{"no host", "GET /", "", standard, 421, ""},
		{"no path", "OPTIONS *", "gate.example", standard, 308, "https://gate.example/"},
		{"a tunnel", "CONNECT gate.example:443", "gate.example", standard, 308, "https://gate.example/"},
		{"a challenge, where there is no ACME", "GET /.well-known/acme-challenge/x", "gate.example", standard, 308, "https://gate.example/.well-known/acme-challenge/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialFrom(t, "127.0.0.1", c.at.redirect)
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\n\r\n", c.line, c.host)
			method, _, _ := strings.Cut(c.line, " ")
			res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got := res.Header.Get("Location"); res.StatusCode != c.want || got != c.location {
				t.Errorf("got %d to %q, want %d to %q", res.StatusCode, got, c.want, c.location)
			}
		})
	}
}
