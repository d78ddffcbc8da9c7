package tracing_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/tracing"
)

// receiver takes OTLP over HTTP as the specification has it, and nothing that is not so.
type receiver struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex // guards all below
	answers  []answer   // for the next questions; then all is well
	asked    int
	headers  []http.Header
	spans    []*tracepb.Span
	resource map[string]string
}

type answer struct {
	status int
	header http.Header
	body   []byte
	wait   chan struct{} // closed when it may be given
}

func newReceiver(t testing.TB, answers ...answer) *receiver {
	t.Helper()
	r := &receiver{t: t, answers: answers}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	var a answer
	if r.asked++; len(r.answers) > 0 {
		a, r.answers = r.answers[0], r.answers[1:]
	}
	r.headers = append(r.headers, req.Header.Clone())
	r.mu.Unlock()
	if a.wait != nil {
		select {
		case <-a.wait:
		case <-req.Context().Done():
			return
		}
	}
	if a.status != 0 {
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
		return
	}
	batch := r.read(req)
	r.mu.Lock()
	for _, resource := range batch.ResourceSpans {
		r.resource = attributes(resource.Resource.Attributes)
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(a.body)
}

func (r *receiver) read(req *http.Request) *collectorpb.ExportTraceServiceRequest {
	batch := &collectorpb.ExportTraceServiceRequest{}
	if req.Method != http.MethodPost || req.URL.Path != "/v1/traces" || req.Header.Get("Content-Type") != "application/x-protobuf" || req.Header.Get("Content-Encoding") != "gzip" {
		r.t.Errorf("got %s %s %v, want OTLP", req.Method, req.URL, req.Header)
		return batch
	}
	z, err := gzip.NewReader(req.Body)
	if err != nil {
		r.t.Error(err)
		return batch
	}
	plain, err := io.ReadAll(z)
	if err == nil {
		err = proto.Unmarshal(plain, batch)
	}
	if err != nil || len(batch.ProtoReflect().GetUnknown()) > 0 {
		r.t.Errorf("the batch cannot be read: %v", err)
	}
	return batch
}

// all waits until there are n spans, and returns them by name.
func (r *receiver) all(n int) map[string]*tracepb.Span {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		if len(r.spans) >= n {
			defer r.mu.Unlock()
			byName := map[string]*tracepb.Span{}
			for _, s := range r.spans {
				byName[s.Name] = s
			}
			return byName
		}
		got := len(r.spans)
		r.mu.Unlock()
		if time.Now().After(end) {
			r.t.Fatalf("got %d spans, want %d", got, n)
		}
	}
}

func (r *receiver) count() (spans, asked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans), r.asked
}

func attributes(all []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[a.Key] = string(rune('0' + v.IntValue%10))
		case *commonpb.AnyValue_BoolValue:
			m[a.Key] = map[bool]string{true: "true", false: "false"}[v.BoolValue]
		}
	}
	return m
}

// tracer makes a Tracer that sends to r, soon.
func (r *receiver) tracer(edit func(*tracing.Options)) *tracing.Tracer {
	r.t.Helper()
	at, err := url.Parse(r.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	o := tracing.Options{Endpoint: at, Service: "evergate", Version: "1.2.3", Sample: 1}
	o.Hasten(time.Millisecond, 5*time.Second, time.Millisecond, 5*time.Second, 0)
	if edit != nil {
		edit(&o)
	}
	t, err := tracing.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = t.Close() })
	return t
}

func begin(t *tracing.Tracer) span.Span { return t.Begin(http.Header{}, false) }
