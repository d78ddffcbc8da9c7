package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var collectorProgram front

// buildCollector returns the OpenTelemetry Collector with its OTLP receiver.
func buildCollector(t *testing.T) string {
	t.Helper()
	return collectorProgram.program(t, "the OpenTelemetry Collector", func(f *front) {
		if _, f.missing = goIn("collector", "mod", "download"); f.missing != nil {
			return
		}
		f.path = filepath.Join(buildDir, "collector")
		_, f.err = goIn("collector", "build", "-trimpath", "-ldflags=-s -w", "-o", f.path, ".")
	})
}

// collectedSpan is one as the collector writes it.
type collectedSpan struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Name         string
	Kind         int
	Attributes   []struct {
		Key   string
		Value map[string]any
	}
	Links []struct {
		SpanID string `json:"spanId"`
	}
}

func (s *collectedSpan) said(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			for _, v := range a.Value {
				return fmt.Sprint(v)
			}
		}
	}
	return ""
}

// collected reads the spans of a trace from what the collector wrote.
func collected(t *testing.T, text, trace string) (all []*collectedSpan) {
	t.Helper()
	for line := range strings.Lines(text) {
		var batch struct {
			ResourceSpans []struct {
				Resource struct {
					Attributes []struct {
						Key   string
						Value map[string]any
					}
				}
				ScopeSpans []struct{ Spans []*collectedSpan }
			}
		}
		if !strings.HasSuffix(line, "\n") {
			break // it is still being written
		}
		if err := json.Unmarshal([]byte(line), &batch); err != nil {
			t.Fatalf("the collector wrote %.200s: %v", line, err)
		}
		for _, r := range batch.ResourceSpans {
			for _, a := range r.Resource.Attributes {
				if a.Key == "service.name" && a.Value["stringValue"] != "front-door" {
					t.Errorf("got the service %v, want front-door", a.Value)
				}
			}
			for _, scope := range r.ScopeSpans {
				for _, s := range scope.Spans {
					if s.TraceID == trace {
						all = append(all, s)
					}
				}
			}
		}
	}
	return all
}

// TestTraceFromBrowserToApp: Chromium opens a page when the access token has run out. The
// trace that its own timings name lies in an OpenTelemetry Collector with all that happened
// on the way, and the app was told of it.
func TestTraceFromBrowserToApp(t *testing.T) {
	t.Parallel()
	collector := buildCollector(t)
	var mu sync.Mutex
	told := map[string]string{}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		told[r.URL.Path] = r.Header.Get("Traceparent")
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p>`, r.Header.Get("X-Forwarded-User"))
	}))
	t.Cleanup(app.Close)
	dir, at, port := t.TempDir(), freePort(t), freePort(t)
	config := writeFile(t, dir, "collector.yaml", fmt.Sprintf(`receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:%s" } } } }
exporters: { lines: {} }
service:
  telemetry: { metrics: { level: none }, logs: { level: warn } }
  pipelines: { traces: { receivers: [otlp], exporters: [lines] } }
`, at))
	sink := start(t, dir, collector, config)
	sink.awaitHTTP(t, "http://127.0.0.1:"+at+"/")
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	g := newGateway(t, port, fmt.Sprintf("tracing: { endpoint: \"http://127.0.0.1:%s\", service_name: front-door }\n", at)+panvaConfig(p.url, app.URL, "", ""),
		map[string]string{"secret": "secret of evergate, with a space"})

	tab := newBrowser(t).tab()
	tab.open(g.url + "/first")
	tab.until("the provider asks who it is", patience, `document.querySelector("input[name=prompt][value=login]")`)
	tab.fill("input[name=login]", "alice")
	tab.fill("input[name=password]", "x")
	tab.click("button[type=submit]")
	tab.until("the provider asks for consent", patience, `document.querySelector("input[name=prompt][value=consent]")`)
	tab.click("button[type=submit]")
	tab.until("at the app", patience, `document.querySelector("#user")?.innerText == "alice"`)
	time.Sleep(6 * time.Second) // the token's life
	tab.open(g.url + "/page?code=hunter2")
	tab.until("at the page", patience, `document.querySelector("#user")?.innerText == "alice"`)
	timing := eval[string](tab, `(performance.getEntriesByType("navigation")[0].serverTiming.find((t) => t.name == "traceparent") || {}).description || ""`)
	parts := strings.Split(timing, "-")
	if len(parts) != 4 || len(parts[1]) != 32 {
		t.Fatalf("the page reads the traceparent %q", timing)
	}
	g.stop(t) // what is left is sent then

	var server, decide, renew, token, up *collectedSpan
	var all []*collectedSpan
	var stored int
	whole := func() bool {
		return server != nil && decide != nil && renew != nil && token != nil && up != nil && stored >= 2
	}
	for end := time.Now().Add(patience); !whole() && time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // the collector writes what it was sent a little later
		all, stored = collected(t, sink.stdout.String(), parts[1]), 0
		for _, s := range all {
			switch {
			case s.Kind == 2:
				server = s
			case s.Name == "decide":
				decide = s
			case s.Name == "renew":
				renew = s
			case s.said("db.system.name") == "bbolt":
				stored++
			case s.Kind == 3 && s.said("evergate.provider") == "oidc" && strings.HasSuffix(s.said("url.full"), "/token"):
				token = s
			case s.Kind == 3 && strings.HasPrefix(s.said("url.full"), app.URL):
				up = s
			}
		}
	}
	if !whole() {
		t.Fatalf("the trace %s lacks something (%d of the store):\n%s", parts[1], stored, sink.stdout.end())
	}
	for _, row := range []struct {
		what      string
		got, want string
	}{
		{"the browser was told of the request's span", server.SpanID, parts[2]},
		{"nobody is above the request", server.ParentSpanID, ""},
		{"decide is under the request", decide.ParentSpanID, server.SpanID},
		{"the renewal is under decide", renew.ParentSpanID, decide.SpanID},
		{"the token endpoint is under the renewal", token.ParentSpanID, renew.SpanID},
		{"the app is under the request", up.ParentSpanID, server.SpanID},
		{"the path", server.said("url.path"), "/page"},
		{"the status", server.said("http.response.status_code"), "200"},
		{"the decision", server.said("evergate.decision"), "allowed"},
		{"the renewal went well", renew.said("evergate.renewal"), "renewed"},
	} {
		if row.got != row.want {
			t.Errorf("%s: got %q, want %q", row.what, row.got, row.want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "00-" + parts[1] + "-" + up.SpanID + "-01"; told["/page"] != want {
		t.Errorf("the app got the traceparent %q, want %q", told["/page"], want)
	}
	for _, secret := range []string{"hunter2", "alice", "secret of evergate", "code="} {
		if strings.Contains(sink.stdout.String(), secret) {
			t.Errorf("%q is at the collector", secret)
		}
	}
}
