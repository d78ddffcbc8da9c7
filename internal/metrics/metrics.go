// Package metrics is what the gateway counts, for Prometheus. Nothing else here knows
// of that: parts are given a method to call, and what happens is told as events. Labels are of
// small, fixed sets or names of the config, and never of what a client sends.
package metrics

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one gateway. Make them with New.
type Metrics struct {
	registry *prometheus.Registry

	reloads      *prometheus.CounterVec
	reloadGood   prometheus.Gauge
	reloadGoodAt prometheus.Gauge
	rateLimited  *prometheus.CounterVec
	observed     *prometheus.CounterVec
	asked        *prometheus.CounterVec
	spansLost    prometheus.Counter

	requests requests
	events   events
}

// What became of a reload.
const (
	Applied  = "applied"  // it is in force
	Rejected = "rejected" // it is bad, and the config of before stays
)

// New returns Metrics of a program of that version, whose config was good at its start.
func New(version, goVersion string, start time.Time) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_config_reloads_total",
			Help: "Reloads of the config, by what became of them."}, []string{"outcome"}),
		reloadGood: prometheus.NewGauge(prometheus.GaugeOpts{Name: "evergate_config_last_reload_successful",
			Help: "1 if the config as it is in its files now is in force, 0 if it is bad and an older one is."}),
		reloadGoodAt: prometheus.NewGauge(prometheus.GaugeOpts{Name: "evergate_config_last_reload_success_timestamp_seconds",
			Help: "When the config in force was read, in seconds since 1970."}),
		rateLimited: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_rate_limited_total",
			Help: "Requests answered 429 because of a route's rate_limit, by the route's name."}, []string{"route"}),
		asked: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_forward_auth_questions_total",
			Help: "Questions of a proxy in front: answered, or refused since a stranger asked or they were not clear."}, []string{"outcome"}),
		spansLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "evergate_trace_spans_lost_total",
			Help: "Spans that no collector took, since it was away or too slow."}),
		observed: newObserved(),
		requests: newRequests(),
		events:   newEvents(),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "evergate_build_info", Help: "1, labeled with the version and with that of Go.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": goVersion}})
	m.registry.MustRegister(m.reloads, m.reloadGood, m.reloadGoodAt, m.rateLimited, m.asked, m.spansLost, m.observed, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.requests.register(m.registry)
	m.events.register(m.registry)
	build.Set(1)
	for _, outcome := range []string{Applied, Rejected} {
		m.reloads.WithLabelValues(outcome)
	}
	for _, outcome := range []string{answered, refused} {
		m.asked.WithLabelValues(outcome)
	}
	m.reloadGood.Set(1)
	m.reloadGoodAt.Set(seconds(start))
	return m
}

// Reloaded counts a reload that ended now.
func (m *Metrics) Reloaded(outcome string, now time.Time) {
	m.reloads.WithLabelValues(outcome).Inc()
	if outcome != Applied {
		m.reloadGood.Set(0)
		return
	}
	m.reloadGood.Set(1)
	m.reloadGoodAt.Set(seconds(now))
}

// RateLimited counts a request that came too soon on a route of the config.
func (m *Metrics) RateLimited(route string) { m.rateLimited.WithLabelValues(text(route)).Inc() }

const answered, refused = "answered", "refused"

// Asked counts a question of a proxy in front.
func (m *Metrics) Asked(wasAnswered bool) {
	outcome := refused
	if wasAnswered {
		outcome = answered
	}
	m.asked.WithLabelValues(outcome).Inc()
}

// SpansLost counts spans that no collector took.
func (m *Metrics) SpansLost(n int) { m.spansLost.Add(float64(n)) }

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// text is a label of the config: a variable of the environment may be any bytes, and
// Prometheus panics over what is no text.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}
