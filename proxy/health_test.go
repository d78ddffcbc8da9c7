package proxy_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/proxy"
)

func TestHealthChecks(t *testing.T) {
	var ill atomic.Bool
	var checks, odd atomic.Int64
	sick := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/healthz" {
			return
		}
		checks.Add(1)
		for name := range r.Header {
			if name != "User-Agent" && name != "Accept-Encoding" && name != "Connection" {
				t.Errorf("a health check carries %s: %s", name, r.Header.Get(name))
			}
		}
		if r.Method != "GET" || r.URL.RawQuery != "deep=1" || r.UserAgent() != "evergate-health-check" {
			odd.Add(1)
		}
		if ill.Load() {
			w.WriteHeader(500)
		}
	})
	well := newApp(t, nil)
	all := targets(sick, well)
	all[0].URL += "/base/"
	gw, way, log := pool(t, alice(newSession()), proxy.UpstreamOptions{Targets: all, Balance: proxy.RoundRobin,
		Health: &proxy.HealthOptions{Path: "/healthz?deep=1", Interval: 20 * time.Millisecond, UnhealthyAfter: 3, HealthyAfter: 2}})
	until(t, "it is checked", func() bool { return checks.Load() > 2 })
	if err := way.States()[0].Err; err != nil || odd.Load() != 0 {
		t.Errorf("got %v and %d odd checks, want a target in order", err, odd.Load())
	}
	ill.Store(true)
	until(t, "it is out", func() bool { return way.States()[0].Err != nil })
	if err := way.States()[0].Err.Error(); !strings.Contains(err, "its health checks fail: /healthz?deep=1 answered 500") {
		t.Errorf("got %s, want what the check said", err)
	}
	for range 10 {
		if got := gw.fetch(t, "GET", "/", nil); got.body != well.addr {
			t.Fatal("a request went to a target that fails its checks")
		}
	}
	ill.Store(false)
	until(t, "it is in again", func() bool { return way.States()[0].Err == nil })
	way.Close()
	seen := checks.Load()
	time.Sleep(100 * time.Millisecond)
	if got := checks.Load(); got != seen {
		t.Errorf("%d checks were made after Close", got-seen)
	}
	for _, want := range []string{"fails its health checks", "passes its health checks again"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// TestHealthChecksAnswerInTime: one that hangs is a failure, and a redirect to a
// sign-in page or so is none.
func TestHealthChecksAnswerInTime(t *testing.T) {
	hangs := newApp(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	redirects := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	way := func(target *app, timeout time.Duration) *proxy.Upstream {
		_, way, _ := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(target),
			Health: &proxy.HealthOptions{Path: "/", Interval: 20 * time.Millisecond, Timeout: timeout, UnhealthyAfter: 1}})
		return way
	}
	slow, well := way(hangs, 30*time.Millisecond), way(redirects, 10*time.Second)
	until(t, "the one that hangs is out", func() bool { return slow.States()[0].Err != nil })
	until(t, "the other is checked", func() bool { return redirects.served.Load() > 2 })
	if err := well.States()[0].Err; err != nil {
		t.Errorf("got %v, want it in order", err)
	}
}

// TestAllTargetsFailTheirChecks: people are served what there is.
func TestAllTargetsFailTheirChecks(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.WriteHeader(503)
		}
	})
	b := newApp(t, a.handler.ServeHTTP)
	gw, way, log := pool(t, alice(nil), proxy.UpstreamOptions{Targets: targets(a, b),
		Health: &proxy.HealthOptions{Path: "/healthz", Interval: 10 * time.Millisecond, UnhealthyAfter: 1}})
	until(t, "both are out", func() bool { return way.States()[0].Err != nil && way.States()[1].Err != nil })
	if got := gw.fetch(t, "GET", "/", nil); got.StatusCode != 200 {
		t.Errorf("got %d, want what the app says", got.StatusCode)
	}
	if !strings.Contains(log.String(), "every target of an upstream is out of order") {
		t.Error("the log does not say that all are used")
	}
}
