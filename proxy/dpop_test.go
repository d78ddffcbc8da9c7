package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/dpop/dpopcheck"
	"github.com/evergate/evergate/proxy"
)

// boundSession has tokens that are bound to its key, from the first one on or from the
// first renewal on.
type boundSession struct {
	*session
	key  *dpop.Key
	late bool // none is bound before Replace
	none bool // none ever is
}

func newBoundSession(t *testing.T) *boundSession {
	t.Helper()
	key, err := dpop.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &boundSession{session: newSession(), key: key}
}

func (s *boundSession) bind(t auth.Token, err error) (auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.none && (!s.late || s.replaced > 0) {
		t.Key = s.key
	}
	return t, err
}

func (s *boundSession) Token(ctx context.Context, want auth.Wanted) (auth.Token, error) {
	return s.bind(s.session.Token(ctx, want))
}

func (s *boundSession) Replace(ctx context.Context, want auth.Wanted, refused auth.Token) (auth.Token, error) {
	return s.bind(s.session.Replace(ctx, want, refused))
}

// proving is an app that takes tokens with a proof alone, and what it saw.
type proving struct {
	*httptest.Server
	check  dpopcheck.Server
	served atomic.Int32 // requests that were proven
	asked  atomic.Int32 // all of them

	mu     sync.Mutex // guards what follows
	paths  []string
	tokens []string
	bodies []string
}

func newProving(t *testing.T, s *boundSession, change func(*proving)) *proving {
	t.Helper()
	p := &proving{check: dpopcheck.Server{Bound: func(string) string { return s.key.Thumbprint() }}}
	if change != nil {
		change(p)
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		body, _ := io.ReadAll(r.Body)
		if code := p.check.Check(w.Header(), r); code != "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		p.served.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.paths, p.tokens, p.bodies = append(p.paths, r.URL.RequestURI()), append(p.tokens, r.Header.Get("Authorization")), append(p.bodies, string(body))
		_, _ = io.WriteString(w, "proven")
	}))
	t.Cleanup(p.Close)
	return p
}

// at serves one route with proofs at the app.
func (p *proving) at(t *testing.T, s auth.Session, change func(*proxy.Route, *proxy.UpstreamOptions)) *gateway {
	t.Helper()
	route, o := &proxy.Route{DPoP: &proxy.DPoP{}}, proxy.UpstreamOptions{Target: p.URL}
	if change != nil {
		change(route, &o)
	}
	route.Upstream = newWay(t, o)
	return newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, route)})
}

// TestProofsGoUp: the app knows itself in one of several ways, and takes the token with
// a proof for just that request.
func TestProofsGoUp(t *testing.T) {
	for name, c := range map[string]struct {
		url    func(app string) string // how the app knows itself
		change func(*proxy.Route, *proxy.UpstreamOptions)
		path   string // as the app gets it
	}{
		"by the host that the browser has": {func(string) string { return "https://gw.test" }, nil, "/a%2Fb/c?q=1"},
		"by its own": {func(app string) string { return app },
			func(_ *proxy.Route, o *proxy.UpstreamOptions) { o.TargetHost = true }, "/a%2Fb/c?q=1"},
		"by a name that is set": {func(string) string { return "http://api.test" },
			func(_ *proxy.Route, o *proxy.UpstreamOptions) { o.Host = "api.test" }, "/a%2Fb/c?q=1"},
		"by an address that is set": {func(string) string { return "https://api.example.com/v1" },
			func(r *proxy.Route, _ *proxy.UpstreamOptions) { r.DPoP.URL = "https://api.example.com/v1/" }, "/a%2Fb/c?q=1"},
		"below a folder of the target": {func(string) string { return "https://gw.test" },
			func(_ *proxy.Route, o *proxy.UpstreamOptions) { o.Target += "/base" }, "/base/a%2Fb/c?q=1"},
		"by another path": {func(string) string { return "https://gw.test" },
			func(r *proxy.Route, _ *proxy.UpstreamOptions) { r.Rewrite.AddPrefix = "/new" }, "/new/a%2Fb/c?q=1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBoundSession(t)
			p := newProving(t, s, nil)
			p.check.URL = c.url(p.URL)
			gw := p.at(t, s, func(r *proxy.Route, o *proxy.UpstreamOptions) {
				r.PathChars = proxy.EncodedSlash
				if c.change != nil {
					c.change(r, o)
				}
			})
			for range 3 {
				a := gw.send(t, get("/a%2Fb/c?q=1", "DPoP: eyJ0eXAi.mine.own", "Authorization: DPoP my.own.token"))
				if a.StatusCode != 200 || a.body != "proven" {
					t.Fatalf("got %d: %s\n%s", a.StatusCode, a.body, gw.log)
				}
			}
			if p.paths[0] != c.path || p.tokens[0] != "DPoP good.token" || p.check.Repeated() != 0 {
				t.Errorf("the app got %q with %q, %d proofs twice", p.paths[0], p.tokens[0], p.check.Repeated())
			}
			if strings.Contains(gw.log.String(), "good.token") || strings.Contains(gw.log.String(), "eyJ") {
				t.Errorf("the log holds a token or a proof:\n%s", gw.log)
			}
		})
	}
}

// TestNonceOfAnUpstream: it is learned from a challenge and from any answer, and the
// newest counts.
func TestNonceOfAnUpstream(t *testing.T) {
	s := newBoundSession(t)
	p := newProving(t, s, func(p *proving) { p.check.URL = "https://gw.test" })
	gw := p.at(t, s, nil)
	asked := func(what string, want int32) {
		t.Helper()
		before := p.asked.Load()
		a := gw.send(t, get("/"))
		if got := p.asked.Load() - before; a.StatusCode != 200 || got != want || a.Header["Dpop-Nonce"] != nil {
			t.Errorf("%s: got %d after %d requests, want 200 after %d; the browser got the nonce %q", what, a.StatusCode, got, want, a.Header["Dpop-Nonce"])
		}
	}
	asked("no nonce", 1)
	p.check.Rotate("one")
	asked("a first one", 2)
	asked("the same", 1)
	p.check.Rotate("two")
	asked("another", 2)
	p.check.Tell("three") // with the next answer, which takes the old one
	asked("told beforehand", 1)
	asked("the one that was told", 1)
	if p.check.Repeated() != 0 {
		t.Errorf("%d proofs came twice", p.check.Repeated())
	}
}

// TestNonceAndABody: what is small goes up twice, what is long is asked for once more.
func TestNonceAndABody(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		chunked bool
		status  int
	}{
		"a form":             {"a=1&b=2", false, 200},
		"a form in chunks":   {"a=1&b=2", true, 200},
		"64 KiB":             {strings.Repeat("x", 64<<10), false, 200},
		"more than that":     {strings.Repeat("x", 64<<10+1), false, 503},
		"more, and unsaid":   {strings.Repeat("x", 80<<10), true, 503},
		"nothing, in chunks": {"", true, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBoundSession(t)
			p := newProving(t, s, func(p *proving) { p.check.URL = "https://gw.test"; p.check.Rotate("one") })
			gw := p.at(t, s, nil)
			post := func() (status int) {
				t.Helper()
				req, err := http.NewRequest("POST", gw.URL+"/form", bytes.NewReader([]byte(c.body)))
				if err != nil {
					t.Fatal(err)
				}
				if c.chunked {
					req.Body, req.ContentLength = io.NopCloser(strings.NewReader(c.body)), -1
				}
				req.Host = "gw.test"
				req.Header.Set("Cookie", sid+"=alice")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				_, _ = io.Copy(io.Discard, res.Body)
				if res.StatusCode == 503 && res.Header.Get("Retry-After") == "" {
					t.Error("nobody is told to come again")
				}
				return res.StatusCode
			}
			if got := post(); got != c.status {
				t.Fatalf("got %d, want %d\n%s", got, c.status, gw.log)
			}
			if c.status == 503 {
				if got := post(); got != 200 { // the nonce is known by now
					t.Fatalf("the second time: got %d, want 200\n%s", got, gw.log)
				}
			}
			if len(p.bodies) != 1 || p.bodies[0] != c.body {
				t.Errorf("the app took %d bodies, want the one that was sent", len(p.bodies))
			}
		})
	}
}

// TestUpstreamThatTakesNoProof: the browser gets no challenge, for it could not meet one.
func TestUpstreamThatTakesNoProof(t *testing.T) {
	for name, c := range map[string]struct {
		challenge, nonce string
		asked            int32
		status           int
	}{
		"a nonce each time":    {`DPoP error="use_dpop_nonce"`, "nonce-%d", 2, 502},
		"the same nonce":       {`DPoP error="use_dpop_nonce"`, "same", 2, 502},
		"a nonce that is none": {`DPoP error="use_dpop_nonce"`, "", 1, 502},
		"another htu":          {`DPoP error="invalid_dpop_proof", error_description="htu mismatch"`, "", 1, 502},
		"by another scheme":    {`Bearer error="use_dpop_nonce"`, "n", 1, 401},
		"the token":            {`DPoP error="invalid_token", algs="ES256"`, "", 2, 401},
		"no reason":            {`DPoP algs="ES256"`, "n", 1, 401},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBoundSession(t)
			var asked atomic.Int32
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := asked.Add(1)
				w.Header().Set("WWW-Authenticate", c.challenge)
				if strings.Contains(c.nonce, "%d") {
					w.Header().Set("DPoP-Nonce", fmt.Sprintf(c.nonce, n))
				} else if c.nonce != "" {
					w.Header().Set("DPoP-Nonce", c.nonce)
				}
				w.WriteHeader(401)
			}))
			defer app.Close()
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{DPoP: &proxy.DPoP{}, Upstream: newWay(t, proxy.UpstreamOptions{Target: app.URL})})})
			a := gw.send(t, get("/"))
			if a.StatusCode != c.status || asked.Load() != c.asked || a.Header["Dpop-Nonce"] != nil {
				t.Errorf("got %d after %d requests, want %d after %d\n%s", a.StatusCode, asked.Load(), c.status, c.asked, a.raw)
			}
			if c.status == 502 && a.Header["Www-Authenticate"] != nil {
				t.Errorf("the browser is challenged: %q", a.Header["Www-Authenticate"])
			}
		})
	}
}

// TestRefusedTokenIsReplacedAndProven: the app's word counts for tokens with proofs too
// (R13), and the new one has a proof of its own.
func TestRefusedTokenIsReplacedAndProven(t *testing.T) {
	s := newBoundSession(t)
	p := newProving(t, s, func(p *proving) {
		p.check.URL = "https://gw.test"
		p.check.Bound = func(token string) string {
			if token != "good.token.1" {
				return ""
			}
			return s.key.Thumbprint()
		}
	})
	p.check.Rotate("one")
	if a := p.at(t, s, nil).send(t, get("/")); a.StatusCode != 200 || s.replaced != 1 || p.tokens[0] != "DPoP good.token.1" || p.check.Repeated() != 0 {
		t.Errorf("got %d after %d renewals with %q", a.StatusCode, s.replaced, p.tokens)
	}
}

// TestTokensOfEachKindAreProven: those for a resource and those that were exchanged.
func TestTokensOfEachKindAreProven(t *testing.T) {
	for want, token := range map[auth.Wanted]string{
		{Resource: "api"}: "DPoP token.for.api",
		{Kind: auth.Exchanged, Audience: "reports"}: "DPoP good.token",
	} {
		s := newBoundSession(t)
		p := newProving(t, s, func(p *proving) { p.check.URL = "https://gw.test" })
		gw := p.at(t, s, func(r *proxy.Route, _ *proxy.UpstreamOptions) { r.Token = want })
		if a := gw.send(t, get("/")); a.StatusCode != 200 || p.tokens[0] != token {
			t.Errorf("%+v: got %d with %q, want 200 with %q", want, a.StatusCode, p.tokens, token)
		}
	}
}

// TestSessionFromBefore: a token that is bound to nothing is renewed, and never sent.
func TestSessionFromBefore(t *testing.T) {
	for _, want := range []auth.Wanted{{}, {Resource: "api"}} {
		s := newBoundSession(t)
		s.late = true
		p := newProving(t, s, func(p *proving) { p.check.URL = "https://gw.test" })
		gw := p.at(t, s, func(r *proxy.Route, _ *proxy.UpstreamOptions) { r.Token = want })
		if a := gw.send(t, get("/")); a.StatusCode != 200 || s.replaced != 1 {
			t.Errorf("%+v: got %d after %d renewals, want 200 after one", want, a.StatusCode, s.replaced)
		}
	}
	s := newBoundSession(t)
	s.none = true
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{DPoP: &proxy.DPoP{}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})},
		&proxy.Route{Path: "/open/", DPoP: &proxy.DPoP{}, Policy: auth.Policy{Public: true}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	if a := gw.send(t, get("/")); a.StatusCode != 503 || len(up.requests()) != 0 {
		t.Errorf("without a key: got %d, and %d requests reached the app, want 503 and none", a.StatusCode, len(up.requests()))
	}
	if a := gw.send(t, get("/open/")); a.StatusCode != 200 || header(up.last(t), "Authorization") != nil || header(up.last(t), "Dpop") != nil {
		t.Errorf("on a public route: got %d with\n%s\nwant no token", a.StatusCode, up.last(t))
	}
}

// TestProofsAreTheGatewaysAlone: a client's own reaches no app that gets one on any route,
// unless a route without proofs lets it pass.
func TestProofsAreTheGatewaysAlone(t *testing.T) {
	s := newBoundSession(t)
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t,
		&proxy.Route{Path: "/proven/", DPoP: &proxy.DPoP{}, Upstream: way},
		&proxy.Route{Path: "/plain/", Upstream: way},
		&proxy.Route{Path: "/own/", Policy: auth.Policy{Public: true}, PassHeaders: []string{"Authorization", "DPoP"}, Upstream: way},
	)})
	for path, want := range map[string]string{"/proven/": "eyJ", "/plain/": "", "/own/": "my.own.proof"} {
		for _, name := range []string{"DPoP", "dpop", "DPOP"} {
			line := request("GET", path, name+": my.own.proof")
			if path != "/own/" {
				line = get(path, name+": my.own.proof")
			}
			if a := gw.send(t, line); a.StatusCode != 200 {
				t.Fatalf("%s: got %d", path, a.StatusCode)
			}
			got := header(up.last(t), "Dpop")
			if want == "" && got != nil || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
				t.Errorf("%s with %s: the app got %q, want %q", path, name, got, want)
			}
		}
	}
	if got := header(up.last(t), "Authorization"); len(got) > 1 {
		t.Errorf("the app got %q", got)
	}
}

// TestWebSocketIsProven: it is opened by a request like any other.
func TestWebSocketIsProven(t *testing.T) {
	s := newBoundSession(t)
	check := dpopcheck.Server{URL: "https://gw.test", Bound: func(string) string { return s.key.Thumbprint() }}
	check.Rotate("one")
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		h := http.Header{}
		if code := check.Check(h, r); code != "" {
			says(fmt.Sprintf("HTTP/1.1 401 Unauthorized\nDPoP-Nonce: one\nWWW-Authenticate: %s\nContent-Length: 0\n\n", h.Get("WWW-Authenticate")))(conn, r)
			return
		}
		says("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n\n")(conn, r)
		conn.Close()
	})
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{DPoP: &proxy.DPoP{}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	a := gw.send(t, get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
	if a.StatusCode != 101 || len(up.requests()) != 2 {
		t.Errorf("got %d after %d requests, want 101 after 2\n%s", a.StatusCode, len(up.requests()), gw.log)
	}
}

// TestEachTargetHasANonceOfItsOwn, and a request that goes to another target has another
// proof.
func TestEachTargetHasANonceOfItsOwn(t *testing.T) {
	s := newBoundSession(t)
	var apps [2]*proving
	var o proxy.UpstreamOptions
	for i := range apps {
		apps[i] = newProving(t, s, func(p *proving) { p.check.URL = "https://gw.test"; p.check.Rotate(fmt.Sprint("of-", i)) })
		o.Targets = append(o.Targets, proxy.TargetOptions{URL: apps[i].URL})
	}
	o.Balance = proxy.RoundRobin
	way, err := proxy.NewUpstream(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{DPoP: &proxy.DPoP{}, Upstream: way})})
	for range 10 {
		if a := gw.send(t, get("/")); a.StatusCode != 200 {
			t.Fatalf("got %d", a.StatusCode)
		}
	}
	for i, app := range apps {
		if app.served.Load() != 5 || app.asked.Load() != 6 || app.check.Repeated() != 0 {
			t.Errorf("target %d: %d requests, of which %d were proven, %d proofs twice, want 6, 5 and 0", i, app.asked.Load(), app.served.Load(), app.check.Repeated())
		}
	}
}

// TestDPoPThatCannotBe: what no proof could be made for is refused when the route is read.
func TestDPoPThatCannotBe(t *testing.T) {
	way := newWay(t, proxy.UpstreamOptions{Target: "127.0.0.1:1"})
	for name, r := range map[string]*proxy.Route{
		"token.dpop: a provider binds":           {Token: auth.Wanted{Kind: auth.Minted}, Upstream: way},
		"token.dpop: a client's own":             {Bearer: true, Upstream: way},
		"token.dpop: a proof is for one request": {},
		"pass_headers":                           {PassHeaders: []string{"dpop"}, Upstream: way},
		"request_headers":                        {RequestHeaders: proxy.Headers{Remove: []string{"DPoP"}}, Upstream: way},
		"token.dpop_url":                         {DPoP: &proxy.DPoP{URL: "api.example.com"}, Upstream: way},
	} {
		if r.DPoP == nil {
			r.DPoP = &proxy.DPoP{}
		}
		_, err := proxy.NewRouter([]*proxy.Route{r})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	key := &proxy.APIKey{Header: "Authorization", Key: nil}
	if _, err := proxy.NewRouter([]*proxy.Route{{DPoP: &proxy.DPoP{}, APIKey: key, Upstream: way}}); err == nil {
		t.Error("a key of the app's in Authorization goes with a proof")
	}
}
