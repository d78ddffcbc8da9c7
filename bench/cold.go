package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

const (
	distance    = 20 * time.Millisecond // to a Redis that is far away
	fromFarAway = 20                    // sessions that are looked at there in a round
)

// cold measures the first request of a session at a gateway that has not seen it, beside
// its second. Of three replicas one asks Redis through a wire that counts, one through a
// wire that is slow, so that a request's time tells for how many round trips it waits,
// and one directly, which is the one whose time is of worth.
func (b *bench) cold(ctx context.Context) ([]goal, string, error) {
	redis, err := b.rig.Redis(ctx)
	if err != nil {
		return nil, "", err
	}
	near, err := newWire(redis.Address)
	if err != nil {
		return nil, "", err
	}
	defer near.Close()
	long, err := newWire(redis.Address)
	if err != nil {
		return nil, "", err
	}
	defer long.Close()
	first, err := b.rig.NewGateway(ctx, rig.GatewayOptions{Store: "redis", Redis: redis.Address, Upstream: b.app.URL})
	if err != nil {
		return nil, "", err
	}
	rounds := b.few()
	cookies, err := first.Fill(ctx, b.sessions*rounds, b.sessions*rounds)
	if err != nil {
		return nil, "", err
	}
	if err := first.Start(ctx); err != nil {
		return nil, "", err
	}
	replicas := map[*wire]*rig.Gateway{near: nil, long: nil}
	for w := range replicas {
		g, err := b.rig.NewGateway(ctx, rig.GatewayOptions{Store: "redis", Redis: w.Address(), Upstream: b.app.URL, Like: first})
		if err != nil {
			return nil, "", err
		}
		if err := g.Start(ctx); err != nil {
			return nil, "", err
		}
		replicas[w] = g
	}
	counted, far := replicas[near], replicas[long]
	long.Delay(distance)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var waits, mean, again report.Rounds
	var cold, warm struct{ p50, p99 report.Rounds }
	var commands string
	for i := range rounds {
		fmt.Fprintf(b.talk, "cold sessions, round %d of %d\n", i+1, rounds)
		some := cookies[i*b.sessions : (i+1)*b.sessions]
		before, err := redis.Commands(ctx)
		if err != nil {
			return nil, "", err
		}
		each, err := b.trips(ctx, near, counted, client, some)
		if err != nil {
			return nil, "", err
		}
		after, err := redis.Commands(ctx)
		if err != nil {
			return nil, "", err
		}
		commands = perRequest(before, after, len(some))
		mean = append(mean, sum(each)/float64(len(each)))
		if each, err = b.trips(ctx, near, counted, client, some); err != nil {
			return nil, "", err
		}
		again = append(again, sum(each)/float64(len(each)))
		wait, err := waitsFor(ctx, far, client, some[:min(len(some), fromFarAway)])
		if err != nil {
			return nil, "", err
		}
		waits = append(waits, wait)
		for _, l := range []*struct{ p50, p99 report.Rounds }{&cold, &warm} {
			took, err := oneByOne(ctx, first, client, some)
			if err != nil {
				return nil, "", err
			}
			l.p50, l.p99 = append(l.p50, micro(took.At(.5))), append(l.p99, micro(took.At(.99)))
		}
	}
	for _, g := range []*rig.Gateway{counted, far, first} {
		if err := g.Stop(); err != nil {
			return nil, "", err
		}
	}
	detail := fmt.Sprintf("Sessions in Redis that a gateway sees for the first time, %d in a round, one request after the other:\n\n", b.sessions) +
		table([]string{"", "round trips to Redis, those beside included", "p50, µs", "p99, µs"},
			[]string{"first request of a session", mean.Format("%.2f"), cold.p50.Format("%.0f"), cold.p99.Format("%.0f")},
			[]string{"second", again.Format("%.2f"), warm.p50.Format("%.0f"), warm.p99.Format("%.0f")}) +
		"\nCommands that Redis counts for a first request: " + commands + ".\n"
	return []goal{atMost("cold session, Redis: round trips that its first request waits for", 1, "", "%.0f", waits)}, detail, nil
}

// trips counts the round trips to Redis that each of these requests takes.
func (b *bench) trips(ctx context.Context, wire *wire, g *rig.Gateway, client *http.Client, cookies []string) (each report.Rounds, err error) {
	for _, c := range cookies {
		before := wire.Trips()
		if _, err := g.Get(ctx, client, "/", c); err != nil {
			return nil, err
		}
		each = append(each, float64(wire.Trips()-before))
	}
	return each, nil
}

// waitsFor is for how many round trips a first request waits: how much longer it takes
// than a second one, where each takes as long as the distance.
func waitsFor(ctx context.Context, g *rig.Gateway, client *http.Client, cookies []string) (float64, error) {
	var more report.Rounds
	for _, c := range cookies {
		var took [2]time.Duration
		for i := range took {
			began := time.Now()
			if _, err := g.Get(ctx, client, "/", c); err != nil {
				return 0, err
			}
			took[i] = time.Since(began)
			time.Sleep(3 * distance) // for what goes on beside
		}
		more = append(more, float64(took[0]-took[1])/float64(distance))
	}
	return math.Round(more.Median()), nil
}

func oneByOne(ctx context.Context, g *rig.Gateway, client *http.Client, cookies []string) (report.Latencies, error) {
	var all report.Latencies
	for _, c := range cookies {
		began := time.Now()
		if _, err := g.Get(ctx, client, "/", c); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all, nil
}

func sum(r report.Rounds) (all float64) {
	for _, n := range r {
		all += n
	}
	return all
}

// perRequest are the commands between two counts, by request, but for rare ones, which
// come from elsewhere.
func perRequest(before, after map[string]int64, requests int) string {
	var all []string
	for name, n := range after {
		if share := float64(n-before[name]) / float64(requests); share >= .05 {
			all = append(all, fmt.Sprintf("%s %.2f", name, share))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
