// Package event is what happens in a gateway that somebody may want to know of afterwards:
// who signed in, whom a provider refused, which session was revoked and by whom. A part tells
// of an event once; the log, the audit log, the metrics, the dashboard and the account page
// are listeners.
package event

import (
	"context"
	"log/slog"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// Event is one thing that happened. It is a value: nobody edits it after Tell. What does not
// apply is the zero value. There is no token, cookie, code or password in it, ever.
type Event struct {
	// Name says what happened; its Kind is in the catalogue.
	Name Name
	// At is when; Tell sets it where it is zero.
	At time.Time

	// Session names the session; it opens nothing.
	Session string
	// User is whom it is about, as rules name them; Provider and Subject are the same for
	// programs. A name that somebody typed and that nobody has is not here: it may be a
	// password in the wrong field.
	User, Provider, Subject string
	// Reason is one of a small set of words, such as "idle" or "throttled".
	Reason string
	// Resource is what a token was for (RFC 8707), "" for none in particular.
	Resource string
	// Part is which part of the gateway it is about, such as an upstream's name.
	Part string
	// Actor is who did it to somebody else: a user, or "token" for the operator's.
	Actor string
	// Before and Now are what a risk signal is about, such as browsers or networks, and Action
	// is what was done about it: "log", "step_up" or "revoke".
	Before, Now, Action string
	// Changed are keys of the config.
	Changed []string
	// Count is how many were concerned.
	Count int
	// Took is how long somebody else was waited for.
	Took time.Duration
	// Err is the cause, in words that are fit for a log.
	Err error

	// Origin is the request that it came of; Tell fills it in.
	Origin Origin
}

// Origin is a request as the audit log tells it.
type Origin struct {
	// RequestID finds its access line.
	RequestID string
	// Client is the address of the browser, "" where it is not known.
	Client string
	// Agent is its User-Agent header, Host its Host header, both cut to what a log bears.
	Agent, Host string
}

// Func hears of events. It returns at once, and is safe for concurrent use.
type Func func(ctx context.Context, e Event)

// Tell writes the line of an event to log and tells hear, either of which may be nil. More
// are further attributes for the log alone.
func Tell(ctx context.Context, log *slog.Logger, hear Func, level slog.Level, msg string, e Event, more ...slog.Attr) {
	if log != nil && log.Enabled(ctx, level) {
		log.LogAttrs(ctx, level, msg, append(e.attrs(), more...)...)
	}
	if hear == nil {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if e.Origin == (Origin{}) {
		e.Origin = originOf(ctx)
	}
	hear(ctx, e)
}

// attrs are those of the log line. The request's access line has the rest.
func (e *Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("event", string(e.Name)))
	for _, a := range []struct{ key, value string }{
		{"session", e.Session}, {"subject", e.User}, {"provider", e.Provider}, {"reason", e.Reason},
		{"resource", e.Resource}, {"part", e.Part}, {"actor", e.Actor}, {"before", e.Before}, {"now", e.Now}, {"action", e.Action},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	if e.Count != 0 {
		attrs = append(attrs, slog.Int("count", e.Count))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	return attrs
}

func originOf(ctx context.Context) (o Origin) {
	n := web.NoteIn(ctx)
	if n == nil {
		return o // something that no request is waiting for, such as a renewal
	}
	o.RequestID = n.ID
	if n.Client.IsValid() {
		o.Client = n.Client.String()
	}
	o.Host, o.Agent = n.Asked()
	return o
}

// Hub tells several listeners, in their order. The zero value tells nobody.
type Hub struct{ all []Func }

// NewHub returns a Hub of these listeners; nil ones are left out.
func NewHub(all ...Func) *Hub {
	h := &Hub{}
	for _, f := range all {
		if f != nil {
			h.all = append(h.all, f)
		}
	}
	return h
}

// Hear is a Func.
func (h *Hub) Hear(ctx context.Context, e Event) {
	for _, f := range h.all {
		f(ctx, e)
	}
}
