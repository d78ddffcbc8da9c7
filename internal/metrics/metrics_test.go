package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/metrics"
)

func TestReloads(t *testing.T) {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	expect := func(lines ...string) {
		t.Helper()
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for _, want := range lines {
			if !strings.Contains(w.Body.String(), want+"\n") {
				t.Errorf("got\n%s\nwant %s", w.Body, want)
			}
		}
	}
	expect(`evergate_build_info{goversion="go1.26",version="1.2.3"} 1`, "evergate_config_last_reload_successful 1",
		"evergate_config_last_reload_success_timestamp_seconds 1000", `evergate_config_reloads_total{outcome="applied"} 0`,
		`evergate_config_reloads_total{outcome="rejected"} 0`)
	m.RateLimited("wiki")
	m.RateLimited("wiki")
	expect(`evergate_rate_limited_total{route="wiki"} 2`)
	m.Reloaded(metrics.Rejected, time.Unix(2000, 0))
	expect("evergate_config_last_reload_successful 0", "evergate_config_last_reload_success_timestamp_seconds 1000",
		`evergate_config_reloads_total{outcome="rejected"} 1`)
	m.Reloaded(metrics.Applied, time.Unix(3000, 500e6))
	expect("evergate_config_last_reload_successful 1", "evergate_config_last_reload_success_timestamp_seconds 3000.5",
		`evergate_config_reloads_total{outcome="applied"} 1`)
}

// TestObserved: the difference between two policies is a rate, by what each says.
func TestObserved(t *testing.T) {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	page := func() string {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	m.Observed("wiki", "allowed", "denied")
	m.Observed("wiki", "allowed", "allowed")
	m.Observed("wiki", "allowed", "allowed")
	for _, want := range []string{
		`evergate_observed_decisions_total{agrees="false",decision="allowed",observed="denied",route="wiki"} 1`,
		`evergate_observed_decisions_total{agrees="true",decision="allowed",observed="allowed",route="wiki"} 2`,
	} {
		if !strings.Contains(page(), want+"\n") {
			t.Errorf("got\n%s\nwant %s", page(), want)
		}
	}
	m.Observed("caf\xe9", "allowed", "denied") // no text, and no reason to fail a request
	m.ForgetObserved()
	if strings.Contains(page(), "evergate_observed_decisions_total{") {
		t.Errorf("after other rules came: got\n%s", page())
	}
}
