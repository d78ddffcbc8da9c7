package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Part is how a part of the gateway is.
type Part struct {
	// Kind is "store", "provider", "upstream" or "certificate", Name which one.
	Kind, Name string
	// OK says that it is in order.
	OK bool
}

// State is how the gateway is at a moment.
type State struct {
	// Parts are those that are looked at.
	Parts []Part
	// Sessions is how many this process has in memory, Streams how many WebSockets, event
	// streams and long answers are open.
	Sessions, Streams int
	// Connections are the open ones of clients.
	Connections int64
	// Draining says that it goes down.
	Draining bool
	// AuditOK says that every part of the audit log takes lines.
	AuditOK bool
	// LogLost is how many lines of the log were lost, since the start.
	LogLost int64
	// Now is what the gateway takes for the time.
	Now time.Time
}

var (
	partUp = prometheus.NewDesc("evergate_part_up",
		"1 if a part is in order: the store, a provider, a target of an upstream, the certificate. Looked at every 2 s.", []string{"kind", "name"}, nil)
	sessionsKnown = prometheus.NewDesc("evergate_sessions_in_use",
		"Sessions that this process has in memory: those used within the last hour or so.", nil, nil)
	streamsOpen = prometheus.NewDesc("evergate_streams", "WebSockets, event streams and long answers that are open.", nil, nil)
	connections = prometheus.NewDesc("evergate_connections", "Open connections of clients.", nil, nil)
	draining    = prometheus.NewDesc("evergate_draining", "1 if the gateway goes down and takes no new connection.", nil, nil)
	auditUp     = prometheus.NewDesc("evergate_audit_up", "1 if every part of the audit log takes lines.", nil, nil)
	logLost     = prometheus.NewDesc("evergate_log_lines_lost_total", "Lines of the log that were lost, since what takes standard error is too slow or takes nothing.", nil, nil)
	clock       = prometheus.NewDesc("evergate_time_seconds", "What time it is for the gateway, in seconds since 1970.", nil, nil)
)

// states is a prometheus.Collector.
type states struct{ now func() State }

// Describe implements prometheus.Collector.
func (s states) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{partUp, sessionsKnown, streamsOpen, connections, draining, auditUp, logLost, clock} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s states) Collect(to chan<- prometheus.Metric) {
	now := s.now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	seen := map[Part]bool{}
	for _, p := range now.Parts {
		key := Part{Kind: p.Kind, Name: text(p.Name)}
		if seen[key] {
			continue
		}
		seen[key] = true
		gauge(partUp, bit(p.OK), key.Kind, key.Name)
	}
	gauge(sessionsKnown, float64(now.Sessions))
	gauge(streamsOpen, float64(now.Streams))
	gauge(connections, float64(now.Connections))
	gauge(draining, bit(now.Draining))
	gauge(auditUp, bit(now.AuditOK))
	to <- prometheus.MustNewConstMetric(logLost, prometheus.CounterValue, float64(now.LogLost))
	gauge(clock, seconds(now.Now))
}

// Watch has now asked at each scrape. It is called once.
func (m *Metrics) Watch(now func() State) { m.registry.MustRegister(states{now}) }

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
