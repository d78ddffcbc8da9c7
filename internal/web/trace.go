package web

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/span"
)

// longest is for how long the span of a request may be open. What still goes on then, a
// download or an upload, has a span of its own from there to its end: a trace is looked
// at long before a stream of days is over.
const longest = time.Minute

// trace is the span of a request. Its methods do nothing for nil.
type trace struct {
	span.Span
	note *Note
	name string // of the method

	mu    sync.Mutex // guards what follows
	rest  span.Span  // of what goes on after the end of the span
	over  bool       // that has begun
	timer *time.Timer
}

// trace begins the span of a request, and returns the context that carries it.
func (s *server) trace(ctx context.Context, x *exchange, r *http.Request) context.Context {
	t := &trace{note: x.note, name: method(x.method)}
	t.Span = s.Trace.Begin(r.Header, IsTrusted(s.TrustedProxies, PeerOf(r)) && !isProxysOwn(r.Context()))
	x.rec.trace = t
	if t.Recorded() {
		t.Rename(t.title())
		t.Text(span.HTTPMethod, t.name)
		t.Text(span.URLScheme, x.note.Scheme)
		t.Text(span.URLPath, x.path)
		host, port, err := net.SplitHostPort(x.host)
		if err != nil {
			host = x.host
		}
		t.Text(span.ServerAddress, host)
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			t.Int(span.ServerPort, int(n))
		}
		t.Text(span.RequestID, x.note.ID)
		t.mu.Lock()
		t.timer = time.AfterFunc(longest, func() { t.goesOn("long") })
		t.mu.Unlock()
	}
	return span.Onto(ctx, t.Span)
}

// method is a method as the semantic conventions have it: strangers make up their own.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
		http.MethodConnect, http.MethodTrace, "QUERY", "PROPFIND", "PROPPATCH", "REPORT", "SEARCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK":
		return m
	}
	return span.Other
}

// id names the trace, for the access line; "" is without one.
func (t *trace) id() string {
	if t == nil {
		return ""
	}
	return t.TraceID()
}

// answering says of the span what is known when the header of the answer goes out, and
// tells the browser which trace it is in.
//
// Server-Timing is what browsers have for that: their tools show it beside the request,
// and scripts of the page read it. A header traceresponse is a draft that no browser
// knows.
func (t *trace) answering(h http.Header, status int) {
	if t == nil || !t.Recorded() {
		return
	}
	t.describe(status)
	if strings.HasPrefix(h.Get("Content-Type"), "text/event-stream") {
		t.goesOn("event-stream")
	}
	parent, _ := t.Place()
	h["Server-Timing"] = append(h["Server-Timing"], `traceparent;desc="`+parent+`"`)
}

// upgraded says that the connection is no HTTP any more.
func (t *trace) upgraded() {
	if t != nil && t.Recorded() {
		t.describe(http.StatusSwitchingProtocols)
		t.goesOn("websocket")
	}
}

func (t *trace) describe(status int) {
	n, s := t.note, t.open()
	if s == t.Span {
		s.Rename(t.title())
	}
	s.Text(span.HTTPRoute, n.Route)
	s.Text(span.Decision, n.Decision)
	if status == 0 {
		return // there was none
	}
	s.Int(span.HTTPStatus, status)
	if status >= 500 {
		s.Fail(strconv.Itoa(status))
	}
}

// title is the method, and the route where that is known.
func (t *trace) title() string {
	name := t.name
	if name == span.Other {
		name = "HTTP"
	}
	if t.note.Route != "" {
		name += " " + t.note.Route
	}
	return name
}

// open is the span that has not ended yet.
func (t *trace) open() span.Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return t.rest
	}
	return t.Span
}

// last is the span that ends with the request. A timer that is late finds nothing to do.
func (t *trace) last() span.Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over, t.rest = true, t.Span
	}
	return t.rest
}

// goesOn ends the span under a request that goes on, which has another one from now on.
func (t *trace) goesOn(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.over = true
	ctx := span.Onto(context.Background(), t.Span)
	_, t.rest = span.Start(ctx, span.Internal, "stream")
	t.rest.Text(span.Stream, what)
	t.Text(span.Stream, what)
	t.End()
}

// traced ends the span of a request that is over.
func (x *exchange) traced() {
	t := x.rec.trace
	if t == nil || !t.Recorded() {
		return
	}
	t.timer.Stop()
	last := t.last()
	status, gone := x.rec.outcome()
	switch {
	case gone:
		last.Text(span.ErrorType, "canceled")
	case x.rec.aborted && !t.note.Ended.Load() && !t.note.Down.Load():
		last.Fail("aborted")
	}
	if gone {
		status = 0
	}
	if !x.rec.wrote && !x.rec.hijacked {
		t.describe(status)
	}
	last.End()
}
