package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func init() { sections = append(sections, framing) }

// framingOdd is the app that answers as no app should.
var framingOdd *framingApp

// framingPeople are the cookies of two who are signed in while the section runs.
var framingPeople struct{ alice, bob string }

func TestFraming(t *testing.T) {
	t.Parallel()
	framingOdd = newFramingApp(t)
	l := newLab(t, setup{routes: usualRoutes + fmt.Sprintf("  - { match: { path: /strange/ }, public: true, upstream: %q }\n", framingOdd.url())})
	framingPeople.alice, framingPeople.bob = l.signIn("alice"), l.signIn("bob")
	framing.try(t, l)
}

// framing are messages whose end two servers could see in different places. After each, a
// victim on another connection has to get the answer to its own request.
var framing = &section{name: "Requests within requests", test: "TestFraming", attacks: slices.Concat(framingRequests, framingMethods, framingAnswers)}

// framingVictim is somebody else, on a connection of their own, who asks for a page of
// the app and has to get that page. The app gets one request more.
func framingVictim(t *testing.T, l *lab, after string) {
	t.Helper()
	r := l.get("/public/victim?of=1", "X-Victim: yes")
	var said struct {
		Method, URI, Body string
		Header            http.Header
	}
	if err := json.Unmarshal([]byte(r.body), &said); err != nil || r.StatusCode != 200 || said.Method != "GET" || said.URI != "/public/victim?of=1" || said.Body != "" || said.Header.Get("X-Victim") != "yes" {
		t.Errorf("after %.100q somebody else gets %d %.300q", after, r.StatusCode, r.body)
	}
}

// framingTry is bytes on the wire, and what comes of them.
type framingTry struct {
	sent   string // with HOST for the gateway's
	status int
	up     string // the request line and the body that the app gets, with a blank between; "" is nothing
}

// framingOf sends each on a connection of its own. There is one answer to each, and the
// connection ends with it.
func framingOf(all ...framingTry) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		var want []string
		for _, try := range all {
			answers, closed := l.sendFor(patience, strings.ReplaceAll(try.sent, "HOST", l.host))
			if len(answers) != 1 || answers[0].StatusCode != try.status || !closed {
				var got []string
				for _, r := range answers {
					got = append(got, fmt.Sprintf("%d %.100q", r.StatusCode, r.body))
				}
				t.Errorf("%.200q: got %d answers, closed: %v, want one of %d and the end\n%s", try.sent, len(answers), closed, try.status, strings.Join(got, "\n"))
			}
			if try.up != "" {
				want = append(want, try.up)
			}
			framingVictim(t, l, try.sent)
			want = append(want, "GET /public/victim?of=1 ")
		}
		var have []string
		for _, g := range l.saw(traces{app: len(want)}) {
			have = append(have, fmt.Sprintf("%s %s %s", g.Method, g.RequestURI, g.body))
			framingPlain(t, g)
		}
		if !slices.Equal(have, want) {
			t.Errorf("the app got %q, want %q", have, want)
		}
	}
}

// framingPlain fails the case unless a request reached the app as every server reads it:
// lines that end in CRLF, no control character, one Host, and one way at most to tell its
// length.
func framingPlain(t *testing.T, g *got) {
	t.Helper()
	head := g.head()
	lengths, hosts := 0, 0
	for line := range strings.SplitSeq(strings.TrimSuffix(head, "\r\n"), "\r\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			t.Errorf("the app got the line %q", line)
		}
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		switch strings.TrimSpace(name) {
		case "content-length", "transfer-encoding":
			lengths++
		case "host":
			hosts++
		}
	}
	if lengths > 1 || hosts != 1 {
		t.Errorf("the app got %d lengths and %d hosts: %q", lengths, hosts, head)
	}
}

// framingPost is a POST with these lines, and what follows it.
func framingPost(after string, lines ...string) string {
	return "POST /public/x HTTP/1.1\r\nHost: HOST\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n" + after
}

const framingSmuggled = "GET /public/smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n"

// framingInside is a request that a chunk holds.
const framingInside = "GET /public/smuggled HTTP/1.1\r\nHost: gw.test\r\nX-A: 1\r\n\r\n"

// What has to come of most.
const framing400 = "400, the connection ends, and nothing reaches the app"

// framingRequests are what a client sends over HTTP/1.1.
var framingRequests = []attack{
	{"M-01", "critical", "`Content-Length: 6` beside `Transfer-Encoding: chunked`, where the length covers more than the chunks", "the chunks count; the app gets one request with one length, what follows is no request, and the connection ends (RFC 9112 section 6.1)",
		framingOf(
			framingTry{framingPost("0\r\n\r\nG", "Content-Length: 6", "Transfer-Encoding: chunked"), 200, "POST /public/x "},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked", "Content-Length: 60"), 200, "POST /public/x "},
			framingTry{framingPost("3\r\nabc\r\n0\r\n\r\n"+framingSmuggled, "Content-Length: 80", "transfer-encoding: CHUNKED"), 200, "POST /public/x abc"},
			framingTry{framingPost("3\r\nabc\r\n0\r\n\r\n"+framingSmuggled, "Transfer-Encoding:", " chunked", "Content-Length: 80"), 200, "POST /public/x abc"},
			framingTry{strings.Replace(framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked", "Content-Length: 60"), "POST /public/x", "GET /public/x", 1), 200, "GET /public/x "},
			framingTry{strings.Replace(framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked", "Content-Length: 60"), "POST /public/x", "POST /admin/x", 1), 401, ""},
		)},
	{"M-02", "critical", "`Content-Length: 4` beside `Transfer-Encoding: chunked`, where a chunk holds a request", "the chunks count, in HTTP/1.0 the length; what is left is no request, and the connection ends",
		framingOf(
			framingTry{framingPost(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(framingInside), framingInside), "Content-Length: 4", "Transfer-Encoding: chunked"), 200, "POST /public/x " + framingInside},
			framingTry{framingPost(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(framingInside), framingInside), "Transfer-Encoding: chunked", "Content-Length: 0"), 200, "POST /public/x " + framingInside},
			framingTry{"POST /public/x HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
				fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(framingInside), framingInside), 200, fmt.Sprintf("POST /public/x %x\r\n", len(framingInside))},
		)},
	{"M-05", "critical", "two `Transfer-Encoding` lines, and codings that are not `chunked`", "501, the connection ends, and nothing reaches the app",
		framingOf(
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked", "Transfer-Encoding: identity"), 501, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked, identity"), 501, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: gzip, chunked"), 501, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: xchunked"), 501, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, `Transfer-Encoding: "chunked"`), 501, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding:"), 501, ""},
		)},
	{"M-06", "critical", "`Transfer-Encoding : chunked`: a blank before the colon", framing400,
		framingOf(framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding : chunked"), 400, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding\t: chunked"), 400, ""},
			framingTry{framingPost("", "Content-Length : 0"), 400, ""})},
	{"M-07", "critical", "`Transfer-Encoding:\\x0bchunked`: a control character for a blank", framing400,
		framingOf(framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding:\x0bchunked"), 400, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chunked\x0c"), 400, ""},
			framingTry{framingPost("0\r\n\r\n"+framingSmuggled, "Transfer-Encoding: chu\x00nked"), 400, ""})},
	{"M-32", "high", "`Transfer_Encoding: chunked`, `Content.Length: 60`: names that some servers fold, beside the real length", "the app gets the real one alone", func(t *testing.T, l *lab) {
		for _, line := range []string{"Transfer_Encoding: chunked", "transfer.encoding: chunked", "Content_Length: 60", "content.length: 60", "Content~Length: 60"} {
			l.one(strings.ReplaceAll(framingPost("abc", line, "Content-Length: 3", "Connection: close"), "HOST", l.host)).status(t, 200)
			l.get("/public/x", line).status(t, 200)
			framingVictim(t, l, line)
			l.h2(append(l.h2Get("/public/x"), h2Fields(line)...)).is(t, line, "200")
		}
		for _, g := range l.saw(traces{app: 5 * 4}) {
			framingPlain(t, g)
			for name := range g.Header {
				if name != "Content-Length" && (strings.Contains(name, "ength") || strings.Contains(name, "ncoding")) {
					t.Errorf("the app got %q", g.head())
				}
			}
		}
	}},
	{"M-09", "high", "a header that goes on in the next line, which begins with a blank: `X-A: 1`, ` X-Auth-User: evil`", "it stays in the value of the first one, in one line", func(t *testing.T, l *lab) {
		for _, blank := range []string{" ", "\t", "   "} {
			l.get("/public/x", "X-A: 1", blank+"X-Auth-User: evil", "X-B: 2").status(t, 200)
			framingVictim(t, l, blank)
		}
		for _, g := range l.saw(traces{app: 6}) {
			framingPlain(t, g)
			g.without(t, "X-Auth-User")
			if g.RequestURI == "/public/x" && (g.Header.Get("X-A") != "1 X-Auth-User: evil" || g.Header.Get("X-B") != "2") {
				t.Errorf("the app got %q", g.head())
			}
		}
	}},
	{"M-10", "high", "a first header line that begins with a blank", framing400,
		framingOf(framingTry{"GET /public/x HTTP/1.1\r\n X-A: 1\r\nHost: HOST\r\n\r\n", 400, ""}, framingTry{"GET /public/x HTTP/1.1\r\n\tHost: HOST\r\n\r\n", 400, ""})},
	{"M-11", "high", "a bare CR: in a value, in a name, between lines", framing400,
		framingOf(framingTry{"GET /public/x HTTP/1.1\r\nHost: HOST\r\nX-A: 1\rX-Auth-User: evil\r\n\r\n", 400, ""},
			framingTry{"GET /public/x HTTP/1.1\r\nHost: HOST\r\nX-A\r: 1\r\n\r\n", 400, ""},
			framingTry{"GET /public/x HTTP/1.1\rHost: HOST\r\n\r\n", 400, ""},
			framingTry{"GET /public/\rx HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, ""})},
	{"M-12", "high", "a NUL: in a value, in a name, in the request line", framing400,
		framingOf(framingTry{"GET /public/x HTTP/1.1\r\nHost: HOST\r\nX-A: 1\x002\r\n\r\n", 400, ""}, framingTry{"GET /public/x HTTP/1.1\r\nHost: HOST\r\nX-\x00A: 1\r\n\r\n", 400, ""},
			framingTry{"GET /public/\x00x HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, ""}, framingTry{"GE\x00T /public/x HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, ""})},
	{"M-13", "high", "lines that end in LF alone", "one request, which the app gets with CRLF; chunks that end like that are refused",
		framingOf(framingTry{"GET /public/x HTTP/1.1\nHost: HOST\nConnection: close\nX-A: 1\n\n", 200, "GET /public/x "},
			framingTry{"POST /public/x HTTP/1.1\nHost: HOST\nConnection: close\nContent-Length: 3\n\nabc", 200, "POST /public/x abc"},
			framingTry{"GET /public/x HTTP/1.1\r\nHost: HOST\nConnection: close\r\nX-A: 1\n\r\n", 200, "GET /public/x "})},
	{"M-15", "high", "`Content-Length: +1`, `0x1`, `-1`, `1, 1`, ``, two that differ; and two that are equal", "400 and the end of the connection; two that are equal are one",
		framingOf(append(framingLengths("+1", "0x1", "-1", "1, 1", "1 1", "1.0", "1e0", "", "99999999999999999999", "\x0b1"),
			framingTry{framingPost("a"+framingSmuggled, "Content-Length: 1", "Content-Length: 50"), 400, ""},
			framingTry{framingPost("a"+framingSmuggled, "Content-Length: 50", "content-length: 1"), 400, ""},
			framingTry{framingPost("a", "Content-Length: 1", "Content-Length: 1", "Connection: close"), 200, "POST /public/x a"})...)},
	{"M-18", "medium", "`5;ext=\"a\\r\\n\"`: extensions of chunks, and trailers", "the app gets the body in chunks of the gateway's own", func(t *testing.T, l *lab) {
		l.one(strings.ReplaceAll(framingPost("5;evil=1\r\nhello\r\n1;evil=\"x;y\"\r\n!\r\n0;evil\r\nEvil: 1\r\n\r\n", "Transfer-Encoding: chunked", "Connection: close"), "HOST", l.host)).status(t, 200)
		framingVictim(t, l, "extensions")
		all := l.saw(traces{app: 2})
		if len(all) > 0 && (string(all[0].body) != "hello!" || strings.Contains(strings.ToLower(string(all[0].raw)), "evil")) {
			t.Errorf("the app got %q", all[0].raw)
		}
	}},
	{"M-21", "medium", "`GET /` without a version, and versions that are none", "400 or 505, the connection ends, and nothing reaches the app",
		framingOf(framingTry{"GET /\r\n\r\n", 400, ""}, framingTry{"GET /public/x\r\nHost: HOST\r\n\r\n", 400, ""}, framingTry{"GET /public/x HTTP/1.1 HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, ""},
			framingTry{"GET /public/x HTTP/3.0\r\nHost: HOST\r\n\r\n", 505, ""}, framingTry{"GET /public/x HTTP/1.10\r\nHost: HOST\r\n\r\n", 400, ""},
			framingTry{"GET  /public/x HTTP/1.1\r\nHost: HOST\r\n\r\n", 400, ""}, framingTry{"GET /public/x http/1.1\r\nHost: HOST\r\n\r\n", 400, ""})},
}

// framingLengths are lengths that are none.
func framingLengths(values ...string) (all []framingTry) {
	for _, v := range values {
		all = append(all, framingTry{framingPost("a"+framingSmuggled, "Content-Length: "+v), 400, ""})
	}
	return all
}
