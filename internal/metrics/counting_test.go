package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/metrics"
	"github.com/evergate/evergate/internal/web"
)

func page(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("/metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("want %s in\n%s", line, text)
		}
	}
}

func TestRequests(t *testing.T) {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	d := &web.Done{Route: "wiki", Decision: "allowed", Status: 200, Bytes: 100, Took: 30 * time.Millisecond, Upstream: 20 * time.Millisecond}
	m.Done(d)
	m.Done(d)
	m.Done(&web.Done{Route: "wiki", Decision: "allowed", Status: 101, Took: 9 * time.Hour, Stream: true})
	m.Done(&web.Done{Decision: "login", Status: 200, Took: time.Millisecond})
	m.Done(&web.Done{Route: "caf\xe9", Decision: "denied", Status: 403})
	want(t, page(t, m),
		`evergate_requests_total{code="200",decision="allowed",route="wiki"} 2`,
		`evergate_requests_total{code="101",decision="allowed",route="wiki"} 1`,
		`evergate_requests_total{code="200",decision="login",route=""} 1`,
		"evergate_requests_total{code=\"403\",decision=\"denied\",route=\"caf\uFFFD\"} 1",
		`evergate_response_bytes_total{route="wiki"} 200`,
		`evergate_request_duration_seconds_count{route="wiki"} 2`,
		`evergate_request_duration_seconds_bucket{route="wiki",le="0.05"} 2`,
		`evergate_upstream_response_seconds_count{route="wiki"} 2`)

	if n := testing.AllocsPerRun(100, func() { m.Done(d) }); n != 0 {
		t.Errorf("%v allocations a request, want none", n)
	}

	m.KeepRoutes(map[string]bool{"other": true})
	text := page(t, m)
	if strings.Contains(text, `route="wiki"`) {
		t.Errorf("a route that is not in the config any more is still there:\n%s", text)
	}
	want(t, text, `evergate_requests_total{code="200",decision="login",route=""} 1`)
	m.Done(d) // a request of the edition before that ends now
	want(t, page(t, m), `evergate_requests_total{code="200",decision="allowed",route="wiki"} 1`)
}

func TestEvents(t *testing.T) {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	m.Providers([]string{"local", "corp"})
	want(t, page(t, m), `evergate_renewals_total{outcome="unavailable",provider="corp"} 0`, `evergate_handle_reuse_total{verdict="detected"} 0`,
		`evergate_logins_total{outcome="throttled",provider="local"} 0`, `evergate_sessions_ended_total{event="session.withdrawn",reason="grant_refused"} 0`,
		`evergate_sessions_ended_total{event="session.reuse_detected",reason=""} 0`, `evergate_audit_events_total{event="admin.refused"} 0`)
	for _, e := range []event.Event{
		{Name: event.SessionStarted, Provider: "corp"},
		{Name: event.LoginFailed, Provider: "local", Reason: event.BadCredentials},
		{Name: event.SessionRenewed, Provider: "corp", Took: 200 * time.Millisecond},
		{Name: event.SessionRenewalFailed, Provider: "corp", Reason: event.RenewalUnavailable, Took: time.Second},
		{Name: event.SessionRenewalFailed, Provider: "corp", Reason: event.RenewalUnavailable}, // it was not asked
		{Name: event.SessionWithdrawn, Provider: "corp", Reason: event.GrantRefused},
		{Name: event.SessionWithdrawn, Provider: "local", Reason: event.UserWithdrawn},
		{Name: event.SessionEnded, Provider: "corp", Reason: event.SignedOut},
		{Name: event.SessionRevoked, Provider: "corp", Reason: event.ByOperator},
		{Name: event.SessionRotated}, {Name: event.ReuseSuspected}, {Name: event.ReuseDetected}, {Name: event.SessionBound}, {Name: event.DeviceMismatch},
		{Name: event.SessionRevoked, Reason: event.WithoutDevice},
		{Name: event.NewDevice}, {Name: event.NewNetwork}, {Name: event.NewNetwork}, {Name: event.ChangedBrowser}, {Name: event.SessionRevoked, Reason: event.InParallel},
		{Name: event.StoreFailed}, {Name: event.RevocationFailed, Provider: "corp"},
	} {
		m.Hear(t.Context(), e)
	}
	m.Audited(event.SessionStarted)
	m.AuditLost(3)
	want(t, page(t, m),
		`evergate_logins_total{outcome="signed_in",provider="corp"} 1`, `evergate_logins_total{outcome="credentials",provider="local"} 1`,
		`evergate_renewals_total{outcome="renewed",provider="corp"} 1`, `evergate_renewals_total{outcome="unavailable",provider="corp"} 2`,
		`evergate_renewals_total{outcome="refused",provider="corp"} 1`, `evergate_renewal_duration_seconds_count{provider="corp"} 2`,
		`evergate_sessions_ended_total{event="session.ended",reason="signed_out"} 1`, `evergate_sessions_ended_total{event="session.revoked",reason="by_operator"} 1`,
		`evergate_sessions_ended_total{event="session.withdrawn",reason="user_withdrawn"} 1`, `evergate_sessions_ended_total{event="session.reuse_detected",reason=""} 1`,
		`evergate_sessions_bound_total 1`, `evergate_device_mismatches_total 1`, `evergate_sessions_ended_total{event="session.revoked",reason="device"} 1`,
		`evergate_handle_rotations_total 1`, `evergate_handle_reuse_total{verdict="suspected"} 1`, `evergate_handle_reuse_total{verdict="detected"} 1`,
		`evergate_risk_signals_total{signal="new_device"} 1`, `evergate_risk_signals_total{signal="new_network"} 2`, `evergate_risk_signals_total{signal="changed_browser"} 1`,
		`evergate_risk_signals_total{signal="parallel_use"} 0`, `evergate_sessions_ended_total{event="session.revoked",reason="parallel_use"} 1`,
		`evergate_session_store_failures_total 1`, `evergate_provider_revocation_failures_total{provider="corp"} 1`,
		`evergate_audit_events_total{event="session.started"} 1`, `evergate_audit_events_lost_total 3`)
}

func TestState(t *testing.T) {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	m.Watch(func() metrics.State {
		return metrics.State{Sessions: 7, Streams: 2, Connections: 9, Draining: true, AuditOK: true, LogLost: 4, Parts: []metrics.Part{
			{"provider", "corp", false}, {"store", "store", true}, {"upstream", "http://a", true}, {"upstream", "http://a", false}},
			Now: time.Unix(2000, 500e6)}
	})
	want(t, page(t, m), `evergate_part_up{kind="provider",name="corp"} 0`, `evergate_part_up{kind="store",name="store"} 1`, "evergate_sessions_in_use 7",
		"evergate_streams 2", "evergate_connections 9", "evergate_draining 1", "evergate_audit_up 1", "evergate_log_lines_lost_total 4", "evergate_time_seconds 2000.5")
}

func BenchmarkDone(b *testing.B) {
	m := metrics.New("1.2.3", "go1.26", time.Unix(1000, 0))
	d := &web.Done{Route: "wiki", Decision: "allowed", Status: 200, Bytes: 100, Took: 30 * time.Millisecond, Upstream: 20 * time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Done(d)
	}
}
