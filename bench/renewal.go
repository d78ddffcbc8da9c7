package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/bench/internal/report"
	"github.com/evergate/evergate/bench/internal/rig"
)

const (
	renewTTL  = 12 * time.Second // of access tokens
	renewFrom = 6 * time.Second  // before its end a token is renewed
	pace      = 4 * time.Millisecond
	behind    = 25 // sessions were renewed so many places ago whose request renews nothing
)

// renewal measures requests that find their token due beside requests that do not. The
// renewal runs beside the request, so there should be no difference.
func (b *bench) renewal(ctx context.Context) ([]goal, string, error) {
	provider, err := b.rig.Provider(renewTTL)
	if err != nil {
		return nil, "", err
	}
	g, err := b.rig.NewGateway(ctx, rig.GatewayOptions{Provider: provider, Upstream: b.app.URL, RenewBefore: renewFrom.String()})
	if err != nil {
		return nil, "", err
	}
	if err := g.Start(ctx); err != nil {
		return nil, "", err
	}
	fmt.Fprintf(b.talk, "signing in %d times\n", b.sessions)
	cookies, err := signInMany(ctx, g, b.sessions)
	if err != nil {
		return nil, "", err
	}
	// The provider works in this process: the kernel, and not Go, shares the cores out
	// among it and what looks at the clock.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var due, other struct{ p50, p99 report.Rounds }
	for i := range b.few() {
		fmt.Fprintf(b.talk, "renewals, round %d of %d\n", i+1, b.few())
		select {
		case <-ctx.Done():
			return nil, "", ctx.Err()
		case <-time.After(renewTTL - renewFrom + 500*time.Millisecond):
		}
		before := provider.Stats().RefreshGrants
		renewed, not, err := paced(ctx, g, client, cookies)
		if err != nil {
			return nil, "", err
		}
		// Each session was renewed once, so the requests are what they are taken for.
		// The last one may be under way.
		n := 0
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if n = provider.Stats().RefreshGrants - before; n >= len(cookies) {
				break
			}
		}
		if n != len(cookies) {
			return nil, "", fmt.Errorf("got %d renewals of %d sessions, want one of each", n, len(cookies))
		}
		due.p50, due.p99 = append(due.p50, micro(renewed.At(.5))), append(due.p99, micro(renewed.At(.99)))
		other.p50, other.p99 = append(other.p50, micro(not.At(.5))), append(other.p99, micro(not.At(.99)))
	}
	if err := g.Stop(); err != nil {
		return nil, "", err
	}
	detail := fmt.Sprintf("Requests of %d sessions that find their token due, and of sessions whose token is new, in turn, one each %s:\n\n", b.sessions, pace) +
		table([]string{"", "p50, µs", "p99, µs"},
			[]string{"triggers a renewal", due.p50.Format("%.0f"), due.p99.Format("%.0f")},
			[]string{"does not", other.p50.Format("%.0f"), other.p99.Format("%.0f")})
	return []goal{atMost("request that triggers a renewal: p99", 1.2, " × one that does not", "%.2f", due.p99.Over(other.p99))}, detail, nil
}

// signInMany signs in n times, some at a time.
func signInMany(ctx context.Context, g *rig.Gateway, n int) ([]string, error) {
	all, failed := make([]string, n), make([]error, n)
	var wg sync.WaitGroup
	places := make(chan struct{}, 8)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			all[i], failed[i] = g.SignIn(ctx)
			<-places
		})
	}
	wg.Wait()
	return all, errors.Join(failed...)
}

// paced sends a request of each session, each of which renews, and between them requests
// of sessions that were renewed a moment ago.
func paced(ctx context.Context, g *rig.Gateway, client *http.Client, cookies []string) (renewed, not report.Latencies, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards renewed, not, failed
	var failed error
	ask := func(cookie string, to *report.Latencies) {
		wg.Go(func() {
			began := time.Now()
			_, err := g.Get(ctx, client, "/", cookie)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			*to, failed = append(*to, took), errors.Join(failed, err)
		})
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := range len(cookies) + behind {
		<-tick.C
		if i < len(cookies) {
			ask(cookies[i], &renewed)
		}
		<-tick.C
		if i >= behind {
			ask(cookies[i-behind], &not)
		}
	}
	wg.Wait()
	slices.Sort(renewed)
	slices.Sort(not)
	return renewed, not, failed
}
