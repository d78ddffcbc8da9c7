package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

func newObserved() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_observed_decisions_total",
		Help: "Requests of which rules in mode observe were asked, by the decision in force, the one that would be, and whether they agree."},
		[]string{"route", "decision", "observed", "agrees"})
}

// Observed counts a request of which rules were asked that are only observed. Route is a
// name of the config.
func (m *Metrics) Observed(route, decision, observed string) {
	m.observed.WithLabelValues(text(route), decision, observed, strconv.FormatBool(decision == observed)).Inc()
}

// ForgetObserved begins to count anew: what is observed is another thing from now on, and
// routes may have gone.
func (m *Metrics) ForgetObserved() { m.observed.Reset() }
