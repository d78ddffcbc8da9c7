package metrics

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/evergate/evergate/internal/web"
)

// requests count what clients ask for. What of it is one series is looked up without a lock
// and without an allocation: it is done for every request.
type requests struct {
	total    *prometheus.CounterVec
	took     *prometheus.HistogramVec
	upstream *prometheus.HistogramVec
	bytes    *prometheus.CounterVec

	mu     *sync.Mutex // guards the replacing of series
	series *atomic.Pointer[map[seriesKey]*series]
}

type seriesKey struct {
	route, decision string
	status          int
}

// series are where requests of one kind count.
type series struct {
	total, bytes   prometheus.Counter
	took, upstream prometheus.Observer
}

// buckets are for those who do not take native histograms: from a millisecond to 10 s.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// histogram is one with native buckets, each a tenth wider than the one before.
func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour}, labels)
}

func newRequests() requests {
	r := requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_requests_total",
			Help: "Requests that are over, by the name of their route (\"\" is none, such as for the gateway's own pages), by what was decided, and by the status of the answer (499 is a client that went away)."},
			[]string{"route", "decision", "code"}),
		took: histogram("evergate_request_duration_seconds",
			"From the header of a request to the end of its answer, by route. WebSockets and event streams do not count.", "route"),
		upstream: histogram("evergate_upstream_response_seconds",
			"The wait for the header of an upstream's answer, by route.", "route"),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "evergate_response_bytes_total",
			Help: "Bytes of answers without their headers, by route. What goes over a WebSocket does not count."}, []string{"route"}),
		mu: &sync.Mutex{}, series: &atomic.Pointer[map[seriesKey]*series]{},
	}
	r.series.Store(&map[seriesKey]*series{})
	return r
}

func (r *requests) register(in *prometheus.Registry) {
	in.MustRegister(r.total, r.took, r.upstream, r.bytes)
}

// Done counts a request that is over.
func (m *Metrics) Done(d *web.Done) {
	r := &m.requests
	s := (*r.series.Load())[seriesKey{d.Route, d.Decision, d.Status}]
	if s == nil {
		s = r.add(seriesKey{d.Route, d.Decision, d.Status})
	}
	s.total.Inc()
	s.bytes.Add(float64(d.Bytes))
	if !d.Stream {
		s.took.Observe(d.Took.Seconds())
	}
	if d.Upstream > 0 {
		s.upstream.Observe(d.Upstream.Seconds())
	}
}

func (r *requests) add(key seriesKey) *series {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := *r.series.Load()
	if s := now[key]; s != nil {
		return s
	}
	route := text(key.route)
	s := &series{
		total: r.total.WithLabelValues(route, text(key.decision), strconv.Itoa(key.status)), bytes: r.bytes.WithLabelValues(route),
		took: r.took.WithLabelValues(route), upstream: r.upstream.WithLabelValues(route),
	}
	next := maps.Clone(now)
	next[key] = s
	r.series.Store(&next)
	return s
}

// KeepRoutes forgets the routes that the config does not have any more.
func (m *Metrics) KeepRoutes(has map[string]bool) {
	r := &m.requests
	r.mu.Lock()
	defer r.mu.Unlock()
	next := maps.Clone(*r.series.Load())
	for key := range next {
		if key.route == "" || has[key.route] {
			continue
		}
		delete(next, key)
		gone := prometheus.Labels{"route": text(key.route)}
		r.total.DeletePartialMatch(gone)
		r.took.DeletePartialMatch(gone)
		r.upstream.DeletePartialMatch(gone)
		r.bytes.DeletePartialMatch(gone)
		m.rateLimited.DeletePartialMatch(gone)
	}
	r.series.Store(&next)
}
