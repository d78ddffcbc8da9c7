package tracing_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/tracing"
	"github.com/evergate/evergate/internal/tracing/tracingtest"
)

// TestATrace: spans arrive with their parents, what was said of them, and in order of time.
func TestATrace(t *testing.T) {
	r := tracingtest.New(t)
	tracer := newTracer(t, r, func(o *tracing.Options) { o.Header = http.Header{"Authorization": {"Bearer secret"}} })
	root := begin(tracer)
	root.Rename("GET wiki")
	root.Text(span.URLPath, "/a\xffb")
	root.Text(span.HTTPRoute, "old")
	root.Text(span.HTTPRoute, strings.Repeat("é", 1000))
	ctx, child := span.Start(span.Onto(context.Background(), root), span.Client, "store get")
	child.Fail("timeout")
	child.Link(root)
	_, grandchild := span.Start(ctx, span.Internal, "decide")
	grandchild.Int(span.HTTPStatus, 7)
	grandchild.Flag(span.ForwardAuth)
	grandchild.End()
	child.End()
	root.End()
	root.Text(span.Decision, "too late")
	root.End()

	got := r.All(3)
	server, get, decide := got["GET wiki"], got["store get"], got["decide"]
	if server == nil || get == nil || decide == nil {
		t.Fatalf("got %v", got)
	}
	if server.Kind != tracepb.Span_SPAN_KIND_SERVER || get.Kind != tracepb.Span_SPAN_KIND_CLIENT || decide.Kind != tracepb.Span_SPAN_KIND_INTERNAL {
		t.Errorf("got the kinds %v, %v, %v", server.Kind, get.Kind, decide.Kind)
	}
	if len(server.ParentSpanId) != 0 || string(get.ParentSpanId) != string(server.SpanId) || string(decide.ParentSpanId) != string(get.SpanId) {
		t.Errorf("got the parents %x, %x, %x", server.ParentSpanId, get.ParentSpanId, decide.ParentSpanId)
	}
	if hex.EncodeToString(server.TraceId) != root.TraceID() || string(server.TraceId) != string(decide.TraceId) {
		t.Errorf("got the traces %x and %x, want %s", server.TraceId, decide.TraceId, root.TraceID())
	}
	said := tracingtest.Attributes(server.Attributes)
	if said["url.path"] != "/a\uFFFDb" || len(said["http.route"]) != 1024 || said["evergate.decision"] != "" {
		t.Errorf("got %v", said)
	}
	if get.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || tracingtest.Attributes(get.Attributes)["error.type"] != "timeout" || server.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
		t.Errorf("got the statuses %v, %v", get.Status, server.Status)
	}
	if len(get.Links) != 1 || string(get.Links[0].SpanId) != string(server.SpanId) {
		t.Errorf("got the links %v", get.Links)
	}
	if said := tracingtest.Attributes(decide.Attributes); said["http.response.status_code"] != "7" || said["evergate.forward_auth"] != "true" {
		t.Errorf("got %v", said)
	}
	for name, s := range got {
		if s.EndTimeUnixNano < s.StartTimeUnixNano || s.EndTimeUnixNano-s.StartTimeUnixNano > 60e9 {
			t.Errorf("%s: from %d to %d", name, s.StartTimeUnixNano, s.EndTimeUnixNano)
		}
	}
	header, resource := r.First()
	if resource["service.name"] != "evergate" || resource["service.version"] != "1.2.3" || len(resource["service.instance.id"]) != 32 {
		t.Errorf("got the resource %v", resource)
	}
	if got := header.Get("Authorization"); got != "Bearer secret" {
		t.Errorf("got the header %q", got)
	}
}

const (
	theirTrace = "0af7651916cd43dd8448eb211c80319c"
	theirSpan  = "b7ad6b7169203331"
)

// TestWhoIsBelieved: whose trace a request joins, and who says whether it is recorded.
func TestWhoIsBelieved(t *testing.T) {
	r := tracingtest.New(t)
	for _, tt := range []struct {
		name     string
		trust    tracing.Trust
		sample   float64
		trusted  bool
		flags    string
		joins    bool
		recorded bool
	}{
		{"nobody is: a stranger", tracing.Nobody, 0, false, "01", false, false},
		{"nobody is: a proxy", tracing.Nobody, 0, true, "01", false, false},
		{"nobody is, and all is recorded", tracing.Nobody, 1, true, "00", false, true},
		{"a proxy that records", tracing.TrustedProxies, 0, true, "01", true, true},
		{"a proxy that does not", tracing.TrustedProxies, 1, true, "00", true, false},
		{"a proxy that hands on flags of later versions", tracing.TrustedProxies, 0, true, "ff", true, true},
		{"a stranger, where proxies are", tracing.TrustedProxies, 0, false, "01", false, false},
		{"a stranger, where everybody is", tracing.Everybody, 0, false, "01", true, false},
		{"a stranger who does not record, where everybody is", tracing.Everybody, 1, false, "00", true, true},
		{"a stranger behind a proxy, where everybody is", tracing.Everybody, 0, true, "01", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tracer := newTracer(t, r, func(o *tracing.Options) { o.Trust, o.Sample = tt.trust, tt.sample })
			h := http.Header{"Traceparent": {"00-" + theirTrace + "-" + theirSpan + "-" + tt.flags}, "Tracestate": {"a=1, b=2", "c=3"}}
			s := tracer.Begin(h, tt.trusted)
			defer s.End()
			parent, state := s.Place()
			if got := s.TraceID() == theirTrace; got != tt.joins || !strings.HasPrefix(parent, "00-"+s.TraceID()+"-") || strings.Contains(parent, theirSpan) {
				t.Errorf("got the place %s, want theirs %v", parent, tt.joins)
			}
			if got := s.Recorded(); got != tt.recorded || strings.HasSuffix(parent, "1") != got && strings.HasSuffix(parent, "3") != got {
				t.Errorf("got recorded %v and %s, want %v", got, parent, tt.recorded)
			}
			if want := map[bool]string{true: "a=1,b=2,c=3"}[tt.joins]; state != want {
				t.Errorf("got the state %q, want %q", state, want)
			}
			ctx := span.Onto(context.Background(), s)
			if within, child := span.Start(ctx, span.Internal, "decide"); child.IsZero() == tt.recorded || !tt.recorded && within != ctx {
				t.Errorf("got a child %v, want %v", !child.IsZero(), tt.recorded)
			} else {
				child.End()
			}
		})
	}
}

// TestWhatIsNoParent: what is not as W3C Trace Context has it counts as not there.
func TestWhatIsNoParent(t *testing.T) {
	tracer := newTracer(t, tracingtest.New(t), func(o *tracing.Options) { o.Trust = tracing.TrustedProxies })
	good := "00-" + theirTrace + "-" + theirSpan + "-01"
	for _, tt := range []struct {
		name  string
		lines []string
		joins bool
	}{
		{"one", []string{good}, true},
		{"a later version that goes on", []string{"cc-" + good[3:] + "-what-comes"}, true},
		{"a later version of the same length", []string{"cc-" + good[3:]}, true},
		{"none", nil, false},
		{"two", []string{good, good}, false},
		{"empty", []string{""}, false},
		{"the version that is none", []string{"ff-" + good[3:]}, false},
		{"this version, and more", []string{good + "-x"}, false},
		{"a later version, run together", []string{"cc-" + good[3:] + "x"}, false},
		{"capital letters", []string{strings.ToUpper(good)}, false},
		{"no hex", []string{strings.Replace(good, "0af", "0xf", 1)}, false},
		{"no trace", []string{"00-" + strings.Repeat("0", 32) + "-" + theirSpan + "-01"}, false},
		{"no span", []string{"00-" + theirTrace + "-0000000000000000-01"}, false},
		{"other separators", []string{strings.ReplaceAll(good, "-", "_")}, false},
		{"too short", []string{good[:54]}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tracer.Begin(http.Header{"Traceparent": tt.lines}, true)
			defer s.End()
			if got := s.TraceID() == theirTrace; got != tt.joins {
				t.Errorf("got joined %v, want %v", got, tt.joins)
			}
		})
	}
}

// TestTracestate: a list that is not as it has to be goes, and its traceparent stays.
func TestTracestate(t *testing.T) {
	tracer := newTracer(t, tracingtest.New(t), func(o *tracing.Options) { o.Trust = tracing.TrustedProxies })
	var many []string
	for i := range 33 {
		many = append(many, "k"+string(rune('a'+i%26))+string(rune('a'+i/26))+"=1")
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"one", []string{"congo=t61rcWkgMzE"}, "congo=t61rcWkgMzE"},
		{"space and empty members", []string{" a=1 ,, b=2\t,"}, "a=1,b=2"},
		{"a tenant", []string{"t1@sys=x:y;z"}, "t1@sys=x:y;z"},
		{"32", []string{strings.Join(many[:32], ",")}, strings.Join(many[:32], ",")},
		{"33", []string{strings.Join(many, ",")}, ""},
		{"twice", []string{"a=1", "a=2"}, ""},
		{"no value", []string{"a"}, ""},
		{"a capital", []string{"A=1"}, ""},
		{"a second =", []string{"a=b=c"}, ""},
		{"bytes that are no text", []string{"a=\x01"}, ""},
		{"far too long", []string{"a=" + strings.Repeat("x", 200), "b=" + strings.Repeat("x", 3000)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tracer.Begin(http.Header{"Traceparent": {"00-" + theirTrace + "-" + theirSpan + "-01"}, "Tracestate": tt.lines}, true)
			defer s.End()
			if _, got := s.Place(); got != tt.want || s.TraceID() != theirTrace {
				t.Errorf("got %q in %s, want %q", got, s.TraceID(), tt.want)
			}
		})
	}
}

// TestTheShareThatIsRecorded: of many traces about as many are as was asked for.
func TestTheShareThatIsRecorded(t *testing.T) {
	r := tracingtest.New(t)
	for _, share := range []float64{0, 0.25, 1} {
		tracer := newTracer(t, r, func(o *tracing.Options) { o.Sample = share })
		recorded := 0
		for range 4000 {
			if begin(tracer).Recorded() {
				recorded++
			}
		}
		if got := float64(recorded) / 4000; got < share-0.05 || got > share+0.05 || (share == 0 || share == 1) && got != share {
			t.Errorf("got %v, want %v", got, share)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{
		"http://c:4318":                "http://c:4318/v1/traces",
		"http://c:4318/":               "http://c:4318/v1/traces",
		"https://c/otlp":               "https://c/otlp/v1/traces",
		"https://c/otlp/v1/traces":     "https://c/otlp/v1/traces",
		"ftp://c":                      "",
		"c:4318":                       "",
		"https://user:hunter2@c":       "",
		"https://c/?token=hunter2":     "",
		"http://c:4318/v1/traces/":     "http://c:4318/v1/traces",
		"http://[::1]:4318#collectors": "",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		tracer, err := tracing.New(tracing.Options{Endpoint: u})
		if (err == nil) != (want != "") {
			t.Errorf("%s: got %v", in, err)
		}
		if err != nil {
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: the secret is in %v", in, err)
			}
			continue
		}
		if _ = tracer.Close(); tracing.PathOf(u) != want {
			t.Errorf("%s: got %s, want %s", in, tracing.PathOf(u), want)
		}
	}
}
