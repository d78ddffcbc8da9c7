package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

func TestWeightsHold(t *testing.T) {
	for name, balance := range map[string]proxy.Balance{"round robin": proxy.RoundRobin, "least requests": proxy.LeastRequests} {
		t.Run(name, func(t *testing.T) {
			apps := []*app{newApp(t, nil), newApp(t, nil), newApp(t, nil)}
			weights := []int{1, 2, 5}
			all := targets(apps...)
			for i := range all {
				all[i].Weight = weights[i]
			}
			gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: all, Balance: balance})
			for range 1600 {
				if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
					t.Fatalf("got %d %s", got.StatusCode, got.body)
				}
			}
			for i, a := range apps {
				want := 1600 * float64(weights[i]) / 8
				if got := float64(a.served.Load()); math.Abs(got-want) > want*.03 {
					t.Errorf("weight %d: got %v of 1600 requests, want %v within 3 %%", weights[i], got, want)
				}
			}
		})
	}
}

// TestLeastRequestsSparesTheBusy: a target whose requests take long gets no more
// of them than it works off.
func TestLeastRequestsSparesTheBusy(t *testing.T) {
	release := make(chan struct{})
	slow := newApp(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	quick := newApp(t, nil)
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(slow, quick)})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 2 { // one of the first two hangs at the slow one
			wg.Go(func() { gw.fetch(t, "GET", "/", nil) })
		}
	})
	until(t, "a request is at the slow target", func() bool { return slow.served.Load() == 1 })
	for range 50 {
		gw.fetch(t, "GET", "/", nil)
	}
	if got := slow.served.Load(); got != 1 {
		t.Errorf("got %d requests at the target that has one under way, want that one alone", got)
	}
	close(release)
	wg.Wait()
}

// TestKilledTargetCostsNobodyAnything: one of three dies under load and comes
// back, and nobody's request fails.
func TestKilledTargetCostsNobodyAnything(t *testing.T) {
	apps := []*app{newApp(t, nil), newApp(t, nil), newApp(t, nil)}
	gw, way, log := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(apps...), Retries: 1,
		EjectAfter: 3, EjectFor: 200 * time.Millisecond, SlowStart: 200 * time.Millisecond})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	stop := make(chan struct{})
	var sent, failed atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				method, body := "GET", ""
				if i%2 == 0 && n%3 == 0 {
					method, body = "DELETE", ""
				}
				req := gw.request(t, method, "/", strings.NewReader(body))
				res, err := client.Do(req)
				sent.Add(1)
				if err != nil {
					failed.Add(1)
					t.Errorf("%s: %v", method, err)
					continue
				}
				text, err := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 200 || err != nil {
					failed.Add(1)
					t.Errorf("%s: got %d, %v %.200s", method, res.StatusCode, err, text)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(200 * time.Millisecond)
		apps[1].kill()
		until(t, "the dead target is out", func() bool { return way.States()[1].Err != nil })
		time.Sleep(300 * time.Millisecond)
		before := apps[1].served.Load()
		apps[1].start()
		until(t, "it gets requests again", func() bool { return apps[1].served.Load() > before+10 })
	}
	close(stop)
	wg.Wait()
	t.Logf("%d requests, %d failed", sent.Load(), failed.Load())
	for _, want := range []string{"a target fails and gets no requests for a while", "a target gets requests again"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// person is a Login with a session of that name.
type person struct {
	*session
	id string
}

func (p person) ID() string { return p.id }

// byHeader signs in whom a header names; their sessions are called so.
func byHeader(r *http.Request) (*auth.Login, error) {
	name := r.Header.Get("Who")
	return &auth.Login{Identity: auth.Identity{Subject: name, User: name}, Session: person{newSession(), name}}, nil
}

func TestSessionsStick(t *testing.T) {
	apps := []*app{newApp(t, nil), newApp(t, nil), newApp(t, nil)}
	gw, way, _ := pool(t, authFunc(byHeader), proxy.UpstreamOptions{Targets: targets(apps...), Sticky: true, Retries: 1,
		EjectAfter: 1, EjectFor: time.Hour})
	home := map[string]string{}
	for i := range 60 {
		who := fmt.Sprintf("session-%d", i)
		home[who] = gw.fetch(t, "GET", "/", nil, "Who", who).body
		for range 5 {
			if got := gw.fetch(t, "GET", "/", nil, "Who", who).body; got != home[who] {
				t.Fatalf("%s went from %s to %s", who, home[who], got)
			}
		}
	}
	for _, a := range apps {
		if got := a.served.Load(); got < 60 { // 120 on average
			t.Errorf("%s got %d of 360 requests", a.addr, got)
		}
	}
	apps[0].kill()
	for who, at := range home {
		got := gw.fetch(t, "GET", "/", nil, "Who", who)
		switch {
		case got.StatusCode != 200:
			t.Errorf("%s: got %d when its target was gone", who, got.StatusCode)
		case at != apps[0].addr && got.body != at:
			t.Errorf("%s went from %s to %s although its own target is well", who, at, got.body)
		case at == apps[0].addr:
			if again := gw.fetch(t, "GET", "/", nil, "Who", who).body; again != got.body {
				t.Errorf("%s does not stick to its new target: %s, then %s", who, got.body, again)
			}
		}
	}
	if way.States()[0].Err == nil {
		t.Error("the dead target is taken for well")
	}
}

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

func TestWebSocketThroughAPool(t *testing.T) {
	one, two := newApp(t, echo), newApp(t, echo)
	gw, _, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(one, two), Retries: 1})
	one.kill()
	for range 4 { // some of them find the first target dead
		conn, _, err := dial(t, gw, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Write(t.Context(), 1, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(t.Context()); string(got) != "hi" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		conn.CloseNow()
	}
}
