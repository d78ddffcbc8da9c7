package curves

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/evergate/evergate/bench/internal/plot"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// Sessions are more than one, and have no divisor with a number of replicas in common: each
// replica sees requests of each.
const (
	roundRobin = 1001
	renewing   = 11
)

// replicas measures gateways on one Redis, between which requests go round.
func (b *bench) replicas(ctx context.Context) (res result, err error) {
	renewals := make([]float64, len(b.Replicas))
	errs := make(chan error, len(b.Replicas))
	for i, n := range b.Replicas { // these mostly wait
		go func() {
			var err error
			renewals[i], err = b.renewals(ctx, n)
			errs <- err
		}()
	}
	for range b.Replicas {
		if e := <-errs; e != nil {
			err = e
		}
	}
	if err != nil {
		return res, err
	}
	var subjects, bare []*subject
	for _, n := range b.Replicas {
		s, beside := &subject{}, &subject{}
		gateways, redis, err := b.replicated(ctx, n, rig.GatewayOptions{})
		if err != nil {
			return res, err
		}
		defer redis.Kill()
		cookies, err := gateways[0].Fill(ctx, roundRobin, roundRobin)
		if err != nil {
			return res, err
		}
		for _, g := range gateways {
			if err := g.Start(ctx); err != nil {
				return res, err
			}
			defer g.Kill()
			s.servers = append(s.servers, g.Process)
		}
		if s.pool, err = newPool(ctx, addresses(gateways), atOnce, gateways[0].Host, "/", cookies); err != nil {
			return res, err
		}
		defer s.pool.Close()
		if _, err := s.pool.touch(ctx, roundRobin*n); err != nil { // each replica has seen each session
			return res, err
		}
		var at []string
		for range n {
			p, err := b.rig.Bare(ctx, b.app.URL)
			if err != nil {
				return res, err
			}
			defer p.Kill()
			beside.servers, at = append(beside.servers, p.Process), append(at, p.Address)
		}
		if beside.pool, err = newPool(ctx, at, atOnce, at[0], "/", cookies); err != nil {
			return res, err
		}
		defer beside.pool.Close()
		subjects, bare = append(subjects, s), append(bare, beside)
	}
	if err := b.turns(ctx, slices.Concat(subjects, bare)); err != nil {
		return res, err
	}
	first, last := subjects[0], subjects[len(subjects)-1]
	t := newTable("replicas", counts(b.Replicas))
	t.row("CPU for each request, of all together", func(i int) string { return subjects[i].cpu.Format("%.0f") + " µs" })
	t.row("of so many `httputil.ReverseProxy`", func(i int) string { return bare[i].cpu.Format("%.0f") + " µs" })
	t.row("request, p50 / p99", func(i int) string {
		return fmt.Sprintf("%.2f ms / %.2f ms", subjects[i].p50.Median(), subjects[i].p99.Median())
	})
	t.row("renewals for each session and expiry", func(i int) string { return fmt.Sprintf("%.2f", renewals[i]) })
	return result{t.String(), plot.Figure{
		Title: "Replicas on one Redis", X: "replicas",
		Text: fmt.Sprintf("Requests that go round %d replicas take %.0f µs of CPU each, those to one take %.0f µs; with httputil.ReverseProxy it is %.0f µs and %.0f µs. Each session is renewed %.2f times at %d replicas.",
			b.Replicas[len(b.Replicas)-1], last.cpu.Median(), first.cpu.Median(), bare[len(bare)-1].cpu.Median(), bare[0].cpu.Median(), renewals[len(renewals)-1], b.Replicas[len(b.Replicas)-1]),
		Panels: []plot.Panel{
			{Y: "µs of CPU for each request, of all replicas", Series: []plot.Series{
				line("Evergate", b.Replicas, func(i int) report.Rounds { return subjects[i].cpu }),
				line("ReverseProxy", b.Replicas, func(i int) report.Rounds { return bare[i].cpu })}},
			{Y: "ms for a request", Log: true, Series: []plot.Series{
				line("p50", b.Replicas, func(i int) report.Rounds { return subjects[i].p50 }),
				line("p99", b.Replicas, func(i int) report.Rounds { return subjects[i].p99 })}},
			{Y: "renewals for each session and expiry", Series: []plot.Series{line("at the provider", b.Replicas, func(i int) report.Rounds { return one(renewals[i]) })}},
		},
	}}, nil
}

// replicated are the configs of n gateways, and the Redis that they share.
func (b *bench) replicated(ctx context.Context, n int, o rig.GatewayOptions) ([]*rig.Gateway, *rig.Redis, error) {
	redis, err := b.rig.Redis(ctx)
	if err != nil {
		return nil, nil, err
	}
	o.Store, o.Redis, o.Upstream = "redis", redis.Address, b.app.URL
	var all []*rig.Gateway
	for range n {
		g, err := b.rig.NewGateway(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		if all = append(all, g); o.Like == nil {
			o.Like = g
		}
	}
	return all, redis, nil
}

func addresses(gateways []*rig.Gateway) (all []string) {
	for _, g := range gateways {
		all = append(all, g.Address)
	}
	return all
}

// renewals has sessions in use at n replicas until all of their access tokens, and none
// a second time, were due, and counts what the provider was asked for, by session.
func (b *bench) renewals(ctx context.Context, n int) (float64, error) {
	provider, err := b.rig.Provider(b.TTL)
	if err != nil {
		return 0, err
	}
	gateways, redis, err := b.replicated(ctx, n, rig.GatewayOptions{Provider: provider, RenewBefore: "20%"})
	if err != nil {
		return 0, err
	}
	defer redis.Kill()
	for _, g := range gateways {
		if err := g.Start(ctx); err != nil {
			return 0, err
		}
		defer g.Kill()
	}
	began := time.Now()
	var cookies []string
	for range renewing {
		c, err := gateways[0].SignIn(ctx)
		if err != nil {
			return 0, err
		}
		cookies = append(cookies, c)
	}
	if took := time.Since(began); took > b.TTL/5 {
		return 0, fmt.Errorf("signing %d people in took %s: too long to tell a renewal from the next, at a lifetime of %s", renewing, took, b.TTL)
	}
	pool, err := newPool(ctx, addresses(gateways), atOnce, gateways[0].Host, "/", cookies)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	// Due when a fifth of the lifetime is left, and again after nearly as long.
	for end := began.Add(b.TTL * 19 / 20); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := pool.touch(ctx, renewing*n); err != nil {
			return 0, err
		}
	}
	return float64(provider.Stats().RefreshGrants) / renewing, nil
}
