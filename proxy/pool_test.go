package proxy_test

import (
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
	for i := range 200 { // so many that chance gives none of three less than half of its share
		who := fmt.Sprintf("session-%d", i)
		home[who] = gw.fetch(t, "GET", "/", nil, "Who", who).body
		for range 2 {
			if got := gw.fetch(t, "GET", "/", nil, "Who", who).body; got != home[who] {
				t.Fatalf("%s went from %s to %s", who, home[who], got)
			}
		}
	}
	for _, a := range apps {
		if got := a.served.Load(); got < 100 { // 200 on average
			t.Errorf("%s got %d of 600 requests", a.addr, got)
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
