package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// sessions are where sign-ins are remembered: a session.Manager with its store, or a
// session.Stateless.
type sessions interface {
	auth.Sessions
	Once(ctx context.Context, name string, until time.Time) (bool, error)
	Recheck()
	Len() int
	Reconfigure(s session.Settings) error
	Leave() error
	Close() error
}

// sessionSettings are what the config says of sessions that may change.
func sessionSettings(cfg *config.Config, methods map[string]auth.Refresher, minter auth.Minter) session.Settings {
	return session.Settings{
		Methods: methods, Minter: minter, IdleTimeout: cfg.Session.IdleTimeout, MaxLifetime: cfg.Session.MaxLifetime,
		Grace: cfg.Session.RotationGrace, MaxStale: cfg.Session.MaxStale, RenewBefore: cfg.AccessToken.RenewBefore.For,
		Lease: leaseTime(cfg), NeedIDToken: needIDToken(cfg), BoundFor: cfg.Session.BoundFor,
		Risks: session.Risks{NewNetwork: riskActions[cfg.Session.Risk.NewNetwork], ChangedBrowser: riskActions[cfg.Session.Risk.ChangedBrowser], ParallelUse: riskActions[cfg.Session.Risk.ParallelUse]},
	}
}

// riskActions are what is done about risk signals, as the config has them.
var riskActions = map[string]session.Action{"off": session.Ignore, "log": session.Tell, "step_up": session.StepUp, "revoke": session.Revoke}

// buildSessions makes the sessions over store, which is nil where the cookie has all.
func buildSessions(c session.Config, s session.Settings, store session.Store) (sessions, error) {
	if store == nil {
		return session.NewStateless(session.StatelessConfig{
			Ring: c.Ring, Methods: s.Methods, Minter: s.Minter, Cookie: c.Cookie, Insecure: c.Insecure, NeedIDToken: s.NeedIDToken,
			IdleTimeout: s.IdleTimeout, MaxLifetime: s.MaxLifetime, Grace: s.Grace, MaxStale: s.MaxStale, RenewBefore: s.RenewBefore, Ended: s.Ended, BoundFor: s.BoundFor, Risks: s.Risks, Log: c.Log, Heard: c.Heard, Now: c.Now,
		})
	}
	c.Store, c.Methods, c.Minter, c.IdleTimeout, c.MaxLifetime = store, s.Methods, s.Minter, s.IdleTimeout, s.MaxLifetime
	c.Grace, c.MaxStale, c.RenewBefore, c.Lease, c.Ended, c.BoundFor, c.Risks = s.Grace, s.MaxStale, s.RenewBefore, s.Lease, s.Ended, s.BoundFor, s.Risks
	return session.New(c)
}

// needIDToken reports whether an upstream gets the ID token.
func needIDToken(cfg *config.Config) bool {
	for i := range cfg.Routes {
		if wanted(&cfg.Routes[i].Token).Kind == auth.IDToken {
			return true
		}
	}
	return false
}

// openStore opens where sessions lie; nil where that is the cookie.
func openStore(cfg *config.Config, log *slog.Logger, in parts, g *gateway) (session.Store, error) {
	inMemory := in.Users != nil
	if cfg.Session.Store == "cookie" && !inMemory {
		return nil, nil
	}
	store, err := buildStore(cfg, log, inMemory)
	if err != nil {
		return nil, err
	}
	g.close = append(g.close, store.Close)
	if in.Wrap != nil {
		store = in.Wrap(store)
	}
	return store, nil
}

// storeWrites is the part of /readyz that says whether a store takes what is written.
const storeWrites = "store writes"

// buildAdmin makes the operator's listener.
func buildAdmin(inMemory bool, token secret.Text, store session.Store, all sessions) *admin.Handler {
	h := &admin.Handler{Version: version, Checks: map[string]admin.Check{}, Beside: map[string]admin.Check{}}
	if store != nil {
		h.Checks["store"] = func(ctx context.Context) error { return readable(ctx, store) }
	}
	// Whoever is signed in is served on while nothing can be written: a gateway that
	// called itself unready then would turn them away.
	if s, ok := store.(interface{ Trouble() error }); ok {
		h.Beside[storeWrites] = func(context.Context) error { return s.Trouble() }
	}
	if inMemory {
		return h
	}
	h.API = &admin.API{Token: token}
	if m, ok := all.(*session.Manager); ok {
		h.API.Sessions = m
	}
	return h
}
