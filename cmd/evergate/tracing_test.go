//go:build unix

package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/tracing/tracingtest"
)

const tracedApp = "tracing: { endpoint: COLLECTOR }\nroutes: [ { name: app, upstream: APP } ]\n"

// TestTraceOfARequest: from the browser to the app, with a renewal on the way, all is one
// trace, and no secret and nobody's name is in it.
func TestTraceOfARequest(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, tracedApp, nil)
	c := b.browser()
	b.clock.forward(time.Hour) // the access token has run out
	res := b.get(c, "/page/x?code=hunter2", "User-Agent: hunter2", "Baggage: hunter2=1")
	trace, top := traceOf(res)
	if trace == "" {
		t.Fatalf("the browser hears of no trace: %v", res.Header)
	}
	if line := b.accessLine("/page/x"); line["trace_id"] != trace || line["request_id"] != res.Header.Get("X-Request-Id") {
		t.Errorf("got the line %v, want the trace %s", line, trace)
	}
	up := b.last()
	b.close()

	all := spansOf(b.collector, trace)
	server := b.one(all, "GET app")
	if hex.EncodeToString(server.SpanId) != top || len(server.ParentSpanId) != 0 || server.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("got the span %x under %x, want %s: %s", server.SpanId, server.ParentSpanId, top, drawTrace(all))
	}
	wants(t, server, "http.request.method=GET", "http.route=app", "http.response.status_code=200", "url.path=/page/x", "url.scheme=http",
		"evergate.decision=allowed", "evergate.request_id="+res.Header.Get("X-Request-Id"))
	decide, renew := b.one(all, "decide"), b.one(all, "renew")
	under(t, decide, server)
	under(t, renew, decide)
	wants(t, renew, "evergate.provider=corp", "evergate.renewal=renewed")
	wait := b.one(all, "wait for renewal")
	under(t, wait, decide)
	if len(wait.Links) != 1 || string(wait.Links[0].SpanId) != string(renew.SpanId) {
		t.Errorf("got the links %v, want the renewal", wait.Links)
	}
	lease := b.one(all, "store lease")
	under(t, lease, renew)
	wants(t, lease, "db.system.name=bbolt", "db.operation.name=lease", "evergate.store=ok")
	var token, app *tracepb.Span
	stored := false
	for _, s := range all {
		stored = stored || s.Name == "store put" && string(s.ParentSpanId) == string(renew.SpanId)
		said := tracingtest.Attributes(s.Attributes)
		switch {
		case s.Kind != tracepb.Span_SPAN_KIND_CLIENT || said["db.system.name"] != "":
		case said["evergate.provider"] != "":
			token = s
		default:
			app = s
		}
	}
	if token == nil || app == nil || !stored {
		t.Fatalf("the provider, the app or what stores the renewal is missing: %s", drawTrace(all))
	}
	under(t, token, renew)
	wants(t, token, "http.request.method=POST", "url.full="+b.provider.Issuer+"/token", "http.response.status_code=200")
	under(t, app, server)
	wants(t, app, "http.request.method=GET", "http.response.status_code=200")
	if got, want := up.Get("Traceparent"), fmt.Sprintf("00-%s-%x-01", trace, app.SpanId); got != want {
		t.Errorf("the app got the traceparent %s, want %s", got, want)
	}
	for _, s := range all {
		if s.StartTimeUnixNano < server.StartTimeUnixNano {
			t.Errorf("%s begins before the request", s.Name)
		}
	}
	b.discreet(append(up["Authorization"], "hunter2", "alice", oidctest.Alice.Subject, oidctest.ClientSecret))
}

// accessLine waits for that of a request for a path.
func (b *traceBed) accessLine(path string) map[string]any {
	b.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(b.log.String()) {
			var said map[string]any
			if json.Unmarshal([]byte(line), &said) == nil && said["msg"] == "request" && said["path"] == path {
				return said
			}
		}
	}
	b.Fatalf("there is no line of %s", path)
	return nil
}

// discreet looks for secrets in all that the collector got, and for what is not a listed
// attribute.
func (b *traceBed) discreet(secrets []string) {
	b.Helper()
	listed := map[string]bool{}
	for _, k := range span.Keys() {
		listed[k.String()] = true
	}
	spans := b.collector.Spans()
	if len(spans) < 5 {
		b.Errorf("got %d spans, want 5 or more", len(spans))
	}
	for _, s := range spans {
		raw, err := proto.Marshal(s)
		if err != nil {
			b.Fatal(err)
		}
		for _, secret := range secrets {
			if secret = strings.TrimPrefix(secret, "Bearer "); secret == "" || strings.Contains(string(raw), secret) {
				b.Errorf("%q is in the span %s %v", secret, s.Name, tracingtest.Attributes(s.Attributes))
			}
		}
		for name := range tracingtest.Attributes(s.Attributes) {
			if !listed[name] {
				b.Errorf("%s has the attribute %s, which is not listed", s.Name, name)
			}
		}
	}
}

func under(t *testing.T, s, parent *tracepb.Span) {
	t.Helper()
	if string(s.ParentSpanId) != string(parent.SpanId) {
		t.Errorf("%s is under %x, want %s (%x)", s.Name, s.ParentSpanId, parent.Name, parent.SpanId)
	}
}

func wants(t *testing.T, s *tracepb.Span, pairs ...string) {
	t.Helper()
	said := tracingtest.Attributes(s.Attributes)
	for _, pair := range pairs {
		if name, value, _ := strings.Cut(pair, "="); said[name] != value {
			t.Errorf("%s: got %s=%q, want %q", s.Name, name, said[name], value)
		}
	}
}

// TestSignInIsTraced: the code of a callback is in no span, the provider's answer is, and
// the provider is told of no trace.
func TestSignInIsTraced(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, tracedApp, nil)
	b.browser()
	b.close()
	found := false
	for _, s := range b.collector.Spans() {
		said := tracingtest.Attributes(s.Attributes)
		found = found || said["evergate.provider"] == "corp" && strings.HasSuffix(said["url.full"], "/token")
		if strings.Contains(fmt.Sprint(said), "code=") || strings.Contains(fmt.Sprint(said), "?") {
			t.Errorf("got %v, want no query", said)
		}
	}
	if !found {
		t.Errorf("the token endpoint is in no span: %s", drawTrace(b.collector.Spans()))
	}
}

// TestOneRenewalIsWaitedForByMany: each request that waits leads to the renewal, which is
// in the trace of the one that asked for it.
func TestOneRenewalIsWaitedForByMany(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, tracedApp, nil)
	c := b.browser()
	b.clock.forward(time.Hour)
	b.provider.Turn(func(k *idp.Knobs) {
		k.AtToken = func(r *http.Request) {
			for b.inside.Load() < 5 && r.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		k.DelayBefore = 300 * time.Millisecond // from the gateway's door to the wait
	})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { b.get(c, "/") })
	}
	wg.Wait()
	b.close()
	renew := b.one(b.collector.Spans(), "renew")
	waits := 0
	for _, s := range b.collector.Spans() {
		if s.Name != "wait for renewal" {
			continue
		}
		waits++
		if len(s.Links) != 1 || string(s.Links[0].SpanId) != string(renew.SpanId) || string(s.Links[0].TraceId) != string(renew.TraceId) {
			t.Errorf("got the links %v, want the renewal", s.Links)
		}
	}
	if waits != 5 {
		t.Errorf("got %d requests that wait, want 5", waits)
	}
}

// TestRenewalsWithoutAStore are traced too.
func TestRenewalsWithoutAStore(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, "session: { store: cookie }\n"+tracedApp, nil)
	c := b.browser()
	b.clock.forward(time.Hour)
	trace, _ := traceOf(b.get(c, "/"))
	b.close()
	all := spansOf(b.collector, trace)
	renew, decide := b.one(all, "renew"), b.one(all, "decide")
	under(t, renew, decide)
	under(t, b.one(all, "wait for renewal"), decide)
	under(t, b.one(all, "POST"), renew)
	wants(t, renew, "evergate.provider=corp", "evergate.renewal=renewed")
}

// TestARenewalThatFails says so, and how.
func TestARenewalThatFails(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, tracedApp, nil)
	c := b.browser()
	b.clock.forward(time.Hour)
	b.provider.Turn(func(k *idp.Knobs) { k.TokenStatus = 503 })
	if res := b.get(c, "/"); res.StatusCode != 503 {
		t.Fatalf("got %d", res.StatusCode)
	}
	b.close()
	all := b.collector.Spans()
	renew := b.one(all, "renew")
	if wants(t, renew, "evergate.renewal=failed", "error.type=_OTHER"); renew.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("got the status %v", renew.Status)
	}
	for _, s := range all {
		if string(s.ParentSpanId) == string(renew.SpanId) && tracingtest.Attributes(s.Attributes)["evergate.provider"] != "" {
			wants(t, s, "http.response.status_code=503", "error.type=503")
			return
		}
	}
	t.Errorf("the provider's answer is in no span: %s", drawTrace(all))
}

const (
	strangeTrace = "0af7651916cd43dd8448eb211c80319c"
	strangeSpan  = "b7ad6b7169203331"
)

// TestWhatGoesUp: without tracing what the client says goes up as it came; with it the
// gateway's own place does, in the client's trace where it is believed.
func TestWhatGoesUp(t *testing.T) {
	t.Parallel()
	theirs := []string{"Traceparent: 00-" + strangeTrace + "-" + strangeSpan + "-01", "Tracestate: a=1", "Baggage: k=v"}
	for _, tt := range []struct {
		name, config string
		untouched    bool
		joins        bool
		recorded     bool
	}{
		{"off", "routes: [ { name: app, public: true, upstream: APP } ]\n", true, false, false},
		{"on", "tracing: { endpoint: COLLECTOR }\nroutes: [ { name: app, public: true, upstream: APP } ]\n", false, false, true},
		{"on, and not recorded", "tracing: { endpoint: COLLECTOR, sample: 0 }\nroutes: [ { name: app, public: true, upstream: APP } ]\n", false, false, false},
		{"believed", "trusted_proxies: [127.0.0.1]\ntracing: { endpoint: COLLECTOR, sample: 0, trust: trusted_proxies }\nroutes: [ { name: app, public: true, upstream: APP } ]\n", false, true, true},
		{"another proxy is believed", "trusted_proxies: [192.0.2.1]\ntracing: { endpoint: COLLECTOR, trust: trusted_proxies }\nroutes: [ { name: app, public: true, upstream: APP } ]\n", false, false, true},
		{"everybody is believed", "tracing: { endpoint: COLLECTOR, trust: everybody }\nroutes: [ { name: app, public: true, upstream: APP } ]\n", false, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newTraceBed(t, tt.config, nil)
			res := b.get(http.DefaultClient, "/x", theirs...)
			up := b.last()
			parent, state := up.Get("Traceparent"), up.Get("Tracestate")
			if up.Get("Baggage") != "k=v" {
				t.Errorf("got the baggage %q, which is between the client and the app", up.Get("Baggage"))
			}
			if tt.untouched {
				if parent != strings.TrimPrefix(theirs[0], "Traceparent: ") || state != "a=1" || res.Header["Server-Timing"] != nil {
					t.Errorf("got %s, %s and %v, want it as it came", parent, state, res.Header["Server-Timing"])
				}
				if _, said := b.accessLine("/x")["trace_id"]; said {
					t.Error("the access line names a trace")
				}
				return
			}
			trace, _ := traceOf(res)
			if (trace != "") != tt.recorded || strings.HasSuffix(parent, "-01") != tt.recorded || strings.Contains(parent, strangeSpan) {
				t.Errorf("got %s and the trace %q, want it recorded %v", parent, trace, tt.recorded)
			}
			if got := strings.Contains(parent, strangeTrace); got != tt.joins || (state == "a=1") != tt.joins {
				t.Errorf("got %s and %q, want joined %v", parent, state, tt.joins)
			}
			if got := b.accessLine("/x")["trace_id"]; got != parent[3:35] {
				t.Errorf("the access line says %v, and the app %s", got, parent)
			}
			b.close()
			spans := b.collector.Spans()
			if (len(spans) > 0) != tt.recorded {
				t.Errorf("got %d spans, want recorded %v", len(spans), tt.recorded)
			}
			if tt.joins {
				if got := hex.EncodeToString(b.one(spans, "GET app").ParentSpanId); got != strangeSpan {
					t.Errorf("got the parent %s, want %s", got, strangeSpan)
				}
			}
		})
	}
}

// TestARouteTakesTheTraceAway: what a route says of single headers comes last.
func TestARouteTakesTheTraceAway(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, "tracing: { endpoint: COLLECTOR }\nroutes: [ { name: app, public: true, upstream: APP, request_headers: { remove: [traceparent, tracestate] } } ]\n", nil)
	if res := b.get(http.DefaultClient, "/x", "Traceparent: 00-"+strangeTrace+"-"+strangeSpan+"-01"); res.StatusCode != 200 || b.last()["Traceparent"] != nil {
		t.Errorf("got %d and %v, want none", res.StatusCode, b.last()["Traceparent"])
	}
}

// TestEachAttemptHasASpan, and the header of the app names its own.
func TestEachAttemptHasASpan(t *testing.T) {
	t.Parallel()
	const away = "127.0.0.1:1" // where nothing listens
	b := newTraceBed(t, "tracing: { endpoint: COLLECTOR }\nroutes: [ { name: app, public: true, upstream: { targets: [APP, \"http://"+away+"\"], balance: round_robin, retries: 1 } } ]\n", nil)
	var last http.Header
	for range 4 {
		if res := b.get(http.DefaultClient, "/x"); res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
		last = b.last()
	}
	b.close()
	failed := false
	for _, s := range b.collector.Spans() {
		said := tracingtest.Attributes(s.Attributes)
		if s.Kind != tracepb.Span_SPAN_KIND_CLIENT || said["error.type"] == "" {
			continue
		}
		failed = true
		wants(t, s, "error.type=connection", "url.full=http://"+away+"/x")
		again := false
		for _, other := range b.collector.Spans() {
			if said := tracingtest.Attributes(other.Attributes); string(other.ParentSpanId) == string(s.ParentSpanId) && said["http.request.resend_count"] == "1" {
				again = said["http.response.status_code"] == "200"
			}
		}
		if !again {
			t.Errorf("the second attempt is in no span: %s", drawTrace(b.collector.Spans()))
		}
	}
	if !failed {
		t.Error("no attempt failed, so nothing is shown")
	}
	if !regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`).MatchString(last.Get("Traceparent")) {
		t.Errorf("got %v", last["Traceparent"])
	}
}

// TestStreamsAreSeen while they go on: the span of the request is there, and how long the
// stream was comes with its end.
func TestStreamsAreSeen(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	b := newTraceBed(t, "tracing: { endpoint: COLLECTOR }\nroutes: [ { name: app, public: true, upstream: APP, origins: [\"http://x.test\"] } ]\n", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Sec-WebSocket-Accept", "ICX+Yqv66kxgM0FcWaLWlFLwTAI=")
			w.WriteHeader(101)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			<-over
			_ = conn.Close()
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-over
	})
	closeOnce := sync.OnceFunc(func() { close(over) })
	t.Cleanup(closeOnce)
	events, err := http.Get(b.base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	socket, err := net.Dial("tcp", strings.TrimPrefix(b.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	fmt.Fprintf(socket, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", strings.TrimPrefix(b.base, "http://"))
	if res, err := http.ReadResponse(bufio.NewReader(socket), nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	streamed := func(path string) *tracepb.Span {
		for _, s := range b.collector.Spans() {
			if tracingtest.Attributes(s.Attributes)["url.path"] == path {
				return s
			}
		}
		return nil
	}
	for end := time.Now().Add(20 * time.Second); streamed("/events") == nil || streamed("/socket") == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the streams are not seen: %s", drawTrace(b.collector.Spans()))
		}
	}
	wants(t, streamed("/events"), "evergate.stream=event-stream", "http.response.status_code=200")
	wants(t, streamed("/socket"), "evergate.stream=websocket", "http.response.status_code=101")
	closeOnce()
	_ = socket.Close()
	b.accessLine("/events")
	b.accessLine("/socket")
	b.close()
	rests := 0
	for _, s := range b.collector.Spans() {
		if s.Name != "stream" {
			continue
		}
		rests++
		if took := time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano); took < time.Second {
			t.Errorf("a stream is said to have taken %s", took)
		}
		if string(s.ParentSpanId) != string(streamed("/events").SpanId) && string(s.ParentSpanId) != string(streamed("/socket").SpanId) {
			t.Errorf("a stream is under %x", s.ParentSpanId)
		}
	}
	if rests != 2 {
		t.Errorf("got %d streams, want 2", rests)
	}
}

// TestTracingIsReloaded: spans go where the config in force says, those of before arrive
// where they were going, and a config that cannot be used changes nothing.
func TestTracingIsReloaded(t *testing.T) {
	t.Parallel()
	const route = "routes: [ { name: app, public: true, respond: { body: ok } } ]\n"
	b := newTraceBed(t, "tracing: { endpoint: COLLECTOR }\n"+route, nil)
	other := tracingtest.New(t)
	b.get(http.DefaultClient, "/first")
	if err := os.WriteFile(b.dir+"/headers", []byte("no header\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := "tracing: { endpoint: \"" + other.URL + "\", headers_file: headers }\n" + route
	if err := b.g.apply(b.config(to)); err == nil || !strings.Contains(err.Error(), "tracing.headers_file") || !strings.Contains(err.Error(), "headers:1: it is no header") {
		t.Fatalf("got %v", err)
	}
	b.get(http.DefaultClient, "/second")
	if err := os.WriteFile(b.dir+"/headers", []byte("Authorization: Bearer hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.g.apply(b.config(to)); err != nil {
		t.Fatal(err)
	}
	b.get(http.DefaultClient, "/third")
	if err := b.g.apply(b.config(route)); err != nil {
		t.Fatal(err)
	}
	if res := b.get(http.DefaultClient, "/fourth"); res.Header["Server-Timing"] != nil {
		t.Errorf("got %v, want no trace", res.Header["Server-Timing"])
	}
	b.close()
	paths := func(r *tracingtest.Receiver) (all []string) {
		for _, s := range r.Spans() {
			if p := tracingtest.Attributes(s.Attributes)["url.path"]; p != "" {
				all = append(all, p)
			}
		}
		return all
	}
	if got := paths(b.collector); !slices.Equal(got, []string{"/first", "/second"}) {
		t.Errorf("the first collector got %v", got)
	}
	if got := paths(other); !slices.Equal(got, []string{"/third"}) {
		t.Errorf("the second collector got %v", got)
	}
	if h, _ := other.First(); h.Get("Authorization") != "Bearer hunter2" {
		t.Errorf("got the headers %v", h)
	}
	if strings.Contains(b.log.String(), "hunter2") {
		t.Errorf("the secret is in the log: %s", b.log)
	}
}

// TestQuestionsOfAProxyAreTraced, as the request that they are about.
func TestQuestionsOfAProxyAreTraced(t *testing.T) {
	t.Parallel()
	b := newTraceBed(t, "trusted_proxies: [127.0.0.1]\nforward_auth: { listen: \"127.0.0.1:0\", dialect: traefik }\ntracing: { endpoint: COLLECTOR }\nroutes: [ { name: app } ]\n", nil)
	u := strings.TrimPrefix(b.base, "http://")
	r := request("GET", "http://"+u+"/.evergate/auth", "X-Forwarded-Method", "POST", "X-Forwarded-Proto", "http", "X-Forwarded-Host", u,
		"X-Forwarded-Uri", "/asked?code=hunter2", "X-Forwarded-For", "192.0.2.9")
	r.RemoteAddr = "127.0.0.1:9"
	if w := serveOnce(b.g.Forward, r); w.Code != 401 && w.Code != 302 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	b.close()
	all := b.collector.Spans()
	wants(t, b.one(all, "POST app"), "url.path=/asked", "evergate.forward_auth=true", "evergate.decision=login")
	if strings.Contains(drawTrace(all), "hunter2") {
		t.Errorf("the query is in %s", drawTrace(all))
	}
}

// TestTracingIsDocumented: docs/tracing.md has each attribute in its table, and no other.
func TestTracingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/tracing.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_.]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1])
	}
	for _, k := range span.Keys() {
		want = append(want, k.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("docs/tracing.md lists\n%v, want\n%v", got, want)
	}
}
