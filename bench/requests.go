package main

import (
	"context"
	"fmt"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// subject is one way to the app.
type subject struct {
	name    string
	url     string
	cookies string
	process *rig.Process // nil for the app itself
	beside  *subject     // the bare proxy that is sent the same requests; nil for itself

	cpu, rate, p50, p99 report.Rounds // µs, requests a second, µs, µs
	alone               report.Rounds // µs, the median of requests that are alone
}

// requests measures authenticated requests for 1 KiB over connections that are kept.
func (b *bench) requests(ctx context.Context) ([]goal, string, error) {
	all, err := b.subjects(ctx)
	if err != nil {
		return nil, "", err
	}
	for i := range b.rounds {
		fmt.Fprintf(b.talk, "requests, round %d of %d\n", i+1, b.rounds)
		for j := range all {
			if i%2 == 1 {
				j = len(all) - 1 - j
			}
			s := all[(i+j)%len(all)]
			if s.process == nil && i >= b.few() {
				continue // nothing is compared with it
			}
			if err := s.round(ctx, b.conns, b.load, i < b.few()); err != nil {
				return nil, "", err
			}
		}
	}
	var goals []goal
	var rows [][]string
	for _, s := range all {
		row := []string{s.name, "", "", s.rate.Format("%.0f"), s.p50.Format("%.0f"), s.p99.Format("%.0f"), s.alone.Format("%.0f")}
		if s.process != nil {
			bare := s.beside
			if bare == nil {
				bare = s
			}
			ratio := s.cpu.Over(bare.cpu)
			row[1], row[2] = s.cpu.Format("%.1f"), ratio.Format("%.2f")
			if limit, ok := requestGoals[s.name]; ok {
				goals = append(goals, atMost("authenticated GET of 1 KiB, keep-alive, "+s.name+" store: CPU", limit, " × bare", "%.2f", ratio))
			}
			s.process.Kill()
		}
		rows = append(rows, row)
	}
	return goals, fmt.Sprintf("%d rounds of %s each over %d connections, as fast as they are answered, a second before that which does not count, and, in %d of the rounds, a second with one connection; the app itself has no other rounds:\n\n", b.rounds, b.load, b.conns, b.few()) +
		table([]string{"1 KiB by way of", "CPU, µs a request", "× bare", "requests/s", "p50, µs", "p99, µs", "one at a time, p50, µs"}, rows...), nil
}

// requestGoals are how much more CPU than the bare proxy a request may take.
var requestGoals = map[string]float64{"bolt": 1.10, "redis": 1.12, "cookie": 1.12}

// subjects starts the ways to the app: none, the bare proxy, and the gateway with each store.
func (b *bench) subjects(ctx context.Context) ([]*subject, error) {
	redis, err := b.rig.Redis(ctx)
	if err != nil {
		return nil, err
	}
	provider, err := b.rig.Provider(time.Hour)
	if err != nil {
		return nil, err
	}
	var gateways []*subject
	for _, o := range []rig.GatewayOptions{{Store: "bolt"}, {Store: "redis", Redis: redis.Address}, {Store: "cookie", Provider: provider}} {
		o.Upstream = b.app.URL
		g, cookies, err := b.gateway(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Store, err)
		}
		gateways = append(gateways, &subject{name: o.Store, url: g.Base, cookies: cookies, process: g.Process})
	}
	// A bare proxy is sent the very requests that the gateway beside it is, for cookies are a
	// part of what a proxy reads and writes, and those of the cookie store are long.
	all := []*subject{{name: "nothing", url: b.app.URL, cookies: gateways[0].cookies}}
	for _, beside := range [][]*subject{gateways[:2], gateways[2:]} {
		bare, err := b.rig.Bare(ctx, b.app.URL)
		if err != nil {
			return nil, err
		}
		cookies := beside[0].cookies
		name := fmt.Sprintf("`httputil.ReverseProxy`, %d bytes of cookies", len(cookies))
		plain := &subject{name: name, url: bare.URL, cookies: cookies, process: bare.Process}
		all = append(all, plain)
		// What is compared has its turn soon after: a machine that others share is not the same
		// machine half a minute later.
		for _, g := range beside {
			g.beside = plain
			all = append(all, g)
		}
	}
	return all, nil
}

// gateway starts one with somebody who is signed in. A local user is so without having
// signed in there: looking at a password takes memory (64 MiB) which would then lie about,
// and pass for that of whatever is measured.
func (b *bench) gateway(ctx context.Context, o rig.GatewayOptions) (*rig.Gateway, string, error) {
	g, err := b.rig.NewGateway(ctx, o)
	if err != nil {
		return nil, "", err
	}
	filled := []string{""}
	if o.Provider == nil {
		if filled, err = g.Fill(ctx, 1, 1); err != nil {
			return nil, "", err
		}
	}
	if err := g.Start(ctx); err != nil {
		return nil, "", err
	}
	if o.Provider == nil {
		return g, filled[0], nil
	}
	cookies, err := g.SignIn(ctx)
	return g, cookies, err
}

// round sends requests for a while and, with alone, one at a time for a second. The second before
// is not counted: a heap that was idle is collected more often at first (internal/heap), in each of
// them.
func (s *subject) round(ctx context.Context, conns int, d time.Duration, alone bool) error {
	if _, _, err := s.once(ctx, conns, time.Second); err != nil {
		return err
	}
	l, cpu, err := s.once(ctx, conns, d)
	if err != nil {
		return err
	}
	if alone {
		one, _, err := s.once(ctx, 1, time.Second)
		if err != nil {
			return err
		}
		s.alone = append(s.alone, micro(one.P50))
	}
	if s.process != nil {
		s.cpu = append(s.cpu, micro(cpu)/float64(l.Requests))
	}
	s.rate, s.p50, s.p99 = append(s.rate, l.PerSecond()), append(s.p50, micro(l.P50)), append(s.p99, micro(l.P99))
	return nil
}

// once sends requests for a while, and tells the CPU that the proxy has taken for them.
func (s *subject) once(ctx context.Context, conns int, d time.Duration) (l rig.Load, cpu time.Duration, err error) {
	o := rig.WrkOptions{URL: s.url + "/", Header: []string{"Cookie: " + s.cookies}, Connections: conns, For: d}
	if s.process == nil {
		if l, err = rig.Wrk(ctx, o); err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
		}
		return l, 0, err
	}
	before, err := s.process.CPU()
	if err != nil {
		return l, 0, err
	}
	if l, err = rig.Wrk(ctx, o); err != nil {
		return l, 0, fmt.Errorf("%s: %w\n%s", s.name, err, s.process.Said())
	}
	after, err := s.process.CPU()
	return l, after - before, err
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
