package main

import (
	"context"
	"log/slog"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/dashboard"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/session"
)

// buildDashboard makes the operator's pages: those of the admin listener, and the same for
// routes with admin: true.
func (g *gateway) buildDashboard(cfg *config.Config) error {
	g.adminToken = g.in.AdminToken
	if g.in.Users == nil {
		var err error
		if g.adminToken, err = makeAdminToken(cfg.DataDir); err != nil {
			return err
		}
	}
	g.dashboard = dashboard.New(g.source(cfg), g.adminToken)
	g.close = append(g.close, g.dashboard.Close)
	return nil
}

// source is what the pages ask of g.
func (g *gateway) source(cfg *config.Config) dashboard.Source {
	s := dashboard.Source{
		Version: version, Started: g.started, Now: g.in.Now, History: g.history, Config: g.config, StoreName: storeName(cfg, g.in.Users != nil),
		Bad: func() error {
			if r := g.reloads; r != nil {
				return r.check(context.Background())
			}
			return nil
		},
		Providers: func() (all []dashboard.Provider) {
			e := g.current.Load()
			if e.people != nil {
				all = append(all, dashboard.Provider{Name: e.people.Name, Local: true})
			}
			for _, p := range e.providers {
				all = append(all, dashboard.Provider{Name: p.Name, State: p.State()})
			}
			return all
		},
		Upstreams: func() (all []dashboard.Upstream) {
			for _, u := range g.current.Load().ways {
				all = append(all, dashboard.Upstream{Targets: u.States()})
			}
			return all
		},
		Draining: g.leaving.Load,
		Tell:     g.tell,
	}
	if g.store != nil {
		s.Store = func(ctx context.Context) error { return readable(ctx, g.store) }
	}
	if w, ok := g.store.(interface{ Trouble() error }); ok {
		s.Writes = func(context.Context) error { return w.Trouble() }
	}
	if m, ok := g.sessions.(*session.Manager); ok {
		s.Sessions = m
	}
	if g.in.Users == nil {
		s.File = func() admin.Running { return g.reloads.running() }
		s.Reload = func() admin.Reloaded { return g.reloads.reload(event.ByCommand) }
	}
	return s
}

// done hears of each request.
func (g *gateway) done(d *web.Done) {
	g.metrics.Done(d)
	g.history.Done(d)
}

func storeName(cfg *config.Config, inMemory bool) string {
	if inMemory {
		return "memory"
	}
	return cfg.Session.Store
}

// tell tells of what is no part's own to tell of.
func (g *gateway) tell(ctx context.Context, level slog.Level, msg string, e event.Event) {
	event.Tell(ctx, g.log, g.events.Hear, level, msg, e)
}
