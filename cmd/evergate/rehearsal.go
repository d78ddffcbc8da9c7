package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
)

// rehearsal is the gate of a config with nobody at either end: whoever is said to be
// signed in is, and what would go up goes nowhere. It is the code that serves, so what it
// shows is what would happen. It opens no connection, and reads none of the secrets that
// the config names.
type rehearsal struct {
	cfg     *config.Config
	router  *proxy.Router
	handler http.Handler
	wire    *stage
	who     *actor
	last    *proxy.Decision
	now     time.Time
}

// scene is one request to rehearse.
type scene struct {
	Method string
	URL    *url.URL // absolute, without a fragment
	// Fragment is a # and what follows it, which no browser sends and other clients may.
	Fragment string
	Header   http.Header
	Address  netip.Addr // of the client
	Who      *auth.Login
	Time     time.Time
}

// outcome is what became of it.
type outcome struct {
	Decision   proxy.Decision
	Trace      auth.Trace
	Candidates []proxy.Candidate
	// Status and Header are what the browser would get, where the gateway answers by
	// itself; an app would answer as it likes, and Status is 0.
	Status int
	Header http.Header
	// Up is what the app would get, or nil.
	Up *http.Request
}

// inFront stands for the app of a route that the proxy in front knows.
var inFront = &url.URL{Scheme: "http", Host: "behind-the-proxy-in-front"}

// newRehearsal makes one. The error is Faults.
func newRehearsal(cfg *config.Config) (*rehearsal, error) {
	r := &rehearsal{cfg: cfg, wire: &stage{}, who: &actor{}}
	if slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return r.Token.DPoP }) {
		var err error
		if r.who.key, err = dpop.NewKey(); err != nil {
			return nil, err
		}
	}
	var routes []*proxy.Route
	access := newPolicies(cfg)
	for i := range cfg.Routes {
		from := &cfg.Routes[i]
		if cfg.Decides(from) { // the app gets the same from the proxy in front
			carried := *from
			carried.Upstream, carried.Timeouts = &config.Upstream{Targets: []config.Target{{URL: inFront}}}, config.DefaultTimeouts
			from = &carried
		}
		if from.Upstream == nil {
			route, fault := buildAnswer(from, access.of(i), nil, nil)
			if fault != nil {
				return nil, config.Faults{cfg.Fault(fmt.Sprintf("routes[%d].%s", i, fault.key), fault.err.Error())}
			}
			routes = append(routes, route)
			continue
		}
		o, err := upstreamOptions(from, nil)
		if err != nil {
			return nil, config.Faults{cfg.Fault(fmt.Sprintf("routes[%d].upstream", i), err.Error())}
		}
		o.Wire, o.TLS = r.wire, nil
		way, err := proxy.NewUpstream(o)
		if err != nil {
			return nil, config.Faults{cfg.Fault(fmt.Sprintf("routes[%d].upstream", i), err.Error())}
		}
		routes = append(routes, buildRoute(from, access.of(i), way))
	}
	if access.bad != nil {
		return nil, placed(cfg, errors.Join(access.bad...))
	}
	for _, route := range routes {
		route.RateLimits = nil // a rehearsal uses nothing up
	}
	var err error
	if r.router, err = proxy.NewRouter(routes); err != nil {
		return nil, placed(cfg, err)
	}
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		return nil, err
	}
	name := cookieName(cfg)
	pages, err := auth.NewHandler(auth.HandlerConfig{Sessions: r.who, Sealer: ring, PublicURL: cfg.PublicURL, CookiePrefix: name,
		Secure: cfg.PublicURL.Scheme == "https", Now: r.clock})
	if err != nil {
		return nil, err
	}
	own := ownCookies(name)
	gate := &proxy.Gate{Router: r.router, Auth: r.who, Bearer: client{r.who}, Minter: r.who, Own: pages, Challenge: pages.Challenge,
		PublicHost: cfg.PublicURL.Hostname(), Now: r.clock, Dashboard: http.HandlerFunc(rehearsedDashboard),
		OwnCookie: func(cookie string) bool { return isOwnCookie(cookie, own) },
		Decided:   func(_ http.Header, _ *http.Request, d *proxy.Decision) { copied := *d; r.last = &copied },
	}
	r.handler = web.Serve(web.LimitHeaders(gate, cfg.Limits.Headers), web.Options{TrustedProxies: cfg.TrustedProxies,
		Forwarded: cfg.ForwardedHeader == "Forwarded", HSTS: cfg.TLS.HSTS})
	return r, nil
}

func (r *rehearsal) clock() time.Time { return r.now }

// rehearsedDashboard stands for the pages of a gateway that runs.
func rehearsedDashboard(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// onTheWire is the request-target that a client sends for u: as it was written. URL.RequestURI
// would write a path anew that has a character in it which is to be escaped, and take apart what
// is escaped already.
func onTheWire(u *url.URL) string {
	target := u.RawPath // "" where Path is all that there is to say
	if target == "" {
		target = u.EscapedPath()
	}
	if target == "" {
		target = "/"
	}
	if u.ForceQuery || u.RawQuery != "" {
		target += "?" + u.RawQuery
	}
	return target
}

// play rehearses one request.
func (r *rehearsal) play(ctx context.Context, s scene) outcome {
	r.wire.got, r.last, r.who.login, r.now = nil, nil, s.Who, s.Time
	req := (&http.Request{Method: s.Method, URL: s.URL, Host: s.URL.Host, Header: s.Header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: http.NoBody, RemoteAddr: netip.AddrPortFrom(s.Address, 40000).String(), RequestURI: onTheWire(s.URL) + s.Fragment}).WithContext(ctx)
	if req.Header == nil {
		req.Header = http.Header{}
	}
	openPage(req)
	if s.URL.Scheme == "https" {
		req.TLS = &tls.ConnectionState{}
	}
	rec := &audience{header: http.Header{}}
	r.handler.ServeHTTP(rec, req)
	out := outcome{Status: rec.status, Header: rec.header, Up: r.wire.got}
	if r.wire.got != nil {
		out.Status = 0
	}
	out.Header.Del("X-Request-Id")
	if r.last == nil { // it did not get as far as the gate
		out.Decision = proxy.Decision{Outcome: proxy.Refused}
		return out
	}
	out.Decision = *r.last
	d := &out.Decision
	if d.Target.Path != "" && d.Outcome != proxy.Own {
		out.Candidates = r.router.Candidates(req.Host, d.Target.Path, s.Method)
	}
	if d.Route != nil && d.Question.Method != "" {
		out.Trace, _, _ = d.Route.Policy.Explain(&d.Question, d.Route.Policy.Public || d.Login == nil)
	}
	return out
}

// openPage makes of a GET that says nothing of itself what a browser sends for a person
// who opens a page.
func openPage(req *http.Request) {
	for _, name := range []string{"Accept", "Authorization", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "X-Requested-With", "Upgrade"} {
		if req.Header[name] != nil || req.Method != http.MethodGet {
			return
		}
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
}

// stage is where requests go up to, and no further.
type stage struct{ got *http.Request }

// RoundTrip implements http.RoundTripper.
func (s *stage) RoundTrip(req *http.Request) (*http.Response, error) {
	s.got = req
	return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: http.NoBody, Request: req}, nil
}

// audience is the browser.
type audience struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (a *audience) Header() http.Header { return a.header }

// Write implements http.ResponseWriter.
func (a *audience) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(b), nil
}

// WriteHeader implements http.ResponseWriter.
func (a *audience) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

// actor is who is said to be signed in. It is an auth.Sessions, an auth.Session and an
// auth.Minter of which nothing comes but words in the place of tokens.
type actor struct {
	login *auth.Login
	key   *dpop.Key // of their session, where a route proves one; nil where none does
}

func (a *actor) Authenticate(r *http.Request) (*auth.Login, error) {
	if a.login == nil {
		return nil, &auth.Absent{Reason: auth.NoCookie}
	}
	login := *a.login
	login.AccessToken, login.Session = a.token("access-token"), a
	return &login, nil
}

// client is the same with a token of its own, and no session.
type client struct{ *actor }

func (c client) Authenticate(r *http.Request) (*auth.Login, error) {
	login, err := c.actor.Authenticate(r)
	if err == nil {
		login.Session = nil
	}
	return login, err
}

func (a *actor) token(kind string) auth.Token {
	return auth.Token{Value: secret.New("the-" + kind), Issued: time.Now(), Expires: time.Now().Add(time.Hour), Key: a.key}
}

func (a *actor) Begin(http.Header, *http.Request, *auth.Login, bool) error    { return nil }
func (a *actor) End(http.Header, *http.Request) (*auth.Login, error)          { return nil, nil }
func (a *actor) EndAll(context.Context, string, string, string) (int, error)  { return 0, nil }
func (a *actor) ID() string                                                   { return "rehearsal" }
func (a *actor) Deliver(context.Context, http.Header)                         {}
func (a *actor) Times() auth.Times                                            { return auth.Times{} }
func (a *actor) Due() bool                                                    { return false }
func (a *actor) Bound() bool                                                  { return true }
func (a *actor) Unconfirmed() bool                                            { return false }
func (a *actor) Kept(context.Context, string, uint64) ([]byte, uint64, error) { return nil, 0, nil }
func (a *actor) Keep(context.Context, string, []byte, uint64) error           { return nil }
func (a *actor) Mint(context.Context, *auth.Login, string) (auth.Token, error) {
	return a.token("gateway-token"), nil
}
func (a *actor) Attend(ctx context.Context, _ func(*auth.Login) error) (context.Context, func()) {
	return ctx, func() {}
}

func (a *actor) Token(_ context.Context, want auth.Wanted) (auth.Token, error) {
	kinds := map[auth.TokenKind]string{auth.AccessToken: "access-token", auth.IDToken: "id-token", auth.Minted: "gateway-token", auth.Exchanged: "exchanged-token"}
	for _, of := range []string{want.Resource, want.Audience} {
		if of != "" && isTokenWord(of) {
			return a.token(kinds[want.Kind] + "-for-" + of), nil
		}
	}
	return a.token(kinds[want.Kind]), nil
}

// Replace implements auth.Session.
func (a *actor) Replace(_ context.Context, _ auth.Wanted, refused auth.Token) (auth.Token, error) {
	return refused, nil
}

func isTokenWord(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}

// line is the line of the file on which a value stands.
func line(cfg *config.Config, path string) int { return cfg.Fault(path, "").Line }
