package tracing

import "time"

// Hasten makes a Tracer of o wait less: between batches, for an answer, between tries, and
// at its end.
func (o *Options) Hasten(flush, ask, back, end time.Duration, queue int) {
	o.timing = timing{flushEvery: flush, askTimeout: ask, backOff: back, closeTime: end, queueSize: queue}
}

// PathOf is where batches for an endpoint go.
var PathOf = collectorOf
