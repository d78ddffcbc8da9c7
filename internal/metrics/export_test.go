package metrics

import "github.com/prometheus/client_golang/prometheus"

// Registry is where all of it is.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }
