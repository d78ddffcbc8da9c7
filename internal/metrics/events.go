package metrics

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evergate/evergate/internal/event"
)

// events count what happened.
type events struct {
	logins    *prometheus.CounterVec
	ended     *prometheus.CounterVec
	renewals  *prometheus.CounterVec
	renewal   *prometheus.HistogramVec
	rotations prometheus.Counter
	reuse     *prometheus.CounterVec
	// bindings and mismatches are those of bound sessions.
	bindings, mismatches prometheus.Counter
	risks                *prometheus.CounterVec
	unstored             prometheus.Counter
	unrevoked            *prometheus.CounterVec
	audited              *prometheus.CounterVec
	auditLost            prometheus.Counter
}

// Outcomes of renewals and of sign-ins that are no failure, and verdicts on spent handles.
const (
	renewed, withdrawn  = "renewed", "refused"
	signedIn            = "signed_in"
	suspected, detected = "suspected", "detected"
)

func newEvents() events {
	return events{
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_logins_total",
			Help: "Sign-ins by provider and outcome: signed_in, or the reason of login.failed in the audit log."}, []string{"provider", "outcome"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_sessions_ended_total",
			Help: "Sessions whose end was seen here, by the event that told of it and its reason."}, []string{"event", "reason"}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_renewals_total",
			Help: "Renewals of access tokens by provider and outcome: renewed, refused (the session ended), unavailable or unclear (the session is kept)."},
			[]string{"provider", "outcome"}),
		renewal: histogram("evergate_renewal_duration_seconds", "How long a provider took for a renewal, good or bad.", "provider"),
		rotations: prometheus.NewCounter(prometheus.CounterOpts{Name: "evergate_handle_rotations_total",
			Help: "Handles that rotated."}),
		reuse: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_handle_reuse_total",
			Help: "Spent handles that came: suspected (a late request, or a theft), or detected (a theft; the session is revoked)."}, []string{"verdict"}),
		bindings: prometheus.NewCounter(prometheus.CounterOpts{Name: "evergate_sessions_bound_total",
			Help: "Sessions that were bound to a key of their browser, once for each host."}),
		mismatches: prometheus.NewCounter(prometheus.CounterOpts{Name: "evergate_device_mismatches_total",
			Help: "Bound sessions that were asked for without the proof of their device, and not served: at most one in 10 s for each session."}),
		risks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_risk_signals_total",
			Help: "Risk signals, by the last part of the name of their event: new_device, new_network, changed_browser, parallel_use."}, []string{"signal"}),
		unstored: prometheus.NewCounter(prometheus.CounterOpts{Name: "evergate_session_store_failures_total",
			Help: "Renewed sessions that could not be stored at once."}),
		unrevoked: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_provider_revocation_failures_total",
			Help: "Ended sessions whose tokens could not be revoked at the provider."}, []string{"provider"}),
		audited: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_audit_events_total",
			Help: "Events that were written to the audit log, by their name."}, []string{"event"}),
		auditLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "evergate_audit_events_lost_total",
			Help: "Events that a part of the audit log did not take."}),
	}
}

func (e *events) register(in *prometheus.Registry) {
	in.MustRegister(e.logins, e.ended, e.renewals, e.renewal, e.rotations, e.reuse, e.bindings, e.mismatches, e.risks, e.unstored, e.unrevoked, e.audited, e.auditLost)
	// All series begin at zero, so that the first of anything shows as an increase: a theft,
	// or five hundred sessions that end between two scrapes.
	for _, verdict := range []string{suspected, detected} {
		e.reuse.WithLabelValues(verdict)
	}
	for _, name := range []event.Name{event.NewDevice, event.NewNetwork, event.ChangedBrowser, event.ParallelUse} {
		e.risks.WithLabelValues(signal(name))
	}
	e.ended.WithLabelValues(string(event.ReuseDetected), "")
	for _, k := range event.Kinds {
		switch k.Name {
		case event.SessionEnded, event.SessionRevoked, event.SessionWithdrawn:
			for _, reason := range k.Reasons {
				e.ended.WithLabelValues(string(k.Name), reason)
			}
		}
		if k.Audit {
			e.audited.WithLabelValues(string(k.Name))
		}
	}
}

// Providers begins the series of the providers of a config, so that the first of anything
// shows as an increase.
func (m *Metrics) Providers(names []string) {
	for _, p := range names {
		p = text(p)
		m.events.logins.WithLabelValues(p, signedIn)
		for _, reason := range event.KindOf(event.LoginFailed).Reasons {
			m.events.logins.WithLabelValues(p, reason)
		}
		m.events.unrevoked.WithLabelValues(p)
		for _, outcome := range []string{renewed, withdrawn, event.RenewalUnavailable, event.RenewalUnclear} {
			m.events.renewals.WithLabelValues(p, outcome)
		}
	}
}

// Hear is an event.Func.
func (m *Metrics) Hear(_ context.Context, e event.Event) {
	c, provider := &m.events, text(e.Provider)
	switch e.Name {
	case event.SessionStarted:
		c.logins.WithLabelValues(provider, signedIn).Inc()
	case event.LoginFailed:
		c.logins.WithLabelValues(provider, e.Reason).Inc()
	case event.SessionRenewed:
		c.renewals.WithLabelValues(provider, renewed).Inc()
		c.renewal.WithLabelValues(provider).Observe(e.Took.Seconds())
	case event.SessionRenewalFailed:
		c.renewals.WithLabelValues(provider, e.Reason).Inc()
		if e.Took > 0 {
			c.renewal.WithLabelValues(provider).Observe(e.Took.Seconds())
		}
	case event.SessionWithdrawn:
		if e.Reason == event.GrantRefused || e.Reason == event.SubjectChanged {
			c.renewals.WithLabelValues(provider, withdrawn).Inc()
		}
		c.ended.WithLabelValues(string(e.Name), e.Reason).Inc()
	case event.SessionEnded, event.SessionRevoked:
		c.ended.WithLabelValues(string(e.Name), e.Reason).Inc()
	case event.SessionRotated:
		c.rotations.Inc()
	case event.ReuseSuspected:
		c.reuse.WithLabelValues(suspected).Inc()
	case event.ReuseDetected:
		c.reuse.WithLabelValues(detected).Inc()
		c.ended.WithLabelValues(string(e.Name), "").Inc()
	case event.SessionBound:
		c.bindings.Inc()
	case event.DeviceMismatch:
		c.mismatches.Inc()
	case event.NewDevice, event.NewNetwork, event.ChangedBrowser, event.ParallelUse:
		c.risks.WithLabelValues(signal(e.Name)).Inc()
	case event.StoreFailed:
		c.unstored.Inc()
	case event.RevocationFailed:
		c.unrevoked.WithLabelValues(provider).Inc()
	}
}

// signal is what the counter calls a risk signal.
func signal(name event.Name) string { return strings.TrimPrefix(string(name), "risk.") }

// Audited counts an event that was written to the audit log.
func (m *Metrics) Audited(name event.Name) { m.events.audited.WithLabelValues(string(name)).Inc() }

// AuditLost counts events that were not.
func (m *Metrics) AuditLost(n int) { m.events.auditLost.Add(float64(n)) }
