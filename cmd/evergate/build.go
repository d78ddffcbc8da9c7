package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/door"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/token"
)

// gateway is Evergate, wired: one handler for the public, one for the operator,
// and what has to be closed.
type gateway struct {
	Public http.Handler
	Admin  *admin.Handler
	// Certificates are those of the public side; nil leaves TLS to a front proxy.
	Certificates door.Certificates
	// Known reports whether a host is served here.
	Known func(host string) bool
	close []func() error // in the order of building
}

// Close ends what the gateway runs, the last built first.
func (g *gateway) Close() error {
	var all error
	for i := len(g.close) - 1; i >= 0; i-- {
		all = errors.Join(all, g.close[i]())
	}
	g.close = nil
	return all
}

// parts are what demo and dev give instead of files; nil means the files that
// the config names.
type parts struct {
	// Users are the only users there are; with them nothing is kept on disk.
	Users []local.User
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Wrap stands between the sessions and their store, if set.
	Wrap func(session.Store) session.Store
}

// build turns a config into a gateway. This is the wiring, all of it.
func build(cfg *config.Config, log *slog.Logger, in parts) (_ *gateway, err error) {
	g := &gateway{}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	inMemory := in.Users != nil
	secure := cfg.PublicURL.Scheme == "https"
	cookie := cfg.Session.Cookie.Name
	if cookie == "" {
		cookie = session.CookieName(secure, port(cfg.PublicURL))
	}

	router, ways, err := buildRouter(cfg, log)
	if err != nil {
		return nil, err
	}
	ways.Start()
	g.close = append(g.close, ways.Close)
	if !inMemory {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("make data_dir: %w", err)
		}
	}
	store, err := openStore(cfg, log, in, g)
	if err != nil {
		return nil, err
	}
	ring, err := buildRing(cfg, inMemory)
	if err != nil {
		return nil, err
	}
	if files, err := keyFiles(cfg.Keys.Files, cfg.DataDir); !inMemory && err == nil {
		g.close = append(g.close, watchRing(ring, files, log).Close)
	}
	keys, err := buildKeys(cfg, store, ring, log, inMemory)
	if err != nil {
		return nil, err
	}
	g.close = append(g.close, keys.Close)
	issuer, err := token.NewIssuer(token.Config{
		Issuer: cfg.PublicURL.String() + "/.evergate", Audience: cfg.AccessToken.Audience,
		TTL: cfg.AccessToken.TTL, Keys: keys, Now: in.Now,
	})
	if err != nil {
		return nil, err
	}
	people, err := buildLocal(cfg, log, in, buildThrottle(in, store, ring), issuer)
	if err != nil {
		return nil, err
	}
	methods := map[string]auth.Refresher{}
	if people != nil {
		g.close = append(g.close, people.Users.Close)
		methods[people.Name] = people
	}

	var signedIn sessions
	once := func(ctx context.Context, name string, until time.Time) (bool, error) {
		return signedIn.Once(ctx, name, until)
	}
	providers, err := buildProviders(cfg, log, in.Now, once)
	if err != nil {
		return nil, err
	}
	for i, o := range cfg.Providers() {
		g.close = append(g.close, providers[i].Close)
		methods[o.Name] = providers[i]
	}
	sessionConfig := session.Config{Ring: ring, Methods: methods, Minter: issuer, Cookie: cookie, Insecure: !secure, Log: log, Now: in.Now}
	if router.HasForms() {
		sessionConfig.Ended = func(ctx context.Context, kept map[string][]byte) { router.SessionEnded(ctx, log, kept) }
	}
	signedIn, err = buildSessions(cfg, sessionConfig, store)
	if err != nil {
		return nil, err
	}
	g.close = append(g.close, signedIn.Close)
	extra := issuer.Handlers()
	clientKeys(cfg, providers, extra)
	forms := buildForms(in, store, ring)
	g.close = append(g.close, forms.Close)
	pageConfig := auth.HandlerConfig{
		Sessions: signedIn, Providers: signInAt(cfg, providers), Once: signedIn.Once, Sealer: ring, Forms: forms, PublicURL: cfg.PublicURL,
		CookiePrefix: cookie, Secure: secure, Log: log, Extra: extra,
	}
	if people != nil {
		pageConfig.Password = people
		people.Users.OnChange(signedIn.Recheck)
	}
	pages, err := auth.NewHandler(pageConfig)
	if err != nil {
		return nil, err
	}
	g.close = append(g.close, pages.Close)
	gate := &proxy.Gate{
		Router: router, Auth: signedIn, Bearer: oidc.NewBearers(providers...), Minter: issuer, Own: pages, Challenge: pages.Challenge, Restore: pages.Restore, Log: log,
		PublicHost: cfg.PublicURL.Hostname(),
		OwnCookie:  func(name string) bool { return isOwnCookie(name, cookie) },
	}
	g.Public = web.Serve(web.LimitHeaders(web.LimitBody(gate, int64(cfg.Limits.BodyBytes)), cfg.Limits.Headers), web.Options{
		Log: log, TrustedProxies: cfg.TrustedProxies, Forwarded: cfg.ForwardedHeader == "Forwarded",
		HSTS: cfg.TLS.HSTS, RequestTimeout: cfg.Limits.RequestTimeout,
	})
	if g.Admin, err = buildAdmin(cfg, inMemory, store, signedIn); err != nil {
		return nil, err
	}
	maps.Copy(g.Admin.Beside, providerChecks(cfg, providers))
	maps.Copy(g.Admin.Beside, ways.checks())
	home := cfg.Hosts()[0]
	g.Known = func(host string) bool { return strings.Trim(host, "[]") == home || router.KnowsHost(host) }
	if g.Certificates, err = buildCertificates(cfg, log); err != nil {
		return nil, err
	}
	if g.Certificates != nil {
		g.close = append(g.close, g.Certificates.Close)
		g.Admin.Beside["certificate"] = func(context.Context) error { return g.Certificates.Trouble() }
	}
	return g, nil
}

// isOwnCookie reports whether a cookie is the session's or one of its helpers. An
// app's cookie that merely begins alike is not.
func isOwnCookie(name, session string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(name), strings.ToLower(session))
	return ok && (rest == "" || rest[0] == '-')
}
