package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// framingMethods are requests that are told apart by more than their end: many on one
// connection, those of HTTP/2, and those that would turn a connection into something else.
var framingMethods = []attack{
	{"M-16", "critical", "chunks of `fffffffffffffffff` bytes, of -1, of none; without their line end", "400 and the end of the connection: what the app gets, if anything, has no end, and the rest is no request", func(t *testing.T, l *lab) {
		l.app.answers(t, func(g *got) string {
			t.Errorf("the app got a whole request of %q", g.raw)
			return echo(g)
		})
		for _, chunk := range []string{"fffffffffffffffff\r\nabc", "10000000000000000\r\nabc", "-1\r\nabc", "+3\r\nabc", "0x3\r\nabc", "3 \x01\r\nabc", "\r\nabc", "g\r\nabc", "3\r\nabcd\r\n0", "3\nabc", "3\rabc", "3\r\nabc\n0"} {
			sent := strings.ReplaceAll(framingPost(chunk+"\r\n0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked"), "HOST", l.host)
			answers, closed := l.sendFor(patience, sent)
			if len(answers) != 1 || answers[0].StatusCode != http.StatusBadRequest || !closed {
				t.Errorf("%q: got %d answers, closed: %v: %v", chunk, len(answers), closed, answers)
			}
		}
		l.app.set(nil)
		framingVictim(t, l, "chunks")
		all := l.app.since(t, l.before.requests)
		for i, g := range all {
			if victim := i == len(all)-1; !victim && g.RequestURI != "/public/x" {
				t.Errorf("the app got %q", g.raw)
			}
		}
		l.saw(traces{app: len(all)})
	}},
	{"M-23", "medium", "100 requests at once on one connection, with the cookies of two people, and without", "each is judged alone, and answered in its turn", func(t *testing.T, l *lab) {
		var sent strings.Builder
		who := [...]struct{ name, cookie string }{{"alice", framingPeople.alice}, {"", "X-Nobody: yes"}, {"bob", framingPeople.bob}}
		for i := range 100 {
			r := l.request("GET", fmt.Sprintf("/r%d", i), who[i%3].cookie, "Accept: application/json")
			if i < 99 {
				r = strings.Replace(r, "Connection: close\r\n", "", 1)
			}
			sent.WriteString(r)
		}
		answers, closed := l.sendFor(patience, sent.String())
		if len(answers) != 100 || !closed {
			t.Fatalf("got %d answers, closed: %v", len(answers), closed)
		}
		for i, r := range answers {
			name := who[i%3].name
			if name == "" {
				r.status(t, http.StatusUnauthorized)
				continue
			}
			var said struct {
				URI    string
				Header http.Header
			}
			if err := json.Unmarshal([]byte(r.body), &said); err != nil || r.StatusCode != 200 || said.URI != fmt.Sprintf("/r%d", i) || said.Header.Get("X-Forwarded-User") != name {
				t.Errorf("answer %d: got %d %.200q, want that of %s", i, r.StatusCode, r.body, name)
			}
		}
		framingVictim(t, l, "100 requests")
		l.saw(traces{app: 67 + 1})
	}},
	{"M-24", "high", "over HTTP/2: `transfer-encoding`, `connection`, line breaks in values, blanks and line breaks in `:path`, fields twice, in capitals, lengths that are not those of the body, `:authority` beside another `host`",
		"the stream ends, or 400; one length said twice is one; where the frames alone tell the length it goes up by that length; what is a request reaches the app with one Host, that of `:authority`, and without what no header of HTTP/1.1 may hold", framingFields},
	{"M-25", "high", "over HTTP/2: `CONNECT`, and `CONNECT` for a WebSocket (RFC 8441)", "405, or the stream ends, and nothing reaches the app", func(t *testing.T, l *lab) {
		for _, cookie := range []string{"x-nobody: yes", framingPeople.alice} {
			l.h2(append([]string{":method", "CONNECT", ":authority", l.host}, h2Fields(cookie)...)).is(t, "CONNECT", "405")
			l.h2(append([]string{":method", "CONNECT", ":authority", "internal.test:22"}, h2Fields(cookie)...), "SSH-2.0-x\r\n", "GET /public/smuggled HTTP/1.1\r\n\r\n").is(t, "CONNECT with a body", "405")
			l.h2(append([]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", l.host, ":path", "/public/x"}, h2Fields(cookie)...)).is(t, "extended CONNECT", "405", "reset")
			l.h2(append([]string{":method", "CONNECT", ":scheme", "https", ":authority", l.host, ":path", "/public/x"}, h2Fields(cookie)...)).is(t, "CONNECT with a path", "405", "reset")
		}
		framingVictim(t, l, "CONNECT")
		l.saw(traces{app: 1})
	}},
	{"M-28", "critical", "`CONNECT internal.test:22`, with and without a body", "405, the app gets nothing, and what follows is no tunnel", func(t *testing.T, l *lab) {
		for _, target := range []string{"internal.test:22", "127.0.0.1:22", l.host, "/public/x", "/admin/", "http://internal.test/"} {
			for _, after := range []string{"", "Content-Length: 9", "Transfer-Encoding: chunked"} {
				body := map[string]string{"": "", "Content-Length: 9": "SSH-2.0-x", "Transfer-Encoding: chunked": "9\r\nSSH-2.0-x\r\n0\r\n\r\n"}[after]
				line := "CONNECT " + target + " HTTP/1.1\r\nHost: " + l.host + "\r\n" + framingPeople.alice + "\r\n"
				if after != "" {
					line += after + "\r\n"
				}
				r := l.one(line + "Connection: close\r\n\r\n" + body)
				r.status(t, http.StatusMethodNotAllowed)
			}
		}
		framingVictim(t, l, "CONNECT")
		l.saw(traces{app: 1})
	}},
	{"M-29", "high", "`TRACE /`, which would show a script the token that goes up", "405, and nothing reaches the app", func(t *testing.T, l *lab) {
		for _, method := range []string{"TRACE", "TRACK"} {
			for _, target := range []string{"/", "/public/x", "/admin/"} {
				l.one(l.request(method, target, framingPeople.alice, "Max-Forwards: 0")).status(t, http.StatusMethodNotAllowed, http.StatusNotImplemented)
				l.h2(append([]string{":method", method, ":scheme", "https", ":authority", l.host, ":path", target}, h2Fields(framingPeople.alice)...)).is(t, method, "405", "501")
			}
		}
		l.saw(traces{})
	}},
}

// framingFields sends over HTTP/2 what no message of it may hold.
func framingFields(t *testing.T, l *lab) {
	get := func(more ...string) []string { return l.h2Get("/public/x", more...) }
	for what, fields := range map[string][]string{
		"transfer-encoding":           get("transfer-encoding", "chunked"),
		"connection":                  get("connection", "x-auth-user"),
		"keep-alive":                  get("keep-alive", "timeout=1"),
		"upgrade":                     get("upgrade", "h2c"),
		"te":                          get("te", "trailers, chunked"),
		"a line break in a value":     get("x-a", "1\r\nx-auth-user: evil"),
		"a line feed in a value":      get("x-a", "1\nx-auth-user: evil"),
		"a NUL in a value":            get("x-a", "1\x00"),
		"a blank in a name":           get("x-a :", "1"),
		"a line break in a name":      get("x-a: 1\r\nx-b", "1"),
		"capitals in a name":          get("X-Auth-User", "evil"),
		"no name":                     get("", "1"),
		"a path with a blank":         l.h2Get("/public/x HTTP/1.1"),
		"a path with a line break":    l.h2Get("/public/x HTTP/1.1\r\nx-a: 1\r\n\r\nGET /public/smuggled"),
		"no path":                     l.h2Get(""),
		"a path without a slash":      l.h2Get("public/x"),
		"another site's path":         l.h2Get("https://evil.test/public/x"),
		"two paths":                   get(":path", "/public/y"),
		"two methods":                 append([]string{":method", "DELETE"}, get()...),
		"two authorities":             get(":authority", "evil.test"),
		"a pseudo-header at the end":  get("x-a", "1", ":path", "/public/y"),
		"an unknown pseudo-header":    append([]string{":evil", "1"}, get()...),
		"a status":                    append([]string{":status", "200"}, get()...),
		"a method with a line break":  {":method", "GET /public/smuggled HTTP/1.1\r\nx: ", ":scheme", "https", ":authority", l.host, ":path", "/public/x"},
		"an authority with a blank":   {":method", "GET", ":scheme", "https", ":authority", l.host + " x", ":path", "/public/x"},
		"an authority with a break":   {":method", "GET", ":scheme", "https", ":authority", l.host + "\r\nx-a: 1", ":path", "/public/x"},
		"a scheme with a line break":  {":method", "GET", ":scheme", "https\r\nx-a: 1", ":authority", l.host, ":path", "/public/x"},
		"a userinfo in the authority": {":method", "GET", ":scheme", "https", ":authority", "evil@" + l.host, ":path", "/public/x"},
	} {
		l.h2(fields).is(t, what, "400", "reset", "closed")
	}
	if n := len(l.app.since(t, l.before.requests)); n > 0 {
		t.Errorf("the app got %d requests of those", n)
	}
	post := func(more ...string) []string {
		return append([]string{":method", "POST", ":scheme", "https", ":authority", l.host, ":path", "/public/x"}, more...)
	}
	l.h2(post("content-length", "3"), "abc", framingSmuggled).is(t, "a body longer than its length", "400", "reset", "closed")
	l.h2(post("content-length", "100"), "abc").is(t, "a body shorter than its length", "400", "reset", "closed")
	l.h2(post("content-length", "4", "content-length", "3"), "abc").is(t, "two lengths, the first too long", "400", "reset", "closed")
	part := l.app.since(t, l.before.requests) // they have no end at the app, if they got there
	if len(part) > 3 {
		t.Errorf("the app got %d requests of those, want 3 at most", len(part))
	}
	for _, g := range part {
		if g.Method != "POST" || g.ContentLength == int64(len(g.body)) || len(g.body) > 3 {
			t.Errorf("the app got a whole request: %q", g.raw)
		}
	}
	// The frames say where these end, and what else says so must not differ.
	for what, lengths := range map[string][]string{"a length without a body": {"content-length", "5"}, "two lengths": {"content-length", "0", "content-length", "5"}, "no number": {"content-length", "+0"}} {
		l.h2(get(lengths...)).is(t, what, "400", "reset")
	}
	for _, second := range []string{"4", "2", "03", "0", "+3", "", "3, 3"} {
		l.h2(post("content-length", "3", "content-length", second), "abc").is(t, "two lengths, 3 and "+second, "400", "reset")
	}
	l.h2(post("content-length", "3, 3"), "abc").is(t, "a list of lengths", "400", "reset")
	if n := len(l.app.since(t, l.before.requests)); n != len(part) {
		t.Errorf("the app got %d requests of two lengths", n-len(part))
	}
	l.h2(post("content-length", "3", "content-length", "3"), "abc").is(t, "one length, twice", "200")
	l.h2(get("host", "evil.test", "x-a", "kept")).is(t, "another host", "200", "400", "reset")
	l.h2(post(), "abc").is(t, "no length", "200")
	framingVictim(t, l, "odd fields")
	all := l.app.since(t, l.before.requests)
	for _, g := range all {
		framingPlain(t, g)
		if g.Host != l.host || g.Header.Get("X-Auth-User") != "" || strings.Contains(g.RequestURI, "smuggled") || strings.Contains(g.head(), "evil") {
			t.Errorf("the app got %q", g.head())
		}
	}
	for _, g := range all[len(part):] {
		if n := map[string]int{"GET": 0, "POST": 3}[g.Method]; len(g.body) != n || g.ContentLength > 0 && g.ContentLength != int64(n) {
			t.Errorf("the app got %q", g.raw)
		}
	}
	l.saw(traces{app: len(all)})
}
