package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/internal/span"
)

// StatusClientGone is what the access line says of a request whose client went
// away before the answer was complete. It never goes over the wire.
const StatusClientGone = 499

// Options are what Serve needs. The zero value logs nothing and believes no
// proxy.
type Options struct {
	// Log takes the trace of a panic, and what else is not as it should be; nil discards it.
	Log *slog.Logger
	// Access takes the access line of each request; nil is AccessBySlog(Log).
	Access Access
	// TrustedProxies are the peers whose X-Forwarded-For and X-Forwarded-Proto
	// are believed. None means that the peer is the client.
	TrustedProxies []netip.Prefix
	// Forwarded takes their word from Forwarded (RFC 7239) instead.
	Forwarded bool
	// HSTS is how long browsers are told to refuse plain http, on answers over
	// https; zero says nothing.
	HSTS time.Duration
	// RequestTimeout bounds how long the body of a request may take to arrive, for
	// whoever takes it over; zero does not.
	RequestTimeout time.Duration
	// Look is how pages look; nil is the gateway's own.
	Look *Look
	// Closing reports that connections are not kept any more, if set: each answer tells
	// its client so (in HTTP/2 by GOAWAY), which then sends the next request elsewhere
	// and loses none to a connection that closes under it.
	Closing func() bool
	// Done hears of each request when it is over, if set. It returns at once, and keeps no
	// pointer to what it is given.
	Done func(d *Done)
	// Trace begins the span of each request; nil begins none.
	Trace span.Tracer
	// Now is the clock of durations; nil means time.Now.
	Now func() time.Time
}

// Done is what became of a request.
type Done struct {
	// Route, Decision and Target are those of its Note.
	Route, Decision, Target string
	// Status is what its client got, or StatusClientGone.
	Status int
	// Bytes is how long the body of the answer was, as far as it is known.
	Bytes int64
	// Took is from the header of the request to the end of the answer, Upstream the wait for
	// the upstream's header; zero is a request that went to none.
	Took, Upstream time.Duration
	// Stream says that it was upgraded or an event stream: Took is how long somebody stayed.
	Stream bool
}

// Serve is the outermost handler: it gives each request its Note, answers with
// X-Request-Id, turns a panic into a 500 page and writes one access line when
// the request is over. A connection that was upgraded is over when next returns.
//
// A request that has gone round through the gateway too often gets 508, and one over HTTP/2 whose
// lengths differ 400.
func Serve(next http.Handler, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Access == nil {
		o.Access = AccessBySlog(o.Log)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &server{next: next, Options: o}
}

type server struct {
	next http.Handler
	Options

	unknownNext atomic.Int64 // when a client that is not known is worth a warning again, in Unix nanoseconds
}

// unknownEvery is how often a trusted proxy whose header cannot be read is warned of:
// whoever sends requests through it must not fill the log.
const unknownEvery = time.Minute

func (s *server) clientUnknown(x *exchange, r *http.Request, err error) {
	level, next := slog.LevelDebug, s.unknownNext.Load()
	if x.start.UnixNano() >= next && s.unknownNext.CompareAndSwap(next, x.start.Add(unknownEvery).UnixNano()) {
		level = slog.LevelWarn
	}
	header := "X-Forwarded-For"
	if s.Forwarded {
		header = "Forwarded"
	}
	s.Log.LogAttrs(x.ctx, level, "a trusted proxy does not say who asks; its own address stands in the place of the client's, and rules by address refuse it",
		slog.String("event", "client.unknown"), slog.String("request_id", x.note.ID), slog.String("proxy", r.RemoteAddr),
		slog.String("header", header), slog.String("err", err.Error()))
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{start: s.Now(), ctx: r.Context(),
		method: clip(r.Method, 32), host: clip(r.Host, 255), path: clip(r.URL.EscapedPath(), 1024),
	}
	x.note, x.rec = &x.place.note, &x.place.rec
	var rounds int
	x.note.ID, rounds = newID(first(r.Header, "X-Request-Id"))
	x.note.asked, x.note.look = r, s.Look
	var err error
	if x.note.Client, x.note.Scheme, err = origin(r, s.TrustedProxies, s.Forwarded); err != nil {
		x.note.Unread = true
		s.clientUnknown(x, r, err)
	}
	*x.rec = recorder{ResponseWriter: w, ctx: r.Context(), note: x.note, head: r.Method == http.MethodHead, closing: s.Closing}
	if s.HSTS > 0 && x.note.Scheme == "https" { // over plain http browsers must not listen (RFC 6797 section 8.1)
		x.rec.hsts = "max-age=" + strconv.FormatInt(int64(s.HSTS/time.Second), 10)
	}
	ctx := WithNote(r.Context(), x.note)
	if s.Trace != nil {
		ctx = s.trace(ctx, x, r)
	}
	r = r.WithContext(ctx)
	x.note.body = watchBody(w, r, s.RequestTimeout)
	x.rec.body = x.note.body
	defer func() {
		raise := s.recovered(x, r, recover())
		if !x.rec.wrote && !x.rec.hijacked {
			x.rec.identify() // net/http writes the answer of a handler that was silent
		}
		x.traced()
		s.line(x)
		if raise {
			panic(http.ErrAbortHandler) // net/http cuts the connection, so that half an answer does not pass for a whole one
		}
	}()
	if rounds > maxRounds {
		Respond(x.rec, r, goesRound())
		return
	}
	if err := checkLength(r); err != nil {
		Respond(x.rec, r, err)
		return
	}
	s.next.ServeHTTP(x.rec, r)
}

// exchange is one request as the access line tells it. Method, host and path
// are those that came, whatever later handlers rewrite.
type exchange struct {
	start              time.Time
	note               *Note
	rec                *recorder
	ctx                context.Context // of the request as it came; it ends when the client goes
	method, host, path string

	place struct { // of note and rec: one allocation for all of it
		note Note
		rec  recorder
	}
}

// recovered deals with what a panic left. It reports whether the connection
// has to be cut.
func (s *server) recovered(x *exchange, r *http.Request, v any) bool {
	switch {
	case v == nil:
		return false
	case v == http.ErrAbortHandler: // a handler's own way to cut an answer short
		x.rec.aborted = true
		switch {
		case x.note.Ended.Load():
			x.note.Err = errors.New("its session ended")
		case x.note.Down.Load():
			x.note.Err = errors.New("the gateway goes down; streams come again")
		case x.note.Err == nil:
			x.note.Err = errors.New("the answer was cut short")
		}
		return true
	}
	s.Log.LogAttrs(x.ctx, slog.LevelError, "panic while serving a request",
		slog.String("request_id", x.note.ID), slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
	x.note.Err = errors.New("panic; its trace is in the log under this request id")
	if x.rec.wrote || x.rec.hijacked {
		x.rec.aborted = true
		return true
	}
	cause := x.note.Err
	Respond(x.rec, r, asError(cause))
	x.note.Err = cause
	return false
}

// line writes the access line. The query stays out of it: it may hold secrets.
func (s *server) line(x *exchange) {
	n := x.note
	status, gone := x.rec.outcome()
	now := s.Now()
	took := now.Sub(x.start)
	if s.Done != nil {
		s.Done(&Done{Route: n.Route, Decision: n.Decision, Target: n.Target, Status: status, Bytes: x.rec.bytes,
			Took: took, Upstream: n.Upstream, Stream: x.rec.isStream()})
	}
	level := slog.LevelInfo
	if !gone && (status >= 500 || x.rec.aborted && !n.Ended.Load() && !n.Down.Load()) {
		level = slog.LevelWarn
	}
	l := lines.Get().(*Line)
	*l = Line{At: now, Level: level, RequestID: n.ID, Client: n.Client, Method: x.method, Host: x.host, Path: x.path,
		TraceID: x.rec.trace.id(), Route: n.Route, Subject: n.Subject, Session: n.Session, Decision: n.Decision, Observed: n.Observed, Upstream: n.Target,
		Status: status, Bytes: x.rec.bytes, Took: took, Waited: n.Upstream}
	if !gone {
		l.Err = n.Err
	}
	s.Access.Access(l)
	*l = Line{} // it holds on to nothing of the request
	lines.Put(l)
}

// clip bounds what a stranger may write into the log.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
