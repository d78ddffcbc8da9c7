package tracing_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/tracing"
	"github.com/evergate/evergate/internal/tracing/tracingtest"
)

// tracer makes a Tracer that sends to r, soon.
func newTracer(t testing.TB, r *tracingtest.Receiver, edit func(*tracing.Options)) *tracing.Tracer {
	t.Helper()
	at, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := tracing.Options{Endpoint: at, Service: "evergate", Version: "1.2.3", Sample: 1}
	o.Hasten(time.Millisecond, 5*time.Second, time.Millisecond, 5*time.Second, 0)
	if edit != nil {
		edit(&o)
	}
	tracer, err := tracing.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tracer.Close() })
	return tracer
}

func begin(t *tracing.Tracer) span.Span { return t.Begin(http.Header{}, false) }
