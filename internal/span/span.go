// Package span is what the parts of the gateway say of their work to whoever traces it.
// They begin a span where the context of a request has one, and know nothing of where it
// goes: internal/tracing does. Without one there is nothing to begin, which costs a look
// into the context and no memory.
package span

import (
	"context"
	"net/http"
	"strconv"
)

// Kind is where a span stands between programs. The numbers are those of OTLP.
type Kind int

const (
	// Internal is work within the gateway.
	Internal Kind = 1
	// Server is a request that is answered.
	Server Kind = 2
	// Client is a question to another program.
	Client Kind = 3
)

// Recorder is a span that somebody may record. Several goroutines may use it, also after
// its End, from when on it says nothing any more.
type Recorder interface {
	// Child begins a span under this one; nil is one that nobody records.
	Child(kind Kind, name string) Recorder
	// Recorded reports whether it goes anywhere.
	Recorded() bool
	Rename(name string)
	Text(key Key, value string)
	Int(key Key, value int)
	Flag(key Key, value bool)
	// Fail says that it failed, and of what kind the failure is.
	Fail(kind string)
	// Link says that it has to do with a span that it does not come from.
	Link(to Recorder)
	// Place is where it stands, as the headers traceparent and tracestate have it (W3C
	// Trace Context section 3).
	Place() (traceparent, tracestate string)
	// TraceID names the trace, in hex.
	TraceID() string
	End()
}

// Tracer begins the span of a request that comes in.
type Tracer interface {
	// Begin returns it. H is the header that the request came with, and trusted says that
	// it came from a proxy that is believed.
	Begin(h http.Header, trusted bool) Span
}

// Span is a piece of work. The zero Span is one that nobody wants to know of.
type Span struct{ rec Recorder }

// Of returns what a Recorder records; nil is nobody.
func Of(rec Recorder) Span { return Span{rec} }

type key struct{}

// From returns the span that the work of ctx is a part of.
func From(ctx context.Context) Span {
	rec, _ := ctx.Value(key{}).(Recorder)
	return Span{rec}
}

// Onto returns base with the span s, for work that outlives what it began in.
func Onto(base context.Context, s Span) context.Context {
	if s.rec == nil {
		return base
	}
	return context.WithValue(base, key{}, s.rec)
}

// Start begins a part of the work of ctx. Where nobody records that, ctx comes back as it
// is and the zero Span with it.
func Start(ctx context.Context, kind Kind, name string) (context.Context, Span) {
	within := From(ctx)
	if within.rec == nil {
		return ctx, Span{}
	}
	rec := within.rec.Child(kind, name)
	if rec == nil {
		return ctx, Span{}
	}
	s := Span{rec}
	return Onto(ctx, s), s
}

// IsZero reports whether there is no trace that the work belongs to.
func (s Span) IsZero() bool { return s.rec == nil }

// Recorded reports whether the span goes anywhere. One that does not may still have a
// place in a trace, which goes on to the next program.
func (s Span) Recorded() bool { return s.rec != nil && s.rec.Recorded() }

// Rename gives the span another name.
func (s Span) Rename(name string) {
	if s.rec != nil {
		s.rec.Rename(name)
	}
}

// Text says something of the span.
func (s Span) Text(key Key, value string) {
	if s.rec != nil && value != "" {
		s.rec.Text(key, value)
	}
}

// Int says a number.
func (s Span) Int(key Key, value int) {
	if s.rec != nil {
		s.rec.Int(key, value)
	}
}

// Flag says that something is so.
func (s Span) Flag(key Key) {
	if s.rec != nil {
		s.rec.Flag(key, true)
	}
}

// Fail says that the work failed, by what kind of failure: a word of a small set, and
// nothing that a stranger or a secret could be in.
func (s Span) Fail(kind string) {
	if s.rec != nil {
		s.rec.Fail(kind)
	}
}

// Answer says what became of a question by HTTP: the status of the answer, or why there is
// none. A status of 400 and more is a failure.
func (s Span) Answer(status int, err error) {
	if err != nil {
		s.Fail(Cause(err))
		return
	}
	s.Int(HTTPStatus, status)
	if status >= 400 {
		s.Fail(strconv.Itoa(status))
	}
}

// Link says that the span has to do with another one.
func (s Span) Link(to Span) {
	if s.rec != nil && to.rec != nil {
		s.rec.Link(to.rec)
	}
}

// Place is what the next program is told: see [Recorder.Place]. It is "" for the zero Span.
func (s Span) Place() (traceparent, tracestate string) {
	if s.rec == nil {
		return "", ""
	}
	return s.rec.Place()
}

// TraceID names the trace, or is "".
func (s Span) TraceID() string {
	if s.rec == nil {
		return ""
	}
	return s.rec.TraceID()
}

// End ends it.
func (s Span) End() {
	if s.rec != nil {
		s.rec.End()
	}
}
