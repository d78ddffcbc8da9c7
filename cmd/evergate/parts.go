package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/follow"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/redis"
)

// buildStore opens where sessions live.
func buildStore(cfg *config.Config, log *slog.Logger, inMemory bool) (session.Store, error) {
	if inMemory {
		return memory.New(), nil
	}
	if cfg.Session.Store == "redis" {
		return buildRedis(&cfg.Session.Redis, log)
	}
	return bolt.Open(filepath.Join(cfg.DataDir, "sessions.db"), log)
}

func buildRedis(r *config.Redis, log *slog.Logger) (session.Store, error) {
	o, err := redisOptions(r, log)
	if err != nil {
		return nil, err
	}
	return redis.Open(o)
}

// redisOptions reads what the config names.
func redisOptions(r *config.Redis, log *slog.Logger) (redis.Options, error) {
	o := redis.Options{Addresses: r.Addresses, Master: r.Master, Username: r.Username, SentinelUsername: r.SentinelUsername,
		DB: r.DB, Prefix: r.KeyPrefix, Timeout: r.Timeout, Log: log}
	for _, s := range []struct {
		key, file string
		to        *func() (secret.Text, error)
	}{{"password_file", r.PasswordFile, &o.Password}, {"sentinel_password_file", r.SentinelPasswordFile, &o.SentinelPassword}} {
		if s.file == "" {
			continue
		}
		if _, err := config.ReadSecret(s.file); err != nil {
			return o, fmt.Errorf("session.redis.%s: %w", s.key, err)
		}
		*s.to = func() (secret.Text, error) { return config.ReadSecret(s.file) }
	}
	if r.TLS != nil {
		var err error
		if o.TLS, err = clientTLS(r.TLS.ServerName, r.TLS.CAFile, r.TLS.CertFile, r.TLS.KeyFile); err != nil {
			return o, fmt.Errorf("session.redis.tls.%w", err)
		}
	}
	return o, nil
}

// clientTLS is how to connect to a server by TLS; what is "" is the system's, or
// none. The error begins with the key that it is about.
func clientTLS(name, caFile, certFile, keyFile string) (*tls.Config, error) {
	c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	if caFile != "" {
		var err error
		if c.RootCAs, err = readRoots(caFile); err != nil {
			return nil, err
		}
	}
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// readRoots reads the authorities that a ca_file names, as its error says too.
func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: there is no certificate (PEM) in %s", file)
	}
	return roots, nil
}

// readable asks the store for a session that nobody has.
func readable(ctx context.Context, store session.Store) error {
	if _, err := store.Get(ctx, session.Key{}, 0); !errors.Is(err, session.ErrNotFound) {
		return err
	}
	return nil
}

// buildRing reads the keys that seal cookies, which are followed by seen.
func buildRing(cfg *config.Config, inMemory bool, seen *follow.Reading) (*session.Ring, error) {
	if inMemory {
		return session.NewRing(session.NewKey(time.Now()))
	}
	return loadRing(cfg.Keys.Files, cfg.DataDir, seen)
}

// cookieName is what the session cookie is called.
func cookieName(cfg *config.Config) string {
	if cfg.Session.Cookie.Name != "" {
		return cfg.Session.Cookie.Name
	}
	return session.CookieName(cfg.PublicURL.Scheme == "https", port(cfg.PublicURL))
}

// port is the port of a URL, named or not.
func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// buildRouter turns routes into a Router, and returns the upstreams of these. Those
// that are as they were before are taken over. A nil log is for checking alone.
func buildRouter(cfg *config.Config, log *slog.Logger, before waysOut) (*proxy.Router, waysOut, error) {
	var routes []*proxy.Route
	var ways waysOut
	var faults config.Faults
	access, own := newPolicies(cfg), cfg.OwnFiles()
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		if r.Upstream == nil {
			route, fault := buildAnswer(r, access.of(i), own, log)
			if fault != nil {
				faults = append(faults, cfg.Fault(fmt.Sprintf("routes[%d].%s", i, fault.key), fault.err.Error()))
				continue
			}
			routes = append(routes, route)
			continue
		}
		way, err := ways.of(r, log, before)
		if err != nil {
			faults = append(faults, cfg.Fault(fmt.Sprintf("routes[%d].upstream", i), err.Error()))
			continue
		}
		route := buildRoute(r, access.of(i), way)
		if key, err := signInAtApp(route, r.UpstreamAuth, log); err != nil {
			faults = append(faults, cfg.Fault(fmt.Sprintf("routes[%d].%s", i, key), err.Error()))
			continue
		}
		routes = append(routes, route)
	}
	if access.bad != nil {
		faults = append(faults, placed(cfg, errors.Join(access.bad...)).(config.Faults)...)
	}
	if len(faults) > 0 {
		return nil, nil, faults.Sorted()
	}
	router, err := proxy.NewRouter(routes)
	if err != nil {
		return nil, nil, placed(cfg, err)
	}
	return router, ways, nil
}

// appHosts tells the hosts that have sign-ins handed over: those that a route names, and
// not the one of public_url. What only a route for every host serves has none, for
// anybody can come with the name of a host of theirs.
func appHosts(cfg *config.Config, router *proxy.Router) func(host string) bool {
	home := cfg.Hosts()[0]
	return func(host string) bool { return host != home && router.NamesHost(host) }
}

// hasAppHosts reports whether a route names another host than that of public_url. Where
// none does, the forms of the sign-in pages lead nowhere else.
func hasAppHosts(cfg *config.Config) bool {
	home := cfg.Hosts()[0]
	return slices.ContainsFunc(cfg.Routes, func(r config.Route) bool {
		return r.Match.Host != "" && strings.TrimSuffix(r.Match.Host, ".") != home
	})
}

var pathChars = map[string]proxy.PathChars{
	"encoded_slash": proxy.EncodedSlash, "semicolon": proxy.Semicolon, "double_slash": proxy.DoubleSlash,
}

var deviceDemands = map[string]proxy.DeviceDemand{"": proxy.DevicePreferred, "prefer": proxy.DevicePreferred, "off": proxy.DeviceIgnored, "require": proxy.DeviceRequired}

func buildRoute(r *config.Route, access auth.Policy, way *proxy.Upstream) *proxy.Route {
	out := &proxy.Route{Policy: access,

		Name: r.Name, Host: r.Match.Host, Path: r.Match.Path, Methods: r.Match.Methods,
		Token: wanted(&r.Token), Bearer: r.Bearer,
		PassPreflight: r.CORSPreflight == "pass", PassHeaders: r.PassHeaders, Device: deviceDemands[r.DeviceBound], Origins: r.Origins, LogoutPaths: r.LogoutPaths, Upstream: way,
		ReplaceErrors: r.ReplaceErrors, Compress: r.Compress,
		Rewrite:        proxy.Rewrite{StripPrefix: r.StripPrefix, AddPrefix: r.AddPrefix},
		RequestHeaders: proxy.Headers(r.RequestHeaders), AnswerHeaders: proxy.Headers(r.ResponseHeaders),
	}
	if r.Token.DPoP {
		out.DPoP = &proxy.DPoP{URL: r.Token.DPoPURL}
	}
	if r.Rewrite != nil {
		out.Rewrite.Pattern, out.Rewrite.To = r.Rewrite.Path, r.Rewrite.To
	}
	protect(out, r)
	for _, name := range r.PathChars {
		out.PathChars |= pathChars[name]
	}
	return out
}

var tokenKinds = map[string]auth.TokenKind{"": auth.AccessToken, "access": auth.AccessToken, "id": auth.IDToken,
	"evergate": auth.Minted, "none": auth.NoToken}

func wanted(t *config.Token) auth.Wanted {
	w := auth.Wanted{Kind: tokenKinds[t.Type], Resource: t.Resource, Audience: t.Audience, Scope: strings.Join(t.Scopes, " ")}
	if w.Kind == auth.AccessToken && w.Audience != "" {
		w.Kind = auth.Exchanged
	}
	return w
}

var configPathPattern = regexp.MustCompile(`(?s)^((?:\w+|\[\d+\]|\.)+): (.*)$`)

// placed gives the errors of a constructor the lines of the file: each begins
// with the path of the key that it is about, or is about an expression.
func placed(cfg *config.Config, err error) error {
	var faults config.Faults
	for _, err := range singles(err) {
		if bad, ok := errors.AsType[*auth.BadExpression](err); ok {
			faults = append(faults, cfg.FaultIn(bad.At, bad.Line, bad.Column, bad.Msg))
		} else if m := configPathPattern.FindStringSubmatch(strings.TrimPrefix(err.Error(), "proxy: ")); m != nil {
			faults = append(faults, cfg.Fault(m[1], m[2]))
		} else {
			faults = append(faults, cfg.Fault("routes", err.Error()))
		}
	}
	return faults.Sorted()
}

// singles takes errors apart that were joined.
func singles(err error) (all []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, singles(e)...)
		}
		return all
	}
	return []error{err}
}

// leaseTime outlives the slowest provider's answer: while one gateway may be
// renewing a session, no other tries.
func leaseTime(cfg *config.Config) time.Duration {
	longest := 20 * time.Second
	for _, o := range cfg.Providers() {
		longest = max(longest, o.Timeout)
	}
	return longest + 5*time.Second
}
