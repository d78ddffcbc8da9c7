package web_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// noteFor serves one request and returns its Note.
func noteFor(t *testing.T, r *http.Request, trusted ...string) *web.Note {
	t.Helper()
	var o web.Options
	for _, p := range trusted {
		o.TrustedProxies = append(o.TrustedProxies, netip.MustParsePrefix(p))
	}
	var note *web.Note
	web.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { note = web.NoteOf(r.Context()) }), o).
		ServeHTTP(httptest.NewRecorder(), r)
	return note
}

func TestClientAddress(t *testing.T) {
	const proxy, stranger = "10.0.0.1:5000", "198.51.100.9:5000"
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy: the peer", stranger, nil, "198.51.100.9"},
		{"H-13 a stranger's list is not believed", stranger, []string{"203.0.113.7"}, "198.51.100.9"},
		{"a trusted proxy says who it is", proxy, []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the client wrote itself is left of that", proxy, []string{"1.1.1.1, 203.0.113.7"}, "203.0.113.7"},
		{"a chain of trusted proxies is walked", proxy, []string{"1.1.1.1, 203.0.113.7, 10.0.0.2"}, "203.0.113.7"},
		{"all trusted: the farthest", proxy, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"a proxy that adds a line of its own", proxy, []string{"1.1.1.1", "203.0.113.7"}, "203.0.113.7"},
		{"IPv6", proxy, []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv4 in IPv6 is IPv4", proxy, []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"a mapped peer is trusted as IPv4", "[::ffff:10.0.0.1]:5000", []string{"203.0.113.7"}, "203.0.113.7"},
		{"no list: the peer", proxy, nil, "10.0.0.1"},
		{"H-15 an empty list", proxy, []string{""}, "10.0.0.1"},
		{"H-15 a lone comma", proxy, []string{","}, "10.0.0.1"},
		{"H-15 unknown", proxy, []string{"unknown"}, "10.0.0.1"},
		{"H-15 garbage left of what counts is not read", proxy, []string{"unknown, 203.0.113.7"}, "203.0.113.7"},
		{"H-15 garbage right of a trusted one", proxy, []string{"203.0.113.7, unknown, 10.0.0.2"}, "10.0.0.1"},
		{"H-15 a zone", proxy, []string{"fe80::1%eth0"}, "10.0.0.1"},
		{"H-15 a port", proxy, []string{"1.2.3.4:99"}, "10.0.0.1"},
		{"H-15 a client's own list of 10 kB", proxy, []string{strings.Repeat("1.1.1.1, ", 1000) + "203.0.113.7"}, "203.0.113.7"},
		{"H-15 one long word of a client", proxy, []string{strings.Repeat("x", 10000) + ", 203.0.113.7"}, "203.0.113.7"},
		{"H-15 long lines of a client", proxy, []string{strings.Repeat("1.1.1.1, ", 1000), strings.Repeat(",", 5000), "203.0.113.7"}, "203.0.113.7"},
		{"H-15 a list of 10 kB", proxy, []string{strings.Repeat("10.0.0.2, ", 1000) + "10.0.0.2"}, "10.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.forwarded
			if got := noteFor(t, r, "10.0.0.0/8").Client.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestClientOnAUnixSocketHasNoAddress(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "@"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	if got := noteFor(t, r, "0.0.0.0/0", "::/0").Client; got.IsValid() {
		t.Errorf("got %s, want none", got)
	}
}

func TestScheme(t *testing.T) {
	for _, c := range []struct {
		name, peer string
		tls        bool
		proto      []string
		want       string
	}{
		{"plain", "198.51.100.9:1", false, nil, "http"},
		{"TLS", "198.51.100.9:1", true, nil, "https"},
		{"a stranger's word is not believed", "198.51.100.9:1", false, []string{"https"}, "http"},
		{"a stranger cannot make TLS plain", "198.51.100.9:1", true, []string{"http"}, "https"},
		{"a trusted proxy's is", "10.0.0.1:1", false, []string{"https"}, "https"},
		{"in any case", "10.0.0.1:1", false, []string{" HTTPS"}, "https"},
		{"a proxy may speak TLS to us for a plain client", "10.0.0.1:1", true, []string{"http"}, "http"},
		{"two lines are read two ways, so not at all", "10.0.0.1:1", false, []string{"https", "http"}, "http"},
		{"a list is not read", "10.0.0.1:1", false, []string{"https, http"}, "http"},
		{"other schemes are not", "10.0.0.1:1", false, []string{"gopher"}, "http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-Proto"] = c.proto
			if r.TLS = nil; c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if got := noteFor(t, r, "10.0.0.0/8").Scheme; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestUnknownClientIsTold: a proxy whose header cannot be read is told of once a minute,
// and each request that it was, to whoever wants to know.
func TestUnknownClientIsTold(t *testing.T) {
	for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
		t.Run(header, func(t *testing.T) {
			var log bytes.Buffer
			now := time.Unix(1e9, 0)
			h := web.Serve(http.NotFoundHandler(), web.Options{
				TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Forwarded: header == "Forwarded",
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: func() time.Time { return now },
			})
			ask := func(peer, value string) {
				r := httptest.NewRequest("GET", "/", nil)
				r.RemoteAddr = peer
				r.Header.Set(header, value)
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			told := func(level string) int { return strings.Count(log.String(), "level="+level+` msg="a trusted proxy`) }
			ask("198.51.100.9:1", "for=unknown") // a stranger's is not read
			ask("10.0.0.1:1", map[string]string{"Forwarded": "for=203.0.113.7"}[header]+map[string]string{"X-Forwarded-For": "203.0.113.7"}[header])
			if told("WARN")+told("DEBUG") != 0 {
				t.Fatalf("told of nothing:\n%s", &log)
			}
			for range 5 {
				ask("10.0.0.1:1", "for=unknown")
			}
			if told("WARN") != 1 || told("DEBUG") != 4 || !strings.Contains(log.String(), "proxy=10.0.0.1") || !strings.Contains(log.String(), "for=unknown") {
				t.Errorf("want one warning and four lines for who looks closer:\n%s", &log)
			}
			if !strings.Contains(log.String(), `client=10.0.0.1 `) {
				t.Errorf("want access lines with the peer:\n%s", &log)
			}
			now = now.Add(time.Minute)
			ask("10.0.0.1:1", strings.Repeat("\"x\n", 5000))
			if told("WARN") != 2 {
				t.Errorf("want a warning a minute later:\n%s", &log)
			}
			if log.Len() > 8000 {
				t.Errorf("a header of 15 kB makes a log of %d bytes", log.Len())
			}
		})
	}
}

func TestVicinity(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48"} {
		if got := web.Vicinity(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	if got := web.Vicinity(netip.Addr{}); got.IsValid() {
		t.Errorf("an address that is not known: got %s", got)
	}
}
