package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/proxy"
)

func TestTargetThatFailsIsTakenOut(t *testing.T) {
	for _, status := range []int{502, 503, 504} {
		bad := newApp(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", status) })
		good := newApp(t, nil)
		gw, way, log := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(bad, good), Balance: proxy.RoundRobin, EjectAfter: 3, EjectFor: time.Hour})
		for range 20 {
			gw.fetch(t, "GET", "/", nil)
		}
		if got := bad.served.Load(); got != 3 {
			t.Errorf("%d: got %d requests at a target that always fails, want 3", status, got)
		}
		if err := way.States()[0].Err; err == nil || !strings.Contains(err.Error(), fmt.Sprint("it answered ", status)) {
			t.Errorf("%d: got state %v, want what it answered", status, err)
		}
		if !strings.Contains(log.String(), "upstream="+bad.url()) {
			t.Errorf("%d: the log does not name the target:\n%s", status, log)
		}
	}
}

// TestOtherAnswersAreNoFailures: what an app says of a request is about that
// request, and one good answer ends a row of failures.
func TestOtherAnswersAreNoFailures(t *testing.T) {
	var n atomic.Int64
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader([]int{500, 404, 503, 501, 503, 200}[n.Add(1)%6])
	})
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: append(targets(a), proxy.TargetOptions{URL: "http://127.0.0.1:1"}), EjectAfter: 2, EjectFor: time.Hour})
	for range 30 {
		gw.fetch(t, "GET", "/", nil)
	}
	if err := way.States()[0].Err; err != nil {
		t.Errorf("got %v, want the target in order", err)
	}
}

// TestClientsThatHangUpAreNoFailures of the target.
func TestClientsThatHangUpAreNoFailures(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: append(targets(a), targets(newApp(t, nil))...), EjectAfter: 1})
	client := &http.Client{Timeout: 50 * time.Millisecond}
	for range 6 {
		if res, err := client.Do(gw.request(t, "GET", "/", nil)); err == nil {
			res.Body.Close()
		}
	}
	for range 2 { // one at each target
		broken := strings.Replace(get("/", "Transfer-Encoding: chunked"), "GET", "POST", 1) + "zz\n"
		if got := gw.send(t, broken); got.StatusCode != 400 {
			t.Errorf("a body that cannot be read: got %d, want 400", got.StatusCode)
		}
	}
	if err := way.States()[0].Err; err != nil || a.served.Load() == 0 {
		t.Errorf("got %v after %d requests, want the target in order", err, a.served.Load())
	}
}

func TestTheLastTargetsAreNeverTakenOut(t *testing.T) {
	t.Parallel() // it waits
	const out = 3 * time.Second
	var broken atomic.Bool
	broken.Store(true)
	answer := func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			w.WriteHeader(503)
		}
	}
	one, two := newApp(t, answer), newApp(t, answer)
	gw, way, log := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(one, two), EjectAfter: 1, EjectFor: out})
	for range 10 {
		if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 503 {
			t.Fatalf("got %d, want the app's own answer", got.StatusCode)
		}
	}
	if one.served.Load()+two.served.Load() != 10 {
		t.Error("requests were kept from targets although all are out")
	}
	for _, s := range way.States() {
		if s.Err == nil {
			t.Errorf("%s is taken for well", s.Target)
		}
	}
	broken.Store(false)
	if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
		t.Errorf("got %d as soon as the app is well, want 200", got.StatusCode)
	}
	time.Sleep(out + 100*time.Millisecond)
	gw.fetch(t, "GET", "/", nil)
	for _, want := range []string{"every target of an upstream is out of order, so all of them are used", "an upstream has a target in order again"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("got %d lines %q, want one:\n%s", n, want, log)
		}
	}
}

// TestOneTargetIsWatchedToo: there is nothing to choose, and the operator sees it.
func TestOneTargetIsWatchedToo(t *testing.T) {
	a := newApp(t, nil)
	gw, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Target: a.url(), EjectAfter: 2})
	a.kill()
	for range 3 {
		if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 502 {
			t.Errorf("got %d, want 502", got.StatusCode)
		}
	}
	if err := way.States()[0].Err; err == nil || !strings.Contains(err.Error(), "the last 3 requests failed") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want what is wrong", err)
	}
	a.start()
	gw.fetch(t, "GET", "/", nil)
	if err := way.States()[0].Err; err != nil {
		t.Errorf("got %v, want it in order again", err)
	}
}

const slowReturn = 30 * time.Second

// shares counts 3000 choices between two targets and returns the part of the first.
func shares(way *proxy.Upstream, key func(i int) string) float64 {
	n := 0
	for i := range 3000 {
		if way.Choose(key(i)) == "http://one.test" {
			n++
		}
	}
	return float64(n) / 3000
}

func noKey(int) string { return "" }

func TestTargetsComeBackSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := []proxy.TargetOptions{{URL: "http://one.test"}, {URL: "http://two.test"}}
		way, err := proxy.NewUpstream(proxy.UpstreamOptions{Targets: both, EjectAfter: 3, EjectFor: 10 * time.Second, SlowStart: slowReturn})
		if err != nil {
			t.Fatal(err)
		}
		expect := func(when string, want float64, key func(int) string) {
			t.Helper()
			if got := shares(way, key); got < want-.03 || got > want+.03 {
				t.Errorf("%s: got %.3f of all requests, want %.3f", when, got, want)
			}
		}
		keys := func(i int) string { return fmt.Sprint("session-", i) }
		expect("at first", .5, noKey)
		expect("sessions at first", .5, keys)
		way.Fail(0)
		way.Fail(0)
		expect("when it failed twice", .5, noKey)
		way.Fail(0)
		expect("while it is out", 0, noKey)
		expect("sessions while it is out", 0, keys)
		time.Sleep(10 * time.Second)
		expect("when it is back", .1/1.1, noKey)
		expect("sessions when it is back", .1/1.1, keys)
		time.Sleep(slowReturn / 2)
		expect("half-way", .5/1.5, noKey)
		time.Sleep(slowReturn / 2)
		expect("in the end", .5, noKey)
		expect("sessions in the end", .5, keys)

		way.SetHealth(0, errors.New("ill"))
		expect("while it is ill", 0, noKey)
		time.Sleep(time.Hour)
		expect("while it is ill still", 0, noKey)
		way.SetHealth(0, nil)
		expect("when it is well", .1/1.1, noKey)
		time.Sleep(slowReturn)
		expect("when it is well for long", .5, noKey)

		for range 3 {
			way.Fail(0)
		}
		time.Sleep(10 * time.Second)
		expect("when it is back for the second time", .1/1.1, noKey)
		way.Fail(0) // one failure is enough now
		expect("when it failed at once", 0, noKey)
	})
}

// TestSessionsMoveNoMoreThanTheyMust: of four targets one goes, and those of its
// sessions alone move; the same gateway started anew finds the same targets.
func TestSessionsMoveNoMoreThanTheyMust(t *testing.T) {
	var four []proxy.TargetOptions
	for i := range 4 {
		four = append(four, proxy.TargetOptions{URL: fmt.Sprintf("http://app%d.test", i), Weight: 1 + i%2})
	}
	newWay := func() *proxy.Upstream {
		way, err := proxy.NewUpstream(proxy.UpstreamOptions{Targets: four})
		if err != nil {
			t.Fatal(err)
		}
		return way
	}
	way, other := newWay(), newWay()
	home, count := map[string]string{}, map[string]int{}
	for i := range 6000 {
		key := fmt.Sprintf("%064x", i)
		home[key] = way.Choose(key)
		count[home[key]]++
		if got := other.Choose(key); got != home[key] {
			t.Fatalf("two gateways send %s to %s and %s", key, home[key], got)
		}
	}
	for i, target := range four {
		if want := 1000 * target.Weight; count[target.URL] < want*9/10 || count[target.URL] > want*11/10 {
			t.Errorf("target %d: got %d of 6000 sessions, want about %d", i, count[target.URL], want)
		}
	}
	way.SetHealth(2, errors.New("gone"))
	for key, at := range home {
		if got := way.Choose(key); at != four[2].URL && got != at || got == four[2].URL {
			t.Fatalf("%s went from %s to %s", key, at, got)
		}
	}
}
