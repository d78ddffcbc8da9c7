package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
)

// sessions are where sign-ins are remembered: a session.Manager with its store, or a
// session.Stateless.
type sessions interface {
	auth.Sessions
	Once(ctx context.Context, name string, until time.Time) (bool, error)
	Recheck()
	Close() error
}

// buildSessions makes the sessions over store, which is nil where the cookie has all.
func buildSessions(cfg *config.Config, c session.Config, store session.Store) (sessions, error) {
	c.IdleTimeout, c.MaxLifetime = cfg.Session.IdleTimeout, cfg.Session.MaxLifetime
	c.Lease, c.Grace, c.MaxStale = leaseTime(cfg), cfg.Session.RotationGrace, cfg.Session.MaxStale
	c.RenewBefore = cfg.AccessToken.RenewBefore.For
	if store != nil {
		c.Store = store
		return session.New(c)
	}
	return session.NewStateless(session.StatelessConfig{
		Ring: c.Ring, Methods: c.Methods, Minter: c.Minter, Cookie: c.Cookie, Insecure: c.Insecure, NeedIDToken: needIDToken(cfg),
		IdleTimeout: c.IdleTimeout, MaxLifetime: c.MaxLifetime, Grace: c.Grace, MaxStale: c.MaxStale, RenewBefore: c.RenewBefore, Ended: c.Ended, Log: c.Log, Now: c.Now,
	})
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

// buildAdmin makes the operator's listener.
func buildAdmin(cfg *config.Config, inMemory bool, store session.Store, all sessions) (*admin.Handler, error) {
	h := &admin.Handler{Checks: map[string]admin.Check{}, Beside: map[string]admin.Check{}}
	if store != nil {
		h.Checks["store"] = func(ctx context.Context) error { return readable(ctx, store) }
	}
	// Whoever is signed in is served on while nothing can be written: a gateway that
	// called itself unready then would turn them away.
	if s, ok := store.(interface{ Trouble() error }); ok {
		h.Beside["store writes"] = func(context.Context) error { return s.Trouble() }
	}
	if inMemory {
		return h, nil
	}
	token, err := makeAdminToken(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	h.API = &admin.API{Token: token}
	if m, ok := all.(*session.Manager); ok {
		h.API.Sessions = m
	}
	return h, nil
}
