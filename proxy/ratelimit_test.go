package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// users signs in whoever the header X-Test-User names, by no session.
func users(r *http.Request) (*auth.Login, error) {
	name := r.Header.Get("X-Test-User")
	if name == "" {
		return nil, &auth.Absent{Reason: auth.NoCookie}
	}
	return &auth.Login{Identity: auth.Identity{Provider: "local", Subject: name, User: name}}, nil
}

// limited is a gate whose routes answer by themselves, so that a bubble of fake time can
// hold all of it.
type limited struct {
	t    *testing.T
	gate *proxy.Gate
}

func newLimited(t *testing.T, routes ...*proxy.Route) *limited {
	t.Helper()
	for _, r := range routes {
		if r.Answer == nil {
			r.Answer = &proxy.Respond{Body: "ok"}
		}
	}
	return &limited{t, &proxy.Gate{Auth: authFunc(users), Router: newRouter(t, routes...)}}
}

// ask is a GET of somebody ("" is nobody) from an address.
func (l *limited) ask(path, user, address string) *httptest.ResponseRecorder {
	return l.send("GET", path, user, address)
}

func (l *limited) send(method, path, user, address string, header ...string) *httptest.ResponseRecorder {
	l.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if user != "" {
		r.Header.Set("X-Test-User", user)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	l.gate.ServeHTTP(w, r.WithContext(web.WithNote(r.Context(), &web.Note{ID: "ID", Client: netip.MustParseAddr(address), Scheme: "https"})))
	return w
}

// askPlainly is a GET of nobody over plain http.
func (l *limited) askPlainly(path string) *httptest.ResponseRecorder {
	r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
	l.gate.ServeHTTP(w, r.WithContext(web.WithNote(r.Context(), &web.Note{ID: "ID", Scheme: "http"})))
	return w
}

// passes asks n times, and expects all to pass and one more not to.
func (l *limited) passes(n int, path, user, address string) {
	l.t.Helper()
	for i := range n {
		if w := l.ask(path, user, address); w.Code != 200 {
			l.t.Fatalf("%s of %q from %s: got %d at request %d, want %d to pass", path, user, address, w.Code, i+1, n)
		}
	}
	if w := l.ask(path, user, address); w.Code != 429 {
		l.t.Fatalf("%s of %q from %s: got %d after %d requests, want 429", path, user, address, w.Code, n)
	}
}

func limits(l ...proxy.RateLimit) []proxy.RateLimit { return l }

// TestRateLimit: so many requests at once as the burst, then so many in a time as the limit,
// for as long as it is kept up; and each answer says so.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t, &proxy.Route{RateLimits: limits(proxy.RateLimit{Requests: 60, Per: time.Minute, Burst: 5, By: proxy.ByUser})})
		for i, want := range []string{`"user-60s";r=4;t=1`, `"user-60s";r=3;t=2`, `"user-60s";r=2;t=3`, `"user-60s";r=1;t=4`, `"user-60s";r=0;t=1`} {
			w := l.ask("/", "ann", "192.0.2.1")
			if got := w.Header().Get("RateLimit"); w.Code != 200 || got != want {
				t.Errorf("request %d: got %d %s, want 200 %s", i+1, w.Code, got, want)
			}
			if got := w.Header().Get("RateLimit-Policy"); got != `"user-60s";q=60;w=60` {
				t.Errorf("got the policy %s", got)
			}
		}
		w := l.ask("/", "ann", "192.0.2.1")
		h := w.Header()
		if w.Code != 429 || h.Get("Retry-After") != "1" || h.Get("RateLimit") != `"user-60s";r=0;t=1` || h.Get("RateLimit-Policy") == "" ||
			!strings.Contains(w.Body.String(), `"code":"rate_limited"`) || !strings.Contains(w.Body.String(), `"violated-policies":["user-60s"]`) {
			t.Errorf("got %d %v %s", w.Code, h, w.Body)
		}
		time.Sleep(999 * time.Millisecond)
		if w := l.ask("/", "ann", "192.0.2.1"); w.Code != 429 {
			t.Errorf("just before its time: got %d, want 429", w.Code)
		}
		time.Sleep(time.Millisecond)
		if w := l.ask("/", "ann", "192.0.2.1"); w.Code != 200 {
			t.Errorf("after Retry-After: got %d, want 200", w.Code)
		}
		passed := 0
		for range 600 { // ten a second, for a minute: what is refused is not counted
			if l.ask("/", "ann", "192.0.2.1").Code == 200 {
				passed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if passed < 59 || passed > 60 {
			t.Errorf("got %d requests through in a minute, want 60", passed)
		}
		time.Sleep(time.Hour)
		l.passes(5, "/", "ann", "192.0.2.1") // a pause saves up no more than the burst
	})
}

// TestRateLimitBy: whose requests are counted together.
func TestRateLimitBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public := auth.Policy{Public: true}
		three := func(by proxy.RateBy) []proxy.RateLimit {
			return limits(proxy.RateLimit{Requests: 3, Per: time.Hour, By: by})
		}
		l := newLimited(t, &proxy.Route{Path: "/user", Policy: public, RateLimits: three(proxy.ByUser)},
			&proxy.Route{Path: "/address", Policy: public, RateLimits: three(proxy.ByAddress)},
			&proxy.Route{Path: "/both", Policy: public, RateLimits: three(proxy.ByUserAndAddress)})
		for _, tt := range []struct {
			what, path, user, address string
			own                       bool // it has a count of its own
		}{
			{"a person", "/user", "ann", "192.0.2.1", true},
			{"the same person elsewhere", "/user", "ann", "198.51.100.7", false},
			{"another person there", "/user", "ben", "192.0.2.1", true},
			{"nobody there", "/user", "", "192.0.2.1", true},
			{"nobody there again", "/user", "", "192.0.2.1", false},
			{"nobody next to there", "/user", "", "192.0.2.2", true},
			{"an IPv6 address", "/user", "", "2001:db8:0:1::1", true},
			{"another of the same /64", "/user", "", "2001:db8:0:1:ffff::9", false},
			{"the next /64", "/user", "", "2001:db8:0:2::1", true},
			{"IPv4 as IPv6 writes it", "/user", "", "::ffff:192.0.2.2", false},

			{"an address", "/address", "ann", "192.0.2.1", true},
			{"another person at the address", "/address", "ben", "192.0.2.1", false},
			{"nobody at the address", "/address", "", "192.0.2.1", false},
			{"another address", "/address", "ann", "192.0.2.2", true},

			{"a person at an address", "/both", "ann", "192.0.2.1", true},
			{"the person at another", "/both", "ann", "192.0.2.2", true},
			{"another person at the first", "/both", "ben", "192.0.2.1", true},
			{"nobody at the first", "/both", "", "192.0.2.1", true},
			{"the person at the first again", "/both", "ann", "192.0.2.1", false},
		} {
			t.Log(tt.what)
			if tt.own {
				l.passes(3, tt.path, tt.user, tt.address)
			} else if w := l.ask(tt.path, tt.user, tt.address); w.Code != 429 {
				t.Errorf("%s: got %d, want the count that is used up", tt.what, w.Code)
			}
		}
	})
}

// TestRateLimitsTogether: a request has to be within all of them, and one that is not
// is counted on none.
func TestRateLimitsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t, &proxy.Route{RateLimits: limits(
			proxy.RateLimit{Requests: 10, Per: time.Minute, By: proxy.ByUser},
			proxy.RateLimit{Requests: 4, Per: time.Second, By: proxy.ByAddress})})
		for range 20 {
			l.ask("/", "ann", "192.0.2.1")
		}
		w := l.ask("/", "ann", "192.0.2.1")
		if got := w.Header().Get("RateLimit"); w.Code != 429 || got != `"user-60s";r=6;t=24, "address-1s";r=0;t=1` {
			t.Errorf("got %d %s, want 6 left of the limit that let it pass", w.Code, got)
		}
		if got := w.Header().Get("RateLimit-Policy"); got != `"user-60s";q=10;w=60, "address-1s";q=4;w=1` {
			t.Errorf("got %s", got)
		}
		time.Sleep(time.Second)
		for range 4 {
			l.ask("/", "ann", "192.0.2.1")
		}
		time.Sleep(time.Second)
		l.ask("/", "ann", "192.0.2.1")
		l.ask("/", "ann", "192.0.2.1")
		if w := l.ask("/", "ann", "192.0.2.1"); w.Code != 429 || w.Header().Get("Retry-After") != "4" || !strings.Contains(w.Body.String(), `["user-60s"]`) {
			t.Errorf("got %d %v %s, want the slower limit to refuse", w.Code, w.Header(), w.Body)
		}
	})
}

// TestWhatRateLimitsCount: what the gateway answers by itself is not counted, a preflight
// and an error of the route are.
func TestWhatRateLimitsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		two := limits(proxy.RateLimit{Requests: 2, Per: time.Hour, By: proxy.ByUser})
		l := newLimited(t,
			&proxy.Route{Path: "/in", RateLimits: two, PassPreflight: true},
			&proxy.Route{Path: "/staff", RateLimits: two, Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"staff"}}}}},
			&proxy.Route{Path: "/gone", RateLimits: two, Answer: &proxy.Respond{Status: 410}})
		limited := map[string]int{}
		l.gate.RateLimited = func(route string) { limited[route]++ }
		l.gate.Own = http.NotFoundHandler()
		for range 5 {
			if w := l.ask("/in", "", "192.0.2.1"); w.Code != 401 || w.Header().Get("RateLimit") != "" {
				t.Errorf("nobody signed in: got %d %v, want 401 and no count", w.Code, w.Header())
			}
			if w := l.ask("/staff", "ann", "192.0.2.1"); w.Code != 403 {
				t.Errorf("denied: got %d, want 403", w.Code)
			}
			if w := l.ask("/.evergate/ping", "ann", "192.0.2.1"); w.Code != 404 {
				t.Errorf("the gateway's own: got %d, want 404", w.Code)
			}
		}
		l.passes(2, "/in", "ann", "192.0.2.1")
		preflight := func(address string) int {
			return l.send("OPTIONS", "/in", "", address, "Origin", "https://x.test", "Access-Control-Request-Method", "GET").Code
		}
		for i, want := range []int{405, 405, 429} { // what a fixed answer says to OPTIONS, and then the limit
			if got := preflight("192.0.2.1"); (got == 429) != (want == 429) {
				t.Errorf("preflight %d: got %d, want %d", i+1, got, want)
			}
		}
		if got := preflight("192.0.2.2"); got == 429 {
			t.Error("preflights of another address are refused")
		}
		l.ask("/gone", "ann", "192.0.2.1")
		if w := l.ask("/gone", "ann", "192.0.2.1"); w.Code != 410 || w.Header().Get("RateLimit") != `"user-3600s";r=0;t=1800` {
			t.Errorf("an error: got %d %v, want it counted and said", w.Code, w.Header())
		}
		if limited["/in"] != 2 || len(limited) != 1 {
			t.Errorf("got %v told, want 2 on /in", limited)
		}
	})
}

// TestRateLimitFillsTheRoom: who fills the room with other callers does not get their
// own count forgotten.
func TestRateLimitFillsTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := proxy.NewRate(proxy.RateLimit{Requests: 10, Per: time.Hour, By: proxy.ByUser}, 64)
		for k.Take("mallory") {
		}
		for i := range 10_000 {
			if !k.Take(fmt.Sprintf("puppet %d", i)) {
				t.Fatalf("puppet %d is refused at its first request", i)
			}
			if k.Callers() > 64 {
				t.Fatalf("got %d callers remembered, want 64", k.Callers())
			}
		}
		if k.Take("mallory") {
			t.Error("mallory passes again after 10,000 requests under other names")
		}
		time.Sleep(2 * time.Hour)
		for i := range 64 {
			k.Take(fmt.Sprintf("late %d", i))
		}
		if n := k.Callers(); n > 80 {
			t.Errorf("got %d callers, want those gone whose burst is there again", n)
		}
		for i := range 1000 { // callers that come and go leave nothing behind
			k.Take(fmt.Sprintf("passer-by %d", i))
			time.Sleep(time.Hour)
		}
		if n := k.Callers(); n > 32 {
			t.Errorf("got %d callers remembered of 1000 who came one an hour", n)
		}
	})
}

// TestRateLimitHolds: many at once get as many through as the burst, and not one more.
func TestRateLimitHolds(t *testing.T) {
	l := newLimited(t, &proxy.Route{RateLimits: limits(
		proxy.RateLimit{Requests: 100, Per: 24 * time.Hour, By: proxy.ByUser},
		proxy.RateLimit{Requests: 10_000, Per: 24 * time.Hour, By: proxy.ByAddress})})
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if l.ask("/", "ann", "192.0.2.1").Code == 200 {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("got %d of 400 through, want 100", passed.Load())
	}
	if got := l.ask("/", "ben", "192.0.2.1").Header().Get("RateLimit"); !strings.Contains(got, `"address-86400s";r=9899;`) {
		t.Errorf("got %s, want 101 counted at the address: what one limit refused was given back to the other", got)
	}
}

// TestRateLimitOutlivesAReload: a limit that is the same on the same route goes on
// counting, another begins.
func TestRateLimitOutlivesAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		route := func(path string, requests int) *proxy.Route {
			return &proxy.Route{Name: fmt.Sprintf("%s %d", path, requests), Path: path, Answer: &proxy.Respond{Body: "ok"},
				RateLimits: limits(proxy.RateLimit{Requests: requests, Per: time.Hour, By: proxy.ByUser})}
		}
		l := newLimited(t, route("/a", 2), route("/b", 2))
		l.passes(2, "/a", "ann", "192.0.2.1")
		l.passes(2, "/b", "ann", "192.0.2.1")
		before := l.gate.Router
		l.gate.Router = newRouter(t, route("/b", 3), route("/c", 2), route("/a", 2))
		l.gate.Router.TakeCounts(before)
		if w := l.ask("/a", "ann", "192.0.2.1"); w.Code != 429 {
			t.Errorf("the same limit: got %d, want its count kept", w.Code)
		}
		l.passes(3, "/b", "ann", "192.0.2.1")
		l.passes(2, "/c", "ann", "192.0.2.1")
		l.gate.Router.TakeCounts(nil)
	})
}

// TestRateLimitBesideTheAppsOwn: what the app says of limits of its own stays, and ours is
// there after an early hint and when a WebSocket opens.
func TestRateLimitBesideTheAppsOwn(t *testing.T) {
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		switch r.URL.Path {
		case "/hint":
			says("HTTP/1.1 103 Early Hints\nLink: </a.css>\n\nHTTP/1.1 200 OK\nContent-Length: 0\n\n")(conn, r)
		case "/ws":
			says("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\n\n")(conn, r)
		default:
			says("HTTP/1.1 200 OK\nRateLimit: \"app\";r=1;t=2\nContent-Length: 0\n\n")(conn, r)
		}
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
		RateLimits: limits(proxy.RateLimit{Requests: 100, Per: time.Hour, By: proxy.ByUser})})})
	if got := gw.send(t, get("/")).Header["Ratelimit"]; len(got) != 2 || !strings.HasPrefix(got[0], `"user-3600s";r=99;`) || got[1] != `"app";r=1;t=2` {
		t.Errorf("got %q, want ours and the app's", got)
	}
	if raw := gw.send(t, get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Origin: https://gw.test")).Header["Ratelimit"]; len(raw) != 1 || !strings.Contains(raw[0], "r=98;") {
		t.Errorf("a WebSocket: got %q", raw)
	}
	conn, err := net.Dial("tcp", gw.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, strings.ReplaceAll(get("/hint", "Connection: close"), "\n", "\r\n"))
	var raw strings.Builder
	for buf := make([]byte, 4096); ; {
		n, err := conn.Read(buf)
		raw.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if _, final, ok := strings.Cut(raw.String(), "HTTP/1.1 200"); !ok || strings.Count(final, "Ratelimit: ") != 1 || strings.Count(final, "Ratelimit-Policy: ") != 1 {
		t.Errorf("after a hint: got\n%s\nwant the limit in the last answer, once", raw.String())
	}
}

// TestRateLimitAllocates: counting a caller who is known takes no memory.
func TestRateLimitAllocates(t *testing.T) {
	k := proxy.NewRate(proxy.RateLimit{Requests: 1e6, Per: time.Second, By: proxy.ByUserAndAddress}, 1<<16)
	if n := testing.AllocsPerRun(1000, func() { k.Take("ann") }); n != 0 {
		t.Errorf("got %v allocations for a request, want 0", n)
	}
}

// BenchmarkRateLimitedRoute is a whole request, without a limit and with some.
func BenchmarkRateLimitedRoute(b *testing.B) {
	one := proxy.RateLimit{Requests: 1e6, Per: time.Second, By: proxy.ByUser}
	two := proxy.RateLimit{Requests: 1e6, Per: time.Second, By: proxy.ByAddress}
	for _, bb := range []struct {
		name  string
		rates []proxy.RateLimit
	}{{"none", nil}, {"one", limits(one)}, {"two", limits(one, two)}} {
		b.Run(bb.name, func(b *testing.B) {
			g := &proxy.Gate{Auth: authFunc(users), Router: newRouter(b, &proxy.Route{RateLimits: bb.rates, Answer: &proxy.Respond{Body: "ok"}})}
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("X-Test-User", "ann")
			r = r.WithContext(web.WithNote(r.Context(), &web.Note{ID: "ID", Client: netip.MustParseAddr("192.0.2.1"), Scheme: "https"}))
			b.ReportAllocs()
			for b.Loop() {
				g.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}

func BenchmarkRateLimit(b *testing.B) {
	k := proxy.NewRate(proxy.RateLimit{Requests: 1e6, Per: time.Second, By: proxy.ByUserAndAddress}, 1<<16)
	for i := range 50_000 {
		k.Take(fmt.Sprint(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		k.Take("ann")
	}
}

// TestRateLimitFaults: a limit that cannot be kept or said is refused.
func TestRateLimitFaults(t *testing.T) {
	good := proxy.RateLimit{Requests: 10, Per: time.Minute, By: proxy.ByUser}
	bad := func(change func(*proxy.RateLimit)) []proxy.RateLimit {
		l := good
		change(&l)
		return limits(l)
	}
	for _, tt := range []struct {
		limits []proxy.RateLimit
		want   string
	}{
		{bad(func(l *proxy.RateLimit) { l.Requests = 0 }), "routes[0].rate_limit[0].requests: want 1 to 1000000, got 0"},
		{bad(func(l *proxy.RateLimit) { l.Per = 1500 * time.Millisecond }), "routes[0].rate_limit[0].per: want whole seconds"},
		{bad(func(l *proxy.RateLimit) { l.Per = 0 }), "routes[0].rate_limit[0].per: want whole seconds"},
		{bad(func(l *proxy.RateLimit) { l.Burst = 11 }), "routes[0].rate_limit[0].burst: want 1 to requests, 10, got 11"},
		{bad(func(l *proxy.RateLimit) { l.By = "moon" }), `routes[0].rate_limit[0].by: want user, address or user_and_address, got "moon"`},
		{limits(good, good), "routes[0].rate_limit[1]: there is a limit by user for the same time already"},
		{limits(good, good, good, good, good), "routes[0].rate_limit: there are 5 limits, and 4 at most"},
	} {
		if _, err := proxy.NewRouter([]*proxy.Route{{Answer: &proxy.Respond{}, RateLimits: tt.limits}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
