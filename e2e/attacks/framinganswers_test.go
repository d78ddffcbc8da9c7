package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// framingApp is an app that answers each request with whatever bytes a case wants, as soon
// as it has the header.
type framingApp struct {
	net.Listener

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]bool
	answer string // "" hangs up
	hangUp bool   // after it
	asked  []string
}

func newFramingApp(t *testing.T) *framingApp {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	a := &framingApp{Listener: must(t, l, err), conns: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns[c] = true
			a.mu.Unlock()
			serving.Go(func() { a.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		a.drop()
		serving.Wait()
	})
	return a
}

func (a *framingApp) url() string { return "http://" + a.Addr().String() }

// drop ends all connections.
func (a *framingApp) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.conns {
		c.Close()
	}
	clear(a.conns)
}

// say has it answer so from now on. It returns what it was asked before.
func (a *framingApp) say(answer string, hangUp bool) (asked []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked, a.asked = a.asked, nil
	a.answer, a.hangUp = answer, hangUp
	return asked
}

func (a *framingApp) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		first := ""
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				return
			}
			if first == "" {
				first = strings.TrimSpace(line)
			}
		}
		a.mu.Lock()
		a.asked = append(a.asked, first)
		answer, hangUp := a.answer, a.hangUp
		a.mu.Unlock()
		if _, err := io.WriteString(c, answer); err != nil || hangUp || answer == "" {
			return
		}
	}
}

// framingFine is an answer with nothing wrong about it.
const framingFine = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n"

// framingPlanted is what an app, or who broke into one, leaves on a connection for the next
// one who gets it.
const framingPlanted = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Planted: yes\r\n\r\nplanted\n"

// framingAnswers are what an app answers, which the next person must not pay for.
var framingAnswers = []attack{
	{"M-26", "critical", "`Upgrade: h2c` with `HTTP2-Settings`, and the app answers 101", "the app is not asked for another protocol; if it changes to one all the same, 502, and no tunnel", func(t *testing.T, l *lab) {
		next := "GET /public/smuggled HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
		for _, asked := range [][]string{
			{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"},
			{"Connection: upgrade", "Upgrade: foo/1"}, {"Connection: Upgrade", "Upgrade: websocket, h2c"}, {"Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket"}, {"Upgrade: websocket"}, {},
		} {
			l.app.answers(t, func(g *got) string {
				if g.Header.Get("Upgrade") != "" || g.Header.Get("Http2-Settings") != "" || g.Header.Get("Connection") != "" {
					t.Errorf("the app got %q", g.head())
				}
				return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
			})
			answers, _ := l.sendFor(patience, strings.ReplaceAll("GET /public/x HTTP/1.1\r\nHost: HOST\r\n"+strings.Join(append(asked, ""), "\r\n")+"\r\n"+next, "HOST", l.host))
			if len(answers) != 2 || answers[0].StatusCode != 502 || answers[1].StatusCode != 502 {
				t.Errorf("%q: got %d answers, want two of 502: %v", asked, len(answers), answers)
			}
			l.app.set(nil)
			framingVictim(t, l, "a tunnel")
		}
		all := l.saw(traces{app: 6 * 3})
		for i, g := range all { // what follows was judged by itself, and asked for as itself
			if want := []string{"/public/x", "/public/smuggled", "/public/victim?of=1"}[i%3]; g.RequestURI != want {
				t.Errorf("request %d at the app: got %s, want %s", i, g.RequestURI, want)
			}
		}
	}},
	{"M-30", "high", "the app answers `WWW-Authenticate: NTLM` or `Negotiate`, which sign in a connection that others use next", "the challenge is taken out, or where there is no other one the answer is 502; no `Authorization: NTLM` reaches the app", func(t *testing.T, l *lab) {
		for _, tt := range []struct {
			challenge, left string
			status          int
		}{
			{"WWW-Authenticate: NTLM\r\n", "", 502}, {"WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n", "", 502}, {"www-authenticate: nTlM TlRMTVNTUAAC=, negotiate\r\n", "", 502},
			{"WWW-Authenticate: Negotiate, Basic realm=\"a, NTLM\"\r\n", `Basic realm="a, NTLM"`, 401},
		} {
			l.app.answers(t, func(g *got) string {
				if g.Header.Get("Authorization") != "" && !strings.HasPrefix(g.Header.Get("Authorization"), "Bearer ey") {
					t.Errorf("the app got %q", g.head())
				}
				return answer(401, tt.challenge, "")
			})
			for _, cookie := range []string{framingPeople.alice, framingPeople.bob} {
				r := l.get("/x", cookie, "Authorization: NTLM TlRMTVNTUAABAAAA")
				r.status(t, tt.status)
				if got := strings.Join(r.Header["Www-Authenticate"], ";"); got != tt.left {
					t.Errorf("%q: the browser gets the challenge %q, want %q", tt.challenge, got, tt.left)
				}
			}
			l.app.set(nil)
			framingVictim(t, l, "NTLM")
		}
		l.saw(traces{app: 4 * 3})
	}},
	{"M-31", "medium", "the app answers before it read the body; twice; with 1xx without end; with a wrong or a second length; with no header at all; with `HTTP/1.1 200\\nX:`", "the person gets that answer, cut off where it is wrong, or 502; nobody else gets any of it", framingBadApp},
}

// framingBadApp has the app answer badly, and asks again as somebody else.
func framingBadApp(t *testing.T, l *lab) {
	endless := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", 20000)
	for _, tt := range []struct {
		what, answer string
		hangUp       bool
		status       []int // 0 is no whole answer
		body         string
	}{
		{"two answers", framingFine + framingPlanted, false, []int{200}, "fine\n"},
		{"an answer, and the header of another", framingFine + "HTTP/1.1 200 OK\r\nX-Planted: ", false, []int{200}, "fine\n"},
		{"a body longer than its length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\nplanted", false, []int{200}, "fine\n"},
		{"a 304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\n\r\n" + framingPlanted, false, []int{304}, ""},
		{"a 204 with a body", "HTTP/1.1 204 No Content\r\n\r\n" + framingPlanted, false, []int{204}, ""},
		{"chunks and a length", "HTTP/1.1 200 OK\r\nContent-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfine\n\r\n0\r\n\r\n" + framingPlanted, false, []int{200}, "fine\n"},
		{"a body shorter than its length", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nfine\n", true, []int{0, 502}, ""},
		{"a chunk that is cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfi", true, []int{0, 502}, ""},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nfine\n", true, []int{502}, ""},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nfine\n", true, []int{502}, ""},
		{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n5\r\nfine\n\r\n0\r\n\r\n", true, []int{502}, ""},
		{"a header line without a name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 5\r\n\r\nfine\n", true, []int{502}, ""},
		{"a header line without a colon", "HTTP/1.1 200 OK\r\nplanted\r\nContent-Length: 5\r\n\r\nfine\n", true, []int{502}, ""},
		{"a NUL in a value", "HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 5\r\n\r\nfine\n", true, []int{502}, ""},
		{"no header", "HTTP/1.1 200\nX:", true, []int{502}, ""},
		{"something else", "SSH-2.0-OpenSSH_9.6\r\n", true, []int{502}, ""},
		{"nothing", "", true, []int{502}, ""},
		{"1xx without end", endless, true, []int{502}, ""},
		{"a 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n" + framingPlanted, false, []int{502}, ""},
	} {
		for _, method := range []string{"GET", "POST", "HEAD"} {
			framingOdd.say(tt.answer, tt.hangUp)
			status, body, head := framingAsk(t, l, method)
			fits := method == "HEAD" // what has no body is right about other things
			for _, s := range tt.status {
				fits = fits || s == status
			}
			if !fits || method != "HEAD" && status == 200 && body != tt.body || status != 0 && strings.Contains(head+body, "lanted") {
				t.Errorf("%s, to %s: got %d %.100q %.300q, want %v %q", tt.what, method, status, body, head, tt.status, tt.body)
			}
			framingOdd.say(framingFine, false)
			for range 2 {
				if status, body, head := framingAsk(t, l, "GET"); status != 200 || body != "fine\n" || strings.Contains(head, "lanted") {
					t.Errorf("after %s, to %s: somebody else gets %d %q, %q", tt.what, method, status, body, head)
				}
			}
			for _, line := range framingOdd.say(framingFine, false) {
				if line != "GET /strange/x HTTP/1.1" {
					t.Errorf("after %s, to %s: the app is asked %q", tt.what, method, line)
				}
			}
		}
	}
	framingEarly(t, l)
	framingVictim(t, l, "an app that answers badly")
	l.saw(traces{app: 1})
}

// framingAsk asks the odd app, and returns its last answer as the client got it. A status
// of 0 is one that was cut off.
func framingAsk(t *testing.T, l *lab, method string) (status int, body, head string) {
	t.Helper()
	c := l.dial(gatewayHost)
	defer c.Close()
	lines := ""
	if method == "POST" {
		lines = "Content-Length: 0\r\n"
	}
	fmt.Fprintf(c, "%s /strange/x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", method, l.host, lines)
	in := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return 0, err.Error(), ""
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			return 0, string(b), fmt.Sprint(res.Header)
		}
		return res.StatusCode, string(b), fmt.Sprint(res.Header)
	}
}

// framingEarly has the app answer while a body is still on its way. What is left of the
// body is no request, to the gateway or to the app.
func framingEarly(t *testing.T, l *lab) {
	t.Helper()
	smuggled := strings.ReplaceAll(framingSmuggled, "HOST", l.host)
	framingOdd.say(framingFine, false)
	for _, framed := range []string{fmt.Sprintf("Content-Length: %d", len(smuggled)), "Transfer-Encoding: chunked"} {
		c := l.dial(gatewayHost)
		fmt.Fprintf(c, "POST /strange/x HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", l.host, framed)
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("an early answer, %s: %v", framed, err)
		}
		if b, _ := io.ReadAll(res.Body); string(b) != "fine\n" || !res.Close {
			t.Errorf("an early answer, %s: got %q, closing: %v", framed, b, res.Close)
		}
		_, _ = io.WriteString(c, smuggled+smuggled)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("an early answer, %s: then came %q", framed, rest)
		}
		c.Close()
		if status, body, _ := framingAsk(t, l, "GET"); status != 200 || body != "fine\n" {
			t.Errorf("after an early answer, %s: somebody else gets %d %q", framed, status, body)
		}
	}
	for _, line := range framingOdd.say(framingFine, false) {
		if line != "POST /strange/x HTTP/1.1" && line != "GET /strange/x HTTP/1.1" {
			t.Errorf("the app is asked %q", line)
		}
	}
}
