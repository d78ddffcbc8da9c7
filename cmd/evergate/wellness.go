package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/metrics"
)

// wellness looks every now and then at how the parts are that the gateway needs, and tells
// when one goes and when it is back. Whoever asks gets what was seen last: a scrape must not
// wait for a store that is away.
type wellness struct {
	g      *gateway
	always map[string]admin.Check // those that no config changes
	last   atomic.Pointer[map[string]wellPart]
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// wellPart is how a part was, and since when.
type wellPart struct {
	kind, name string
	err        error
	since      time.Time
}

const (
	wellEvery   = 2 * time.Second
	wellTimeout = 2 * time.Second
)

// watchWellness looks at once, and then until Close.
func watchWellness(g *gateway) *wellness {
	ctx, stop := context.WithCancel(context.Background())
	w := &wellness{g: g, always: maps.Clone(g.Admin.Checks), stop: stop}
	// Here and not at each look: who follows the config adds to Beside while this runs.
	for _, beside := range []string{storeWrites, certificatePart} {
		if check := g.Admin.Beside[beside]; check != nil {
			w.always[beside] = check
		}
	}
	w.last.Store(&map[string]wellPart{})
	w.done.Go(func() {
		tick := time.NewTicker(wellEvery)
		defer tick.Stop()
		for {
			w.look(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

// Close ends it, and waits.
func (w *wellness) Close() error {
	w.stop()
	w.done.Wait()
	return nil
}

// certificatePart is the part of /readyz that says how the certificate is.
const certificatePart = "certificate"

// kinds are the parts that are looked at, by the beginning of their names in /readyz.
var kinds = []struct {
	prefix, kind string
	away, back   event.Name
}{
	{"store", "store", event.StoreAway, event.StoreBack},
	{"provider ", "provider", event.ProviderAway, event.ProviderBack},
	{"upstream ", "upstream", event.UpstreamAway, event.UpstreamBack},
	{certificatePart, certificatePart, "", ""}, // the front door tells of it, as tls.bad and tls.ending
}

func (w *wellness) look(ctx context.Context) {
	e := w.g.current.Load()
	if e == nil {
		return
	}
	checks := maps.Clone(e.checks)
	maps.Copy(checks, w.always)
	before, now := *w.last.Load(), map[string]wellPart{}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		for _, k := range kinds {
			rest, ok := strings.CutPrefix(name, k.prefix)
			if !ok {
				continue
			}
			if rest == "" || k.kind == "store" {
				rest = name // "certificate"; "store" and "store writes"
			}
			was, known := before[name]
			p := w.one(ctx, checks[name], k.kind, rest, was, known)
			if ctx.Err() != nil {
				return
			}
			now[name] = p
			w.tell(k.away, k.back, &p, was.err, known)
		}
	}
	w.last.Store(&now)
}

func (w *wellness) one(ctx context.Context, check admin.Check, kind, name string, was wellPart, known bool) wellPart {
	ctx, cancel := context.WithTimeout(ctx, wellTimeout)
	defer cancel()
	p := wellPart{kind: kind, name: name, err: check(ctx), since: was.since}
	if !known || (p.err == nil) != (was.err == nil) {
		p.since = time.Now()
	}
	return p
}

func (w *wellness) tell(away, back event.Name, p *wellPart, was error, known bool) {
	e := event.Event{Part: p.name}
	if p.kind == "provider" {
		e.Part, e.Provider = "", p.name
	}
	switch {
	case p.err != nil && (!known || was == nil):
		e.Name, e.Err = away, p.err
	case p.err == nil && known && was != nil:
		e.Name = back
	}
	if e.Name == "" {
		return
	}
	// The parts themselves tell the log, with more to say.
	event.Tell(context.Background(), nil, w.g.events.Hear, slog.LevelInfo, "", e)
}

// state is what the metrics say of the gateway.
func (g *gateway) state() metrics.State {
	s := metrics.State{Sessions: g.sessions.Len(), Streams: g.streams.Len(), AuditOK: g.audit.Trouble() == nil, Now: time.Now()}
	for _, p := range *g.well.last.Load() {
		s.Parts = append(s.Parts, metrics.Part{Kind: p.kind, Name: p.name, OK: p.err == nil})
	}
	if open := g.open.Load(); open != nil {
		s.Connections = (*open)()
	}
	if g.in.Log != nil {
		s.LogLost = g.in.Log.Lost()
	}
	s.Draining = g.Admin.Draining != nil && g.Admin.Draining()
	return s
}
