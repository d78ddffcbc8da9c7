package web_test

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

// forwardedNote is the Note of a request from peer with these lines of Forwarded, where
// 10.0.0.0/8 is trusted.
func forwardedNote(peer string, forwarded, forwardedFor []string, rfc7239 bool) *web.Note {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = peer
	r.Header["Forwarded"], r.Header["X-Forwarded-For"] = forwarded, forwardedFor
	var note *web.Note
	web.Serve(noted(&note), web.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Forwarded: rfc7239}).
		ServeHTTP(httptest.NewRecorder(), r)
	return note
}

func TestForwarded(t *testing.T) {
	const proxy, stranger = "10.0.0.1:5000", "198.51.100.9:5000"
	for _, c := range []struct {
		name, peer   string
		lines        []string
		client, want string
	}{
		{"no header: the peer", proxy, nil, "10.0.0.1", "http"},
		{"H-13 a stranger's is not believed", stranger, []string{"for=203.0.113.7;proto=https"}, "198.51.100.9", "http"},
		{"a trusted proxy's is", proxy, []string{"for=203.0.113.7;proto=https;by=10.0.0.1;host=x"}, "203.0.113.7", "https"},
		{"in any case and order", proxy, []string{"Proto=HTTPS;FOR=203.0.113.7"}, "203.0.113.7", "https"},
		{"what the client wrote itself is left of that", proxy, []string{"for=1.1.1.1;proto=http, for=203.0.113.7;proto=https"}, "203.0.113.7", "https"},
		{"a chain: the scheme is the client's", proxy, []string{"for=203.0.113.7;proto=https, for=10.0.0.2;proto=http"}, "203.0.113.7", "https"},
		{"a line for each proxy", proxy, []string{"for=203.0.113.7;proto=https", "for=10.0.0.2"}, "203.0.113.7", "https"},
		{"all trusted: the farthest", proxy, []string{"for=10.0.0.3, for=10.0.0.2"}, "10.0.0.3", "http"},
		{"a port", proxy, []string{`for="203.0.113.7:4711"`}, "203.0.113.7", "http"},
		{"IPv6", proxy, []string{`for="[2001:db8::1]"`}, "2001:db8::1", "http"},
		{"IPv6 with a port", proxy, []string{`for="[2001:db8::1]:_p"`}, "2001:db8::1", "http"},
		{"a quoted comma does not cut", proxy, []string{`for=203.0.113.7;by="a,for=1.1.1.1;b"`}, "203.0.113.7", "http"},
		{"an escaped quote does not end", proxy, []string{`for=203.0.113.7;by="\",for=1.1.1.1"`}, "203.0.113.7", "http"},
		{"H-15 unknown", proxy, []string{"for=unknown;proto=https"}, "10.0.0.1", "http"},
		{"H-15 a made-up name", proxy, []string{"for=_hidden;proto=https"}, "10.0.0.1", "http"},
		{"H-15 no for", proxy, []string{"proto=https"}, "10.0.0.1", "http"},
		{"H-15 for twice", proxy, []string{"for=203.0.113.7;for=1.1.1.1"}, "10.0.0.1", "http"},
		{"H-15 IPv6 without brackets", proxy, []string{`for="2001:db8::1"`}, "10.0.0.1", "http"},
		{"H-15 IPv4 in brackets", proxy, []string{`for="[203.0.113.7]"`}, "10.0.0.1", "http"},
		{"H-15 a quote that does not end", proxy, []string{`for="203.0.113.7`}, "10.0.0.1", "http"},
		{"H-15 text behind a quote", proxy, []string{`for="203.0.113.7"x`}, "10.0.0.1", "http"},
		{"H-15 another scheme", proxy, []string{"for=203.0.113.7;proto=gopher"}, "10.0.0.1", "http"},
		{"H-15 garbage left of what counts is not read", proxy, []string{"for=unknown, for=203.0.113.7"}, "203.0.113.7", "http"},
		{"H-15 a client's open quote", proxy, []string{`for="x, for=203.0.113.7;proto=https`}, "203.0.113.7", "https"},
		{"H-15 a client's open quote before a quoted element", proxy, []string{`for="x, for="203.0.113.7:99";proto=https`}, "203.0.113.7", "https"},
		{"H-15 a client's open quote in a line of its own", proxy, []string{`for="x`, `for="203.0.113.7";proto=https`}, "203.0.113.7", "https"},
		{"H-15 a client's open quote and backslash", proxy, []string{`for="x\`, `for="203.0.113.7";proto=https`}, "203.0.113.7", "https"},
		{"H-15 a client's 10 kB", proxy, []string{strings.Repeat("for=1.1.1.1, ", 1000) + "for=203.0.113.7;proto=https"}, "203.0.113.7", "https"},
		{"an escaped backslash before the end of a quote", proxy, []string{`for=203.0.113.7;by="\\"`}, "203.0.113.7", "http"},
		{"H-15 10 kB", proxy, []string{strings.Repeat("for=10.0.0.2, ", 1000) + "for=10.0.0.2"}, "10.0.0.1", "http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// What a client wrote into the other header passes through such a proxy.
			note := forwardedNote(c.peer, c.lines, []string{"6.6.6.6"}, true)
			if got := note.Client.String(); got != c.client || note.Scheme != c.want {
				t.Errorf("got %s by %s, want %s by %s", got, note.Scheme, c.client, c.want)
			}
		})
	}
}

// TestOneHeaderIsBelieved: where X-Forwarded-For counts, Forwarded is the client's own.
func TestOneHeaderIsBelieved(t *testing.T) {
	note := forwardedNote("10.0.0.1:1", []string{"for=6.6.6.6;proto=https"}, []string{"203.0.113.7"}, false)
	if note.Client.String() != "203.0.113.7" || note.Scheme != "http" {
		t.Errorf("got %s by %s, want 203.0.113.7 by http", note.Client, note.Scheme)
	}
}

// FuzzFictionLeft: whatever a client writes into the header, in the line that the proxy
// goes on with or in lines before it, the proxy's own word counts.
func FuzzFictionLeft(f *testing.F) {
	for _, s := range []string{"", "203.0.113.7", `for="`, `for="x\`, `"\`, `\`, ",", `",`, "for=10.0.0.2", strings.Repeat("1.1.1.1,", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, fiction string) {
		for _, own := range []string{`for=203.0.113.7;proto=https`, `for="203.0.113.7:4711";proto="https"`, `proto=https;by="\",for=6.6.6.6\\";for=203.0.113.7`} {
			for _, lines := range [][]string{{fiction + "," + own}, {fiction, own}, {fiction, fiction + ", " + own + ", for=10.0.0.2;by=\"x,\""}} {
				if note := forwardedNote("10.0.0.1:1", lines, nil, true); note.Client.String() != "203.0.113.7" || note.Scheme != "https" {
					t.Fatalf("%q: got %s by %s", lines, note.Client, note.Scheme)
				}
			}
		}
		for _, lines := range [][]string{{fiction + ",203.0.113.7"}, {fiction, "203.0.113.7"}, {fiction, fiction + ",203.0.113.7, 10.0.0.2"}} {
			if note := forwardedNote("10.0.0.1:1", nil, lines, false); note.Client.String() != "203.0.113.7" {
				t.Fatalf("%q: got %s", lines, note.Client)
			}
		}
	})
}

// FuzzForwarded: nothing panics, and a list of plain addresses means the same in both
// headers.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"203.0.113.7", "1.1.1.1, 203.0.113.7, 10.0.0.2", `for="[2001:db8::1]:9"`, `";,=\`, "for=_x;proto=https", "10.0.0.2,,1.1.1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		forwardedNote("10.0.0.1:1", []string{s}, nil, true)
		list := strings.Split(s, ",")
		for i, a := range list {
			addr, err := netip.ParseAddr(strings.TrimSpace(a))
			if err != nil || !addr.Is4() {
				return
			}
			list[i] = "for=" + addr.String()
		}
		if len(s) > 1000 {
			return
		}
		want := forwardedNote("10.0.0.1:1", nil, []string{s}, false).Client
		if got := forwardedNote("10.0.0.1:1", []string{strings.Join(list, ",")}, nil, true).Client; got != want {
			t.Errorf("%q: got %s by Forwarded, %s by X-Forwarded-For", s, got, want)
		}
	})
}
