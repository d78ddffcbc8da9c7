package tracing

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/span"
)

// Trust is whose traceparent is believed.
type Trust int

const (
	// Nobody's: every request begins a trace.
	Nobody Trust = iota
	// TrustedProxies': their word also decides whether a trace is recorded.
	TrustedProxies
	// Everybody's: the sender chooses which trace a request is in, and never whether that
	// is recorded.
	Everybody
)

// Options are what a Tracer is made of.
type Options struct {
	// Endpoint is the collector: http or https. The path /v1/traces is added unless it
	// ends so.
	Endpoint *url.URL
	// TLS is for https; nil means the system's roots and no client certificate.
	TLS *tls.Config
	// Header goes with each batch. It may hold secrets, and is never logged.
	Header http.Header
	// Service and Version are what the collector knows the gateway by.
	Service, Version string
	// Sample is the share of traces that are recorded, 0 to 1.
	Sample float64
	// Trust is whose traceparent is believed.
	Trust Trust
	// Dropped is told of spans that got lost: the queue was full, or the collector did not
	// take them. It must not wait. Nil means nobody.
	Dropped func(n int)
	// Log hears of it too, once a minute. Nil means nobody.
	Log *slog.Logger

	timing // zero is the constant of that name
}

// timing is what tests make shorter.
type timing struct {
	flushEvery, askTimeout, backOff, closeTime time.Duration
	queueSize                                  int
}

// Tracer begins traces. Make one with New; Close it to send what is left.
type Tracer struct {
	trust  Trust
	sample float64
	queue  *queue
}

var _ span.Tracer = (*Tracer)(nil)

// New returns a Tracer. It asks the collector nothing: the gateway starts and serves while
// that is down.
func New(o Options) (*Tracer, error) {
	switch u := o.Endpoint; {
	case u == nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("tracing: the endpoint is no address: want http://host:4318 or https://host:4318")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("tracing: the endpoint ends after its path, and secrets have no place in it")
	case !(o.Sample >= 0 && o.Sample <= 1):
		return nil, fmt.Errorf("tracing: the share of traces that are recorded is from 0 to 1, got %v", o.Sample)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dropped == nil {
		o.Dropped = func(int) {}
	}
	t := &Tracer{trust: o.Trust, sample: o.Sample, queue: newQueue(newSender(&o), &o)}
	return t, nil
}

// Close sends what is left, for some seconds at most. Spans that end later are dropped.
func (t *Tracer) Close() error { return t.queue.close() }

// Begin implements span.Tracer.
func (t *Tracer) Begin(h http.Header, trusted bool) span.Span {
	at, joins := place{}, false
	var parent []byte
	if t.trust == Everybody || t.trust == TrustedProxies && trusted {
		if at, joins = parentOf(h); joins {
			id := at.span
			parent = id[:]
		}
	}
	if !joins {
		for at.trace == [16]byte{} {
			_, _ = rand.Read(at.trace[:]) // never fails (crypto/rand)
		}
	}
	at.span = newSpanID()
	if !joins || t.trust != TrustedProxies {
		// Nothing is made of the trace id here: a stranger may have chosen it.
		if at.flags &^= flagSampled; mrand.Float64() < t.sample {
			at.flags |= flagSampled
		}
	}
	if at.flags&flagSampled == 0 {
		return span.Of(&passing{at})
	}
	return span.Of(t.record(at, parent, span.Server, "HTTP"))
}

// collectorOf is where batches go.
func collectorOf(endpoint *url.URL) string {
	const path = "/v1/traces"
	u := *endpoint
	if u.Path = strings.TrimSuffix(u.Path, "/"); !strings.HasSuffix(u.Path, path) {
		u.Path += path
	}
	u.RawPath = ""
	return u.String()
}

// sleep waits for d, or until ctx ends or hurry is closed.
func sleep(ctx context.Context, hurry <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-ctx.Done():
	}
}
