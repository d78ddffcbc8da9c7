package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

// busyApp counts the requests that it has at a time. Each waits until release.
type busyApp struct {
	*app
	now, peak atomic.Int64
	release   chan struct{}
}

func newBusyApp(t *testing.T) *busyApp {
	b := &busyApp{release: make(chan struct{})}
	b.app = newApp(t, func(w http.ResponseWriter, r *http.Request) {
		n := b.now.Add(1)
		defer b.now.Add(-1)
		for m := b.peak.Load(); n > m && !b.peak.CompareAndSwap(m, n); m = b.peak.Load() {
		}
		if r.Header.Get("Upgrade") != "" {
			echo(w, r)
			return
		}
		<-b.release
		fmt.Fprint(w, b.addr)
	})
	return b
}

func TestConnectionLimit(t *testing.T) {
	one, two := newBusyApp(t), newBusyApp(t)
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(one.app, two.app), Connections: 3})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
				t.Errorf("got %d %s", got.StatusCode, got.body)
			}
		})
	}
	until(t, "both have what they may have", func() bool { return one.now.Load() == 3 && two.now.Load() == 3 })
	for range 20 {
		select {
		case one.release <- struct{}{}:
		case two.release <- struct{}{}:
		}
	}
	wg.Wait()
	for _, b := range []*busyApp{one, two} {
		if b.peak.Load() > 3 || b.most.Load() > 3 {
			t.Errorf("got %d requests on %d connections at a time, want 3 at most", b.peak.Load(), b.most.Load())
		}
	}
}

func TestConnectionLimitOfOneTarget(t *testing.T) {
	a := newBusyApp(t)
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), Connections: 2, QueueTime: 100 * time.Millisecond})
	conn, _, err := dial(t, gw, nil) // a WebSocket counts for as long as it is open
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { gw.fetch(t, "GET", "/", nil) })
	until(t, "two are under way", func() bool { return a.now.Load() == 2 })
	got := gw.fetch(t, "GET", "/", nil, "Accept", "text/html")
	if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || !strings.Contains(got.body, "The app is busy") {
		t.Errorf("got %d, Retry-After %q, want 503 and when to come back", got.StatusCode, got.Header.Get("Retry-After"))
	}
	conn.CloseNow()
	until(t, "the WebSocket has gone", func() bool { return a.now.Load() == 1 })
	wg.Go(func() { gw.fetch(t, "GET", "/", nil) })
	until(t, "its place is taken", func() bool { return a.now.Load() == 2 })
	close(a.release)
	wg.Wait()
}

// TestSessionsWaitForTheirTarget rather than go to another one that has room.
func TestSessionsWaitForTheirTarget(t *testing.T) {
	one, two := newBusyApp(t), newBusyApp(t)
	gw, _, _ := pool(t, authFunc(byHeader), proxy.UpstreamOptions{Targets: targets(one.app, two.app), Sticky: true, Connections: 1, QueueTime: 2 * time.Second})
	var wg sync.WaitGroup
	bodies := make(chan string, 2)
	for range 2 {
		wg.Go(func() { bodies <- gw.fetch(t, "GET", "/", nil, "Who", "somebody").body })
	}
	until(t, "one of the two is under way", func() bool { return one.now.Load()+two.now.Load() == 1 })
	time.Sleep(100 * time.Millisecond)
	if one.now.Load()+two.now.Load() != 1 {
		t.Error("the second request did not wait")
	}
	close(one.release)
	close(two.release)
	wg.Wait()
	if a, b := <-bodies, <-bodies; a != b || a == "" {
		t.Errorf("got answers of %q and %q, want the same target", a, b)
	}
}

// TestWhoLeavesTheQueueLeavesNothingBehind: clients that give up while they wait
// take no places with them.
func TestWhoLeavesTheQueueLeavesNothingBehind(t *testing.T) {
	a := newBusyApp(t)
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), Connections: 1})
	var wg sync.WaitGroup
	wg.Go(func() { gw.fetch(t, "GET", "/", nil) })
	until(t, "one is under way", func() bool { return a.now.Load() == 1 })
	for range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if res, err := http.DefaultClient.Do(gw.request(t, "GET", "/", nil).WithContext(ctx)); err == nil {
				res.Body.Close()
			}
		})
	}
	time.Sleep(30 * time.Millisecond)
	close(a.release) // in the middle of their leaving
	wg.Wait()
	for range 5 {
		if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
			t.Fatalf("got %d, want the place free again", got.StatusCode)
		}
	}
	if got := a.peak.Load(); got != 1 {
		t.Errorf("got %d at a time, want 1", got)
	}
}

// TestConnectionLimitOverHTTP2: a limit counts requests where one connection
// carries many, and outlives the connections.
func TestConnectionLimitOverHTTP2(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(5 * time.Millisecond)
		fmt.Fprint(w, r.Proto)
	})
	a.kill()
	a.h2c = true
	a.start()
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), Protocol: proxy.H2C, Connections: 2, QueueTime: 10 * time.Second})
	for range 6 {
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got := gw.fetch(t, "GET", "/", nil); got.body != "HTTP/2.0" {
					t.Errorf("got %d %s", got.StatusCode, got.body)
				}
			})
		}
		wg.Wait()
		a.kill()
		if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 502 {
			t.Errorf("got %d from a target that is gone", got.StatusCode)
		}
		a.start()
	}
}
