package curves

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergate/evergate/bench/internal/plot"
	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

// peer is a server whose connections are counted.
type peer struct {
	*rig.Process
	address, host string
	cookies       []string
	costs         []costs // by number of connections
	base          rig.Memory
	memory        []rig.Memory
}

// connections measures the gateway and httputil.ReverseProxy with more and more open
// connections, of which few at once have a request under way.
func (b *bench) connections(ctx context.Context) (res result, err error) {
	g, err := b.rig.NewGateway(ctx, rig.GatewayOptions{Upstream: b.app.URL})
	if err != nil {
		return res, err
	}
	cookies, err := g.Fill(ctx, 100, 100)
	if err != nil {
		return res, err
	}
	if err := g.Start(ctx); err != nil {
		return res, err
	}
	defer g.Kill()
	bare, err := b.rig.Bare(ctx, b.app.URL)
	if err != nil {
		return res, err
	}
	defer bare.Kill()
	ours := &peer{Process: g.Process, address: g.Address, host: g.Host, cookies: cookies}
	theirs := &peer{Process: bare.Process, address: bare.Address, host: bare.Address, cookies: cookies}
	for _, p := range []*peer{ours, theirs} {
		p.costs, p.memory = make([]costs, len(b.Connections)), make([]rig.Memory, len(b.Connections))
		if err := p.warm(ctx); err != nil {
			return res, err
		}
		for i, n := range b.Connections {
			if p.memory[i], err = p.holding(ctx, n); err != nil {
				return res, fmt.Errorf("%d: %w", n, err)
			}
		}
	}
	for round := range b.Rounds {
		for i, n := range b.Connections {
			order := []*peer{ours, theirs}
			if (round+i)%2 == 1 {
				order = []*peer{theirs, ours}
			}
			for _, p := range order {
				if err := p.turn(ctx, n, &p.costs[i], b.Load); err != nil {
					return res, fmt.Errorf("%d: %w", n, err)
				}
			}
		}
	}
	each := func(p *peer, i int) float64 {
		return max(0, float64(p.memory[i].Own-p.base.Own)/1024/float64(b.Connections[i]))
	}
	last := len(b.Connections) - 1
	t := newTable("connections", counts(b.Connections))
	for _, one := range []struct {
		name string
		*peer
	}{{"Evergate", ours}, {"`httputil.ReverseProxy`", theirs}} {
		t.row(one.name+", CPU for each request", func(i int) string { return one.costs[i].cpu.Format("%.0f") + " µs" })
		t.row(one.name+", request p50 / p99", func(i int) string {
			return fmt.Sprintf("%.2f ms / %.2f ms", one.costs[i].p50.Median(), one.costs[i].p99.Median())
		})
		t.row(one.name+", memory of its own", func(i int) string { return report.Size(one.memory[i].Own) })
		t.row(one.name+", for each connection", func(i int) string { return fmt.Sprintf("%.1f KiB", each(one.peer, i)) })
	}
	return result{t.String(), plot.Figure{
		Title: "Open connections", X: "open connections",
		Text: fmt.Sprintf("With %s open connections each takes %.1f KiB of Evergate's memory, and %.1f KiB of httputil.ReverseProxy's. A request takes %.0f µs of CPU with the fewest and %.0f µs with the most.",
			report.Count(b.Connections[last]), each(ours, last), each(theirs, last), ours.costs[0].cpu.Median(), ours.costs[last].cpu.Median()),
		Panels: []plot.Panel{
			{Y: "µs of CPU for each request", Series: []plot.Series{
				line("Evergate", b.Connections, func(i int) report.Rounds { return ours.costs[i].cpu }),
				line("ReverseProxy", b.Connections, func(i int) report.Rounds { return theirs.costs[i].cpu })}},
			{Y: "MiB of memory of its own", Log: true, Series: []plot.Series{
				line("Evergate", b.Connections, func(i int) report.Rounds { return one(float64(ours.memory[i].Own) / (1 << 20)) }),
				line("ReverseProxy", b.Connections, func(i int) report.Rounds { return one(float64(theirs.memory[i].Own) / (1 << 20)) })}},
		},
	}}, nil
}

// open opens n connections that end without lingering: a port each would be in use for a
// minute otherwise.
func (p *peer) open(ctx context.Context, n int) (*pool, error) {
	pool, err := newPool(ctx, []string{p.address}, n, p.host, "/", p.cookies)
	if err != nil {
		return nil, err
	}
	for _, c := range pool.conns {
		if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
			err = errors.Join(err, l.SetLinger(0))
		}
	}
	return pool, err
}

// warm has requests go until the memory is that of a server in use.
func (p *peer) warm(ctx context.Context) (err error) {
	pool, err := p.open(ctx, atOnce)
	if err != nil {
		return err
	}
	_, err = pool.run(ctx, time.Second)
	pool.Close()
	if err == nil {
		p.base, err = p.Memory()
	}
	return err
}

// holding is the memory with n open connections, over each of which a request has gone.
func (p *peer) holding(ctx context.Context, n int) (rig.Memory, error) {
	pool, err := p.open(ctx, n)
	if err != nil {
		return rig.Memory{}, err
	}
	defer pool.Close()
	if _, err := pool.touch(ctx, 2*n); err != nil {
		return rig.Memory{}, err
	}
	return p.Memory()
}

// turn sends requests over n connections for a while.
func (p *peer) turn(ctx context.Context, n int, c *costs, d time.Duration) error {
	pool, err := p.open(ctx, n)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.touch(ctx, n); err != nil { // the first of a connection costs more
		return err
	}
	s := &subject{servers: []*rig.Process{p.Process}, pool: pool, costs: *c}
	err = s.once(ctx, d)
	*c = s.costs
	return err
}
