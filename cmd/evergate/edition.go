package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/bound"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/audit"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/token"
)

// edition is what one config makes of a gateway. It is never edited: a reload prepares
// the next one beside it, takes over what did not change, and swaps. Requests finish in
// the edition in which they began.
type edition struct {
	cfg       *config.Config
	router    *proxy.Router
	ways      waysOut
	issuer    *token.Issuer
	users     *users        // nil where nobody is kept here
	people    *local.Method // the same
	providers []*provider
	settings  session.Settings
	look      *web.Look
	tracer    *tracer // nil where nobody traces
	gate      *proxy.Gate
	handler   http.Handler
	forward   http.Handler // for a proxy in front that asks; nil where none does
	checks    map[string]admin.Check
	decisions *decisions.Edition
	sinks     []audit.Sink // of the audit log, until that has them

	parts []*part  // what it has in common with others, or may have
	start []func() // what runs beside requests
	use   []func() // what else takes effect with it

	requests atomic.Int64
	replaced atomic.Bool
	once     sync.Once
	idle     chan struct{} // closed once it is replaced and its last request has ended
}

// part is something that editions have in common. The last that lets go closes it.
type part struct {
	uses  int // guarded by gateway.mu
	close func() error
}

// hold takes a part for e.
func (g *gateway) hold(e *edition, p *part) *part {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.uses++
	e.parts = append(e.parts, p)
	return p
}

// letGo gives back what e holds, and closes what nobody else does.
func (g *gateway) letGo(e *edition) {
	g.mu.Lock()
	var last []*part
	for _, p := range e.parts {
		if p.uses--; p.uses == 0 {
			last = append(last, p)
		}
	}
	e.parts = nil
	g.mu.Unlock()
	for _, s := range e.sinks {
		closeLogged(g.log, s)
	}
	e.sinks = nil
	for _, p := range slices.Backward(last) {
		if err := p.close(); err != nil {
			g.log.Error("closing", "err", err)
		}
	}
}

// prepare makes what a config asks for, and takes over what is the same as now. Nothing
// that is in force changes. Whoever does not go on to begin has to letGo.
func (g *gateway) prepare(cfg *config.Config) (_ *edition, err error) {
	e := &edition{cfg: cfg, idle: make(chan struct{})}
	defer func() {
		if err != nil {
			g.letGo(e)
		}
	}()
	before := g.current.Load()
	if before == nil {
		before = &edition{}
	}
	if e.router, e.ways, err = buildRouter(cfg, g.log, before.ways); err != nil {
		return nil, err
	}
	e.router.TakeCounts(before.router)
	if e.look, err = buildLook(cfg, false); err != nil {
		return nil, err
	}
	if err := g.prepareTracing(e, before); err != nil {
		return nil, err
	}
	if err := runTests(g.life, cfg); err != nil {
		return nil, err
	}
	for _, w := range e.ways {
		if w.part == nil {
			w.part = &part{close: func() error { w.Upstream.Close(); return nil }}
			e.start = append(e.start, w.Start)
		}
		g.hold(e, w.part)
	}
	if err := g.prepareRing(e, before); err != nil {
		return nil, err
	}
	if e.issuer = before.issuer; e.issuer == nil || cfg.AccessToken.Audience != before.cfg.AccessToken.Audience || cfg.AccessToken.TTL != before.cfg.AccessToken.TTL {
		if e.issuer, err = token.NewIssuer(token.Config{
			Issuer: cfg.PublicURL.String() + "/.evergate", Audience: cfg.AccessToken.Audience,
			TTL: cfg.AccessToken.TTL, Keys: g.keys, Now: g.in.Now,
		}); err != nil {
			return nil, err
		}
	}
	methods := map[string]auth.Refresher{}
	if err := g.preparePeople(e, before); err != nil {
		return nil, err
	}
	if e.people != nil {
		methods[e.people.Name] = e.people
	}
	once := func(ctx context.Context, name string, until time.Time) (bool, error) {
		return g.sessions.Once(ctx, name, until)
	}
	if e.providers, err = buildProviders(cfg, g.log, g.in.Now, once, before.providers); err != nil {
		return nil, err
	}
	for _, p := range e.providers {
		g.hold(e, p.part)
		methods[p.Name] = p.Method
	}
	if err := g.prepareAudit(e, before); err != nil {
		return nil, err
	}
	e.settings = sessionSettings(cfg, methods, e.issuer)
	if e.router.HasForms() {
		e.settings.Ended = func(ctx context.Context, kept map[string][]byte) { e.router.SessionEnded(ctx, g.log, kept) }
	}
	if g.Certificates != nil {
		use, err := g.Certificates.Prepare(door.Served{Hosts: cfg.Hosts(), CertFile: cfg.TLS.CertFile, KeyFile: cfg.TLS.KeyFile})
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		e.use = append(e.use, use)
	}
	e.checks = providerChecks(e.providers)
	maps.Copy(e.checks, e.ways.checks())
	return e, nil
}

// wire puts the parts of e together.
func (g *gateway) wire(e *edition) error {
	cfg := e.cfg
	extra := e.issuer.Handlers()
	clientKeys(e.providers, extra)
	pageConfig := auth.HandlerConfig{
		Sessions: g.sessions, Providers: signInAt(e.providers), Once: g.sessions.Once, Sealer: g.ring, Forms: g.forms, PublicURL: cfg.PublicURL,
		CookiePrefix: g.cookie, Secure: cfg.PublicURL.Scheme == "https", Log: g.log, Heard: g.events.Hear, Journal: g.journal, NewDevices: cfg.Session.Risk.NewDevice != "off", Extra: extra, Assets: e.look.Assets(),
	}
	if apps, ok := g.sessions.(auth.Handovers); ok && hasAppHosts(cfg) {
		pageConfig.Handovers, pageConfig.AppHost = apps, appHosts(cfg, e.router)
	}
	if e.people != nil {
		pageConfig.Password, pageConfig.Passwords = e.people, e.people
		if g.board != nil {
			pageConfig.Invites = e.people
		}
	}
	var err error
	if pageConfig.Factors, err = g.buildFactors(e); err != nil {
		return err
	}
	if all, ok := g.sessions.(auth.Devices); ok {
		pageConfig.Devices = all
	}
	if sessions, ok := g.sessions.(auth.Bindings); ok {
		pageConfig.DeviceKeys = &bound.Handler{Bindings: sessions, Hosts: cfg.Hosts(), Once: g.sessions.Once, Now: g.in.Now, Log: g.log}
	}
	pages, err := auth.NewHandler(pageConfig)
	if err != nil {
		return err
	}
	keep := cfg.Admin.Decisions
	if g.in.Users != nil {
		keep = 0 // there is no API to ask them of
	}
	e.decisions = g.decisions.Edition(cfg, e.router, keep)
	own := ownCookies(g.cookie)
	e.gate = &proxy.Gate{
		Decided: e.decisions.Decided, Now: g.in.Now, Dashboard: g.dashboard.Published(),
		Router: e.router, Auth: g.sessions, Bearer: oidc.NewBearers(methodsOf(e.providers)...), Minter: e.issuer, Own: pages, Challenge: pages.Challenge,
		Restore: pages.Restore, SignOut: pages.SignOut, Log: g.log, Streams: &g.streams, PublicHost: cfg.PublicURL.Hostname(), StallTimeout: cfg.Limits.StallTimeout,
		RateLimited: func(route string) { g.metrics.RateLimited(route) },
		OwnCookie:   func(name string) bool { return isOwnCookie(name, own) },
	}
	if keys := pageConfig.DeviceKeys; keys != nil {
		e.gate.OfferKey = keys.Offer
	}
	o := web.Options{
		Log: g.log, Access: g.in.Log.access(), TrustedProxies: cfg.TrustedProxies, Forwarded: cfg.ForwardedHeader == "Forwarded",
		HSTS: cfg.TLS.HSTS, RequestTimeout: cfg.Limits.RequestTimeout, Look: e.look, Closing: g.leaving.Load, Done: g.done, Trace: e.tracer.of(),
	}
	e.handler = web.Serve(web.LimitHeaders(web.LimitBody(e.gate, int64(cfg.Limits.BodyBytes)), cfg.Limits.Headers), o)
	if cfg.ForwardAuth != nil {
		e.gate.Turned, e.gate.Turn = pages.Turned, pages.Turn
		o.Forwarded = false // a proxy that asks says X-Forwarded-For, whatever it writes elsewhere
		ask := &proxy.ForwardAuth{Gate: e.gate, Dialect: proxy.Dialect(cfg.ForwardAuth.Dialect), Trusted: cfg.TrustedProxies, PublicURL: cfg.PublicURL, Heard: g.heard}
		e.forward = ask.Handler(func(next http.Handler) http.Handler { return web.Serve(web.LimitHeaders(next, cfg.Limits.Headers), o) })
	}
	return nil
}

// begin puts e in force: requests that come from now on are served by it.
func (g *gateway) begin(e *edition) {
	for _, start := range e.start {
		start()
	}
	g.decisions.Begin(e.decisions)
	before := g.current.Swap(e)
	g.streams.Follow(e.gate)
	g.metrics.Providers(slices.Collect(maps.Keys(e.settings.Methods)))
	if g.in.Log != nil {
		g.in.Log.Apply(e.cfg.Log)
	}
	for _, use := range e.use {
		use()
	}
	if before == nil {
		return
	}
	if g.Applied != nil {
		g.Applied(e.cfg)
	}
	g.sessions.Recheck() // streams, by the rules of now
	g.metrics.KeepRoutes(e.router.Names())
	g.retire(before)
}

// config is the one in force.
func (g *gateway) config() *config.Config { return g.current.Load().cfg }

// lingers is for how long what was replaced is kept for streams: they need little of
// it, and may go on for days.
const lingers = time.Minute

// retire lets go of an edition once its last request has ended.
func (g *gateway) retire(e *edition) {
	e.replaced.Store(true)
	if e.requests.Load() == 0 {
		e.rest()
	}
	g.wg.Go(func() {
		late := time.NewTimer(lingers)
		defer late.Stop()
		select {
		case <-e.idle:
		case <-late.C:
		case <-g.life.Done():
		}
		g.letGo(e)
		select {
		case <-e.idle:
		case <-g.life.Done():
		}
		// Connections that were in use at the first time are idle by now.
		for _, w := range e.ways {
			if !slices.ContainsFunc(g.current.Load().ways, func(now *wayOut) bool { return now == w }) {
				w.Upstream.Close()
			}
		}
	})
}

func (g *gateway) closeEditions() error {
	g.wg.Wait()
	if e := g.current.Load(); e != nil {
		g.letGo(e)
	}
	return nil
}

// enter counts a request in the edition in force. It has to leave.
func (g *gateway) enter() *edition {
	for {
		e := g.current.Load()
		e.requests.Add(1)
		if g.current.Load() == e {
			return e
		}
		e.leave() // it was replaced in this very moment
	}
}

func (e *edition) leave() {
	if e.requests.Add(-1) == 0 && e.replaced.Load() {
		e.rest()
	}
}

func (e *edition) rest() { e.once.Do(func() { close(e.idle) }) }
