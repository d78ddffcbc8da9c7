package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/tracing"
	"github.com/evergate/evergate/internal/tracing/tracingtest"
)

// lost counts what a Tracer dropped, and keeps its log.
type lost struct {
	n   atomic.Int64
	mu  sync.Mutex // guards log
	log bytes.Buffer
}

func (l *lost) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *lost) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func (l *lost) watch(o *tracing.Options) {
	o.Dropped = func(n int) { l.n.Add(int64(n)) }
	o.Log = slog.New(slog.NewTextHandler(l, nil))
}

// await waits until n spans are lost.
func (l *lost) await(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); l.n.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got %d lost spans, want %d", l.n.Load(), n)
		}
	}
}

// TestACollectorThatAnswersLater: a batch is tried again where that may help, and once.
func TestACollectorThatAnswersLater(t *testing.T) {
	partial, err := proto.Marshal(&collectorpb.ExportTraceServiceResponse{PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "no"}})
	if err != nil {
		t.Fatal(err)
	}
	busy := tracingtest.Answer{Status: 503}
	for _, tt := range []struct {
		name    string
		answers []tracingtest.Answer
		asked   int
		arrive  int
		lost    int64
		say     string
	}{
		{"well", nil, 1, 1, 0, ""},
		{"busy, then well", []tracingtest.Answer{{Status: 429}, {Status: 502}, {Status: 504}}, 4, 1, 0, ""},
		{"busy for good", []tracingtest.Answer{busy, busy, busy, busy}, 4, 0, 1, "answered 503"},
		{"a request that it does not understand", []tracingtest.Answer{{Status: 400}}, 1, 0, 1, "answered 400"},
		{"a secret that ran out", []tracingtest.Answer{{Status: 401}}, 1, 0, 1, "check tracing.headers_file"},
		{"an address where nothing is", []tracingtest.Answer{{Status: 404}}, 1, 0, 1, "check tracing.endpoint"},
		{"a redirect", []tracingtest.Answer{{Status: 307, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}}, 1, 0, 1, "where it leads"},
		{"an outage that is no reason to wait", []tracingtest.Answer{{Status: 500}}, 1, 0, 1, "answered 500"},
		{"a part is refused", []tracingtest.Answer{{Body: partial}}, 1, 1, 1, "did not take all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, l := tracingtest.New(t, tt.answers...), &lost{}
			begin(newTracer(t, r, l.watch)).End()
			l.await(t, tt.lost)
			if tt.arrive > 0 {
				r.All(tt.arrive)
			}
			if spans, asked := r.Count(); spans != tt.arrive || asked != tt.asked {
				t.Errorf("got %d spans in %d batches, want %d in %d", spans, asked, tt.arrive, tt.asked)
			}
			if said := l.said(); !strings.Contains(said, tt.say) || (tt.lost == 0) != (said == "") {
				t.Errorf("got the log %q, want %q", said, tt.say)
			}
		})
	}
}

// TestRetryAfterIsKept: no batch comes before the collector wants it.
func TestRetryAfterIsKept(t *testing.T) {
	r := tracingtest.New(t, tracingtest.Answer{Status: 429, Header: http.Header{"Retry-After": {"1"}}})
	begin(newTracer(t, r, nil)).End()
	began := time.Now()
	if r.All(1); time.Since(began) < 900*time.Millisecond {
		t.Errorf("it came again after %s", time.Since(began))
	}
}

// TestACollectorThatHangs: nobody waits for it, memory does not grow, what has no room is
// counted, the log hears of it once, and the end does not last.
func TestACollectorThatHangs(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	r, l := tracingtest.New(t, tracingtest.Answer{Wait: never}, tracingtest.Answer{Wait: never}, tracingtest.Answer{Wait: never}), &lost{}
	tracer := newTracer(t, r, func(o *tracing.Options) {
		l.watch(o)
		o.Hasten(time.Millisecond, time.Minute, time.Millisecond, 200*time.Millisecond, 0)
	})
	begin(tracer).End()
	for _, asked := r.Count(); asked == 0; _, asked = r.Count() {
		time.Sleep(time.Millisecond)
	}
	const many = 50000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	slowest, late := time.Duration(0), 0
	for range many {
		s := begin(tracer)
		s.Text(span.URLPath, "/some/page")
		at := time.Now()
		s.End()
		took := time.Since(at)
		if slowest = max(slowest, took); took > 200*time.Millisecond {
			late++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	// A busy machine has its pauses now and then; the collector has a minute.
	if late > 5 || slowest > 5*time.Second {
		t.Errorf("%d times an End took more than 200 ms, once %s", late, slowest)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if got, least := l.n.Load(), int64(many-2048-512-1); got < least {
		t.Errorf("got %d lost spans, want %d", got, least)
	}
	if got := strings.Count(l.said(), "\n"); got != 1 {
		t.Errorf("the log hears of it %d times: %s", got, l.said())
	}
	began := time.Now()
	if _ = tracer.Close(); time.Since(began) > 5*time.Second {
		t.Errorf("Close took %s", time.Since(began))
	}
	l.await(t, many+1) // each is counted, once
	begin(tracer).End()
	l.await(t, many+2)
}

// TestACollectorThatIsAway: there is nobody at the address; when there is, spans arrive.
func TestACollectorThatIsAway(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "http", Host: gone.Addr().String()}
	_ = gone.Close()
	l := &lost{}
	o := tracing.Options{Endpoint: at, Header: http.Header{"Authorization": {"Bearer secret"}}, Sample: 1}
	o.Hasten(time.Millisecond, time.Second, time.Millisecond, time.Second, 0)
	l.watch(&o)
	tracer, err := tracing.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	begin(tracer).End()
	l.await(t, 1)
	if said := l.said(); !strings.Contains(said, "cannot be reached") || !strings.Contains(said, "spans=1") || strings.Contains(said, "secret") {
		t.Errorf("got the log %q", said)
	}
	back, err := net.Listen("tcp", at.Host)
	if err != nil {
		t.Skipf("SKIPPED: somebody else has the port by now: %v", err)
	}
	r := tracingtest.New(t)
	server := &http.Server{Handler: r}
	go func() { _ = server.Serve(back) }()
	defer server.Close()
	begin(tracer).End()
	r.All(1)
}

// TestCloseSendsWhatIsLeft: what ended before is there, though its time had not come.
func TestCloseSendsWhatIsLeft(t *testing.T) {
	r, l := tracingtest.New(t), &lost{}
	tracer := newTracer(t, r, func(o *tracing.Options) {
		l.watch(o)
		o.Hasten(time.Hour, time.Second, time.Second, 5*time.Second, 0)
	})
	const many = 1500
	for range many {
		begin(tracer).End()
	}
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}
	if spans, asked := r.Count(); spans != many || asked < 3 || l.n.Load() != 0 {
		t.Errorf("got %d spans in %d batches, %d lost, want %d in 3 or more", spans, asked, l.n.Load(), many)
	}
}

// TestSpansFromAllSides: a span may be used by several goroutines, also when it is over.
func TestSpansFromAllSides(t *testing.T) {
	r := tracingtest.New(t)
	tracer := newTracer(t, r, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				root := begin(tracer)
				ctx := span.Onto(context.Background(), root)
				var inner sync.WaitGroup
				for range 3 {
					inner.Go(func() {
						_, s := span.Start(ctx, span.Internal, "decide")
						root.Text(span.Decision, "allowed")
						s.Link(root)
						s.End()
						root.End()
						root.Fail("late")
					})
				}
				inner.Wait()
			}
		})
	}
	wg.Wait()
	r.All(8 * 50 * 4)
}

// BenchmarkSpan is what a recorded span costs with four attributes, and one that is not.
func BenchmarkSpan(b *testing.B) {
	r := tracingtest.New(b)
	for name, share := range map[string]float64{"recorded": 1, "not recorded": 0} {
		b.Run(name, func(b *testing.B) {
			tracer := newTracer(b, r, func(o *tracing.Options) { o.Sample = share })
			b.ReportAllocs()
			for b.Loop() {
				s := begin(tracer)
				s.Text(span.HTTPMethod, "GET")
				s.Text(span.URLPath, "/some/page")
				s.Text(span.HTTPRoute, "wiki")
				s.Int(span.HTTPStatus, 200)
				s.End()
			}
		})
	}
}
