// Package tracingtest has a collector for tests, which takes what the gateway sends by the
// letter of OTLP.
package tracingtest

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Receiver takes OTLP over HTTP as the specification has it, and nothing that is not so.
type Receiver struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex // guards all below
	answers  []Answer   // for the next questions; then all is well
	asked    int
	headers  []http.Header
	spans    []*tracepb.Span
	resource map[string]string
}

// Answer is one to a batch; its zero value takes it.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Wait   chan struct{} // closed when it may be given
}

// New starts a Receiver that gives answers first.
func New(t testing.TB, answers ...Answer) *Receiver {
	t.Helper()
	r := &Receiver{t: t, answers: answers}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	var a Answer
	if r.asked++; len(r.answers) > 0 {
		a, r.answers = r.answers[0], r.answers[1:]
	}
	r.headers = append(r.headers, req.Header.Clone())
	r.mu.Unlock()
	if a.Wait != nil {
		select {
		case <-a.Wait:
		case <-req.Context().Done():
			return
		}
	}
	if a.Status != 0 {
		for name, values := range a.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
		return
	}
	batch := r.read(req)
	r.mu.Lock()
	for _, resource := range batch.ResourceSpans {
		r.resource = Attributes(resource.Resource.Attributes)
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(a.Body)
}

func (r *Receiver) read(req *http.Request) *collectorpb.ExportTraceServiceRequest {
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

// All waits until there are n spans, and returns them by name.
func (r *Receiver) All(n int) map[string]*tracepb.Span {
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

// Count is how many spans have come, and batches.
func (r *Receiver) Count() (spans, asked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans), r.asked
}

// Attributes are those of a message, as text.
func Attributes(all []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[a.Key] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			m[a.Key] = strconv.FormatBool(v.BoolValue)
		}
	}
	return m
}

// Spans are those that have come.
func (r *Receiver) Spans() []*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// First is the header of the first batch, and what the sender said of itself.
func (r *Receiver) First() (http.Header, map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.headers) == 0 {
		return nil, nil
	}
	return r.headers[0], r.resource
}
