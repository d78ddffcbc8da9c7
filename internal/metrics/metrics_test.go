package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/metrics"
)

func TestReloads(t *testing.T) {
	m := metrics.New("1.2.3", time.Unix(1000, 0))
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
	expect(`evergate_build_info{version="1.2.3"} 1`, "evergate_config_last_reload_successful 1",
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
