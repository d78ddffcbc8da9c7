// Package metrics is what the gateway counts, for Prometheus. Nothing else here knows
// of that: parts are given a method to call. Labels are of small, fixed sets, and never
// of what a client sends.
package metrics

import (
	"net/http"
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
}

// What became of a reload.
const (
	Applied  = "applied"  // it is in force
	Rejected = "rejected" // it is bad, and the config of before stays
)

// New returns Metrics of a program of that version, whose config was good at its start.
func New(version string, start time.Time) *Metrics {
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
		observed: newObserved(),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "evergate_build_info", Help: "1, labeled with the version.",
		ConstLabels: prometheus.Labels{"version": version}})
	m.registry.MustRegister(m.reloads, m.reloadGood, m.reloadGoodAt, m.rateLimited, m.observed, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build.Set(1)
	m.reloads.WithLabelValues(Applied)
	m.reloads.WithLabelValues(Rejected)
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
func (m *Metrics) RateLimited(route string) { m.rateLimited.WithLabelValues(route).Inc() }

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
