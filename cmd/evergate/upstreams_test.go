package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestReadyzShowsTargets: each with what is wrong with it, and none makes the
// gateway unready. Routes with the same upstream share it and its health checks.
func TestReadyzShowsTargets(t *testing.T) {
	var checks atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			checks.Add(1)
		}
	}))
	defer app.Close()
	const dead = "http://127.0.0.1:1"
	way := fmt.Sprintf("{ targets: [%q, %q], health: { path: /healthz, interval: 1h, unhealthy_after: 1 } }", app.URL, dead)
	g := wired(t, fmt.Sprintf(`  - { public: true, match: { path: /a/ }, upstream: %s }
  - { public: true, match: { path: /b/ }, upstream: %s }
  - { public: true, match: { path: /c/ }, upstream: %s, timeouts: { idle: 5s } }
  - upstream: %s
`, way, way, strings.Replace(way, "1h", "30m", 1), dead))
	type part struct {
		OK     bool
		Reason string
	}
	ask := func() map[string]part {
		rec := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/readyz", nil)
		req.Host = "localhost"
		g.Admin.ServeHTTP(rec, req)
		var answer struct {
			Ready bool
			Parts map[string]part
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || !answer.Ready || rec.Code != 200 {
			t.Fatalf("got %d %s, want a gateway that is ready", rec.Code, rec.Body)
		}
		return answer.Parts
	}
	deadline := time.Now().Add(10 * time.Second)
	for (ask()["upstream "+dead].OK || checks.Load() < 2) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	got := ask()
	if p := got["upstream "+dead]; p.OK || !strings.Contains(p.Reason, "its health checks fail") || !strings.Contains(p.Reason, "refused") {
		t.Errorf("the dead target: got %+v", p)
	}
	if p := got["upstream "+app.URL]; !p.OK {
		t.Errorf("the target that is well: got %+v", p)
	}
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/b/", nil)
	req.Host = "localhost"
	if g.Public.ServeHTTP(rec, req); rec.Code != 200 {
		t.Errorf("got %d of the target that is well", rec.Code)
	}
	if n := checks.Load(); n != 2 {
		t.Errorf("got %d first health checks of two upstreams on three routes, want 2", n)
	}
}
