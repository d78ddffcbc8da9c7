package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/web"
)

// ledger keeps spans in memory, in the order of their end.
type ledger struct {
	mu   sync.Mutex // guards what follows, and all entries
	over []*entry
}

type entry struct {
	l     *ledger
	name  string
	said  map[string]string
	began time.Time
	took  time.Duration
	ended bool
}

func (l *ledger) Begin(http.Header, bool) span.Span { return span.Of(l.entry("HTTP")) }

func (l *ledger) entry(name string) *entry {
	return &entry{l: l, name: name, said: map[string]string{}, began: time.Now()}
}

func (e *entry) do(f func()) {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	if !e.ended {
		f()
	}
}

func (e *entry) Child(_ span.Kind, name string) span.Recorder { return e.l.entry(name) }
func (e *entry) Recorded() bool                               { return true }
func (e *entry) Rename(name string)                           { e.do(func() { e.name = name }) }
func (e *entry) Text(k span.Key, v string)                    { e.do(func() { e.said[k.String()] = v }) }
func (e *entry) Int(k span.Key, v int)                        { e.do(func() { e.said[k.String()] = fmt.Sprint(v) }) }
func (e *entry) Flag(k span.Key, v bool)                      { e.do(func() { e.said[k.String()] = fmt.Sprint(v) }) }
func (e *entry) Fail(kind string)                             { e.do(func() { e.said["failed"] = kind }) }
func (e *entry) Link(span.Recorder)                           {}
func (e *entry) Place() (string, string)                      { return "00-t-s-01", "" }
func (e *entry) TraceID() string                              { return "t" }
func (e *entry) End() {
	e.do(func() {
		e.ended, e.took = true, time.Since(e.began)
		e.l.over = append(e.l.over, e)
	})
}

// ended are the spans that are over, as text: the values of some attributes.
func (l *ledger) ended() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.over {
		all = append(all, strings.Join(strings.Fields(fmt.Sprint(e.name, ": ", e.said["http.response.status_code"], " ", e.said["failed"], " ",
			e.said["error.type"], " ", e.said["evergate.stream"], " ", e.took)), " "))
	}
	return all
}

// TestSpansOfRequests: what they are called, what they say of the end, and when they end.
func TestSpansOfRequests(t *testing.T) {
	gone, leave := context.WithCancel(context.Background())
	for _, tt := range []struct {
		name   string
		method string
		ctx    context.Context
		serve  func(w http.ResponseWriter, r *http.Request)
		want   []string
	}{
		{"well", "GET", nil, func(w http.ResponseWriter, r *http.Request) { web.NoteOf(r.Context()).Route = "wiki" }, []string{"GET wiki: 200 0s"}},
		{"with a route", "PUT", nil, func(w http.ResponseWriter, r *http.Request) {
			web.NoteOf(r.Context()).Route = "wiki"
			w.WriteHeader(204)
		}, []string{"PUT wiki: 204 0s"}},
		{"a method that somebody made up", "SECRET", nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(501) }, []string{"HTTP: 501 501 0s"}},
		{"the client's fault", "GET", nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, []string{"GET: 404 0s"}},
		{"ours", "GET", nil, func(http.ResponseWriter, *http.Request) { panic("oh") }, []string{"GET: 500 500 0s"}},
		{"broken off", "GET", nil, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			panic(http.ErrAbortHandler)
		}, []string{"GET: 200 aborted 0s"}},
		{"nobody waits any more", "GET", gone, func(http.ResponseWriter, *http.Request) { leave() }, []string{"GET: canceled 0s"}},
		{"slow, but not long", "GET", nil, func(w http.ResponseWriter, _ *http.Request) { time.Sleep(59 * time.Second) }, []string{"GET: 200 59s"}},
		{"long", "GET", nil, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			time.Sleep(48 * time.Hour)
		}, []string{"GET: 200 long 1m0s", "stream: long 47h59m0s"}},
		{"slow to answer", "GET", nil, func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Minute)
			web.NoteOf(r.Context()).Route = "wiki"
			w.WriteHeader(503)
		}, []string{"GET: long 1m0s", "stream: 503 503 long 1m0s"}},
		{"an event stream", "GET", nil, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			w.WriteHeader(200)
			time.Sleep(time.Hour)
		}, []string{"GET: 200 event-stream 1s", "stream: event-stream 1h0m0s"}},
		{"a stream that breaks off", "GET", nil, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			time.Sleep(time.Hour)
			panic(http.ErrAbortHandler)
		}, []string{"GET: 200 event-stream 0s", "stream: aborted event-stream 1h0m0s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{}
				h := web.Serve(http.HandlerFunc(tt.serve), web.Options{Trace: l})
				r := httptest.NewRequest(tt.method, "/x?secret=1", nil)
				if tt.ctx != nil {
					r = r.WithContext(tt.ctx)
				}
				func() {
					defer func() { _ = recover() }()
					h.ServeHTTP(httptest.NewRecorder(), r)
				}()
				if got := l.ended(); !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				for _, e := range l.over {
					if strings.Contains(fmt.Sprint(e.said), "secret") {
						t.Errorf("the query is in %v", e.said)
					}
				}
			})
		})
	}
}

// TestBrowsersHearOfTheirTrace, beside what the app says of its own times.
func TestBrowsersHearOfTheirTrace(t *testing.T) {
	h := web.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server-Timing", "db;dur=53")
		w.WriteHeader(200)
	}), web.Options{Trace: &ledger{}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if got := w.Header()["Server-Timing"]; !slices.Equal(got, []string{"db;dur=53", `traceparent;desc="00-t-s-01"`}) {
		t.Errorf("got %q", got)
	}
}
