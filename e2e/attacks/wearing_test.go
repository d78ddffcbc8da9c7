package attacks

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func init() { sections = append(sections, wearing) }

// wearProvider is the lab whose people sign in at a provider.
var wearProvider struct {
	*lab
	*wearFront
}

func TestWearing(t *testing.T) {
	t.Parallel()
	wearProvider.lab, wearProvider.wearFront = newWearProvider(t)
	// A short limit is for the cases that are about it: a busy machine is slow to others too.
	limited := func(limit string) *lab {
		return newLab(t, setup{more: "limits: { " + limit + " }\n", routes: wearRoutes})
	}
	stalls := limited("stall_timeout: 1s")
	wearing.tryOn(t, newLab(t, setup{routes: wearRoutes}), map[string]*lab{"D-01": limited("header_timeout: 1s"), "D-02": limited("request_timeout: 2s"), "D-03": stalls, "D-11": stalls})
}

const wearRoutes = `  - match: { path: /public/ }
    public: true
    upstream: %[1]q
  - match: { path: /long/ }
    allow:
      - when: request.header("X-A") matches "^(a+)+$"
      - when: request.path matches "^/long/(a|aa|a*)*$"
    upstream: %[1]q
  - match: { path: /stars/*/*/*/*/*/*/*/*/x }
    public: true
    upstream: %[1]q
  - match: { path: /stars/*/a/*/a/*/a/*/a/y }
    public: true
    upstream: %[1]q
  - upstream: %[1]q
`

// wearing is what costs its sender little and the gateway much.
var wearing = &section{name: "Wearing it out", test: "TestWearing", attacks: []attack{
	{"D-01", "high", "200 connections (5,000 in full) that say nothing, that break off in the TLS handshake, and that send a byte of a header ten times a second, with `header_timeout: 1s`",
		"each is closed within that time and the gateway's own grain; others do not notice", wearSlowHeaders},
	{"D-02", "medium", "100 bodies (2,000 in full) that come a byte at a time, to an app and to the sign-in form, with `request_timeout: 2s`",
		"408 (of the sign-in form 400, for half a form is none), or the end of the connection, when the time is over; others do not notice", wearSlowBodies},
	{"D-03", "medium", "40 clients (400 in full) that ask for 8 MiB and read none of it, with `stall_timeout: 1s`",
		"they are cut off, and the answer never piles up in the gateway", wearSlowReaders},
	{"D-05", "medium", "1 MiB of header: in one line, in 10,000 lines, as a request line; and 1,000 lines of a few bytes", "431 or 414 before it is all read; the app sees nothing", wearLargeHeaders},
	{"D-07", "medium", "1,000 cookies; 1,000 times the gateway's own; 1,000 that look like parts of it; with and without a session", "answered within a moment: 200 on public paths, and a request with the cookie twice is nobody's", wearCookies},
	{"D-10", "high", "1,000 made-up and mutilated cookies of the gateway's (20,000 in full)", "nobody is signed in by them, none of them is looked for in the store, and nothing is written to it", wearForged},
	{"D-11", "high", "HTTP/2: requests that are reset at once, a header without end, PING and SETTINGS without reading the answers, 100 answers into a window of one byte", "the connection is ended, or held to what it may take; others do not notice", wearHTTP2},
	{"D-12", "medium", "TLS 1.2 renegotiation; KeyUpdate of TLS 1.3 again and again (`openssl s_client`)", "the connection ends", wearRenegotiation},
	{"D-13", "medium", "answers of 1 GiB from the provider that are 1 MiB compressed, and plain ones of 4 MiB: metadata, keys, token; and an app whose login form is such a page", "1 MiB of each is read; the sign-in fails with an error page, and works again when the provider does", wearBombs},
	{"D-16", "medium", "a session file with 20,000 sessions that have ended (1,000,000 in full)", "it opens at once, and sign-ins are answered while they go; in the unit tests: `TestSweepAndWritesTakeTurns`", wearExpired},
	{"D-17", "medium", "rules with `(a+)+$`, `(a|aa|a*)*$` and a glob of many stars, and requests made to have each of them backtrack", "answered within a moment: expressions are RE2, globs do not backtrack", wearBacktracking},
	{"D-18", "high", "the provider is out of reach; meanwhile 2,000 people (100,000 in full) begin to sign in, without a cookie", "public paths and live sessions are served, sign-ins get 503, memory stays flat; nothing is stored for who only begins. The ten minutes, by a clock: `TestOutageKeepsTheSession`", wearOutage},
	{"D-19", "medium", "an app that sends every request back to the gateway", "508 after 16 rounds; others do not notice", wearLoop},
}}

func wearSlowHeaders(t *testing.T, l *lab) {
	n := wearCount(t, "slow connections", 200, 5000)
	var took wearTimes
	served := l.wearBeside(64+n/50, func() {
		wearAll(n, func(i int) {
			c, err := l.wearDial(i)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			start := time.Now()
			switch i % 4 {
			case 0: // nothing
			case 1: // the beginning of a handshake
				_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1})
			default:
				c.Close()
				if c = l.wearTLS(t, i); c == nil {
					return
				}
				defer c.Close()
				start = time.Now()
				go func() {
					for _, b := range []byte("GET /public/ HTTP/1.1\r\nHost: " + l.host + "\r\nX-Slow: " + strings.Repeat("x", 200)) {
						if _, err := c.Write([]byte{b}); err != nil {
							return
						}
						time.Sleep(100 * time.Millisecond)
					}
				}()
			}
			_ = c.SetDeadline(start.Add(patience))
			if _, err := io.Copy(io.Discard, c); isTimeout(err) {
				t.Errorf("connection %d is open after %v", i, patience)
			}
			took.add(time.Since(start))
		})
	})
	if most := took.most(90); most > 4*time.Second {
		t.Errorf("it took %v until 90 of 100 were closed, want about a second", most)
	}
	l.saw(traces{app: served})
}

func wearSlowBodies(t *testing.T, l *lab) {
	n := wearCount(t, "slow bodies", 100, 2000)
	var answered atomic.Int64
	var took wearTimes
	served := l.wearBeside(64+n/20, func() {
		wearAll(n, func(i int) {
			target := "/public/slow"
			if i%2 == 1 {
				target = "/.evergate/login"
			}
			c := l.wearTLS(t, i)
			if c == nil {
				return
			}
			defer c.Close()
			if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nOrigin: https://%[2]s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\n", target, l.host); err != nil {
				t.Error(err)
				return
			}
			start := time.Now()
			_ = c.SetDeadline(start.Add(patience))
			go func() {
				for {
					if _, err := io.WriteString(c, "a"); err != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}()
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				answered.Add(1)
				if res.StatusCode != http.StatusRequestTimeout && res.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: got %d, want 408, or 400 of a form that is not all there", target, res.StatusCode)
				}
			} else if isTimeout(err) {
				t.Errorf("%s: a body that comes slowly is waited for after %v", target, patience)
			}
			took.add(time.Since(start))
		})
	})
	if most := took.most(90); most > 5*time.Second {
		t.Errorf("90 of 100 bodies were waited for up to %v, want about 2 s", most)
	}
	t.Logf("%d of %d got an answer", answered.Load(), n)
	l.saw(traces{app: served + (n+1)/2})
}

func wearSlowReaders(t *testing.T, l *lab) {
	n := wearCount(t, "slow readers", 40, 400)
	large := answer(200, "", strings.Repeat("x", 8<<20))
	l.app.answers(t, func(g *got) string {
		if g.RequestURI == "/public/large" {
			return large
		}
		return echo(g)
	})
	served := l.wearBeside(64, func() {
		for i := range n {
			raw, err := l.wearDial(i)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if tcp, ok := raw.(interface{ SetReadBuffer(int) error }); ok {
				_ = tcp.SetReadBuffer(4096)
			}
			c := tls.Client(raw, l.tlsConfig(gatewayHost, "http/1.1"))
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(c, l.request("GET", "/public/large")); err != nil {
				t.Fatal(err)
			}
		}
		// The access line comes when the answer is over.
		for end := time.Now().Add(patience); time.Now().Before(end) && strings.Count(l.out.from(l.before.log), `"path":"/public/large"`) < n; {
			time.Sleep(50 * time.Millisecond)
		}
		if got := strings.Count(l.out.from(l.before.log), `"path":"/public/large"`); got != n {
			t.Errorf("%d of %d answers that nobody reads are over", got, n)
		}
		if got := strings.Count(l.out.from(l.before.log), `"path":"/public/large","route":"/public/","decision":"public","status":200,"bytes":8388608,`); got > 0 {
			t.Errorf("%d answers were taken by clients that took nothing: they are not cut off", got)
		}
	})
	l.saw(traces{app: served + n})
}

func wearLargeHeaders(t *testing.T, l *lab) {
	host := "Host: " + l.host + "\r\n"
	var lines, short strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&lines, "X-%d: %s\r\n", i, strings.Repeat("v", 95))
	}
	for i := range 1000 {
		fmt.Fprintf(&short, "X-%d: v\r\n", i)
	}
	megabyte := strings.Repeat("a", 1<<20)
	rounds := wearCount(t, "times each", 8, 500)
	served := l.wearBeside(64, func() {
		wearInTurn(rounds, func(int) {
			for what, raw := range map[string]string{
				"one line":               "GET /public/ HTTP/1.1\r\n" + host + "X-A: " + megabyte + "\r\n\r\n",
				"10,000 lines":           "GET /public/ HTTP/1.1\r\n" + host + lines.String() + "\r\n",
				"a name":                 "GET /public/ HTTP/1.1\r\n" + host + megabyte + ": v\r\n\r\n",
				"a path":                 "GET /public/" + megabyte + " HTTP/1.1\r\n" + host + "\r\n",
				"a path of 60,000 bytes": "GET /public/" + megabyte[:60_000] + " HTTP/1.1\r\n" + host + "\r\n",
				"a method":               megabyte + " /public/ HTTP/1.1\r\n" + host + "\r\n",
				"no end of a line":       "GET /public/ HTTP/1.1\r\n" + host + "X-A: " + megabyte,
				"1,000 lines":            "GET /public/ HTTP/1.1\r\n" + host + short.String() + "\r\n",
			} {
				if status := l.wearStatus(raw); status != 431 && status != 414 {
					t.Errorf("%s: got %d, want 431 or 414", what, status)
				}
			}
		})
	})
	l.saw(traces{app: served})
}

func wearCookies(t *testing.T, l *lab) {
	alice := strings.TrimPrefix(l.signIn("alice"), "Cookie: ")
	name, _, _ := strings.Cut(alice, "=")
	many := func(format string) string {
		var b strings.Builder
		for i := range 1000 {
			if b.Len() < 50_000 {
				fmt.Fprintf(&b, format+"; ", i)
			}
		}
		return b.String()
	}
	own := 0
	served := l.wearBeside(64, func() {
		for _, c := range []struct {
			cookies string
			target  string
			want    int
		}{
			{many("c%d=v") + "last=1", "/public/", 200},
			{many("c%d=v") + alice, "/", 200},
			{many(name+"=%d") + "last=1", "/public/", 200},
			{many(name+"=%d") + alice, "/", 401},
			{many(name+"-%d=v") + alice, "/public/", 200},
			{many(name+"%d=v") + alice, "/public/", 200},
			{strings.Repeat(";", 50_000) + alice, "/", 200},
			{strings.Repeat("=", 50_000), "/public/", 200},
			{many("c%d=v") + "last=1", "/.evergate/login", 200},
		} {
			within(t, time.Second, fmt.Sprintf("%s with %.40s…", c.target, c.cookies), func() {
				r := l.get(c.target, "Cookie: "+c.cookies, "Accept: application/json")
				r.status(t, c.want)
				if r.StatusCode == 200 && !strings.HasPrefix(c.target, "/.evergate/") {
					own++
				}
			})
		}
	})
	for _, g := range l.saw(traces{app: served + own}) {
		if cookies := strings.Join(g.Header["Cookie"], ";"); strings.Contains(cookies, name+"=") {
			t.Errorf("the app got the gateway's cookie among %d bytes", len(cookies))
		}
	}
}

func wearForged(t *testing.T, l *lab) {
	alice := sessionCookie + "=" + sidIn(t, l.signIn("alice"))
	name, value, _ := strings.Cut(alice, "=")
	n := wearCount(t, "forged cookies", 1000, 20_000)
	before := l.wearStore()
	served := l.wearBeside(64, func() {
		client := l.wearClient("127.0.0.98")
		defer client.CloseIdleConnections()
		wearInTurn(n, func(i int) {
			forged := []byte(value)
			switch i % 5 {
			case 0:
				forged[i/5%len(forged)] ^= 1
			case 1:
				forged = forged[:i/5%len(forged)]
			case 2:
				forged = fmt.Appendf(nil, "%x", i*7919)
			case 3:
				forged = append(forged, byte('a'+i%26))
			case 4:
				at := i / 5 % len(forged)
				forged = append(append([]byte{}, forged[at:]...), forged[:at+1]...)
			}
			status, err := l.wearGet(client, "/", "Cookie: "+name+"="+string(forged), "Accept: application/json")
			if err != nil || status != 401 {
				t.Errorf("%d: got %d %v, want 401", i, status, err)
			}
		})
	})
	if l.wearStore() != before {
		t.Error("the store was written to")
	}
	l.get("/", "Cookie: "+alice).status(t, 200)
	l.saw(traces{app: served + 1})
}

func wearBacktracking(t *testing.T, l *lab) {
	alice := l.signIn("alice")
	served := l.wearBeside(64, func() {
		for _, lines := range [][]string{
			{alice, "X-A: " + strings.Repeat("a", 50_000) + "!"},
			{alice, "X-A: " + strings.Repeat("a", 30) + "!"},
		} {
			for _, target := range []string{"/long/" + strings.Repeat("a", 8000) + "!", "/long/x"} {
				within(t, time.Second, fmt.Sprintf("%.20s… with %.20s…", target, lines[1]), func() { l.get(target, lines...).status(t, 403) })
			}
		}
	})
	within(t, time.Second, "a path of 4,000 segments", func() {
		l.get("/stars/"+strings.Repeat("a/", 4000)+"z", "Accept: application/json").status(t, 401)
	})
	l.get("/long/x", alice, "X-A: aaa").status(t, 200)
	l.saw(traces{app: served + 1})
}
