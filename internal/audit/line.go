// Package audit writes what happened in a gateway to where it can be held against somebody:
// one JSON line an event, to a file, to stdout or to syslog. The names of its fields are
// stable, and docs/reference/audit.md is made of the catalogue that they come from.
package audit

import (
	"encoding/json"
	"strconv"

	"github.com/evergate/evergate/internal/event"
)

// Field is one that a line may have.
type Field struct {
	// Name is its key, Type that of its value in JSON, Says its meaning.
	Name, Type, Says string
	// of is its value as JSON, or nil where there is nothing to say.
	of func(e *event.Event) []byte
}

// Fields are all that there are, in the order of a line.
var Fields = []Field{
	{"time", "string", "When it happened: RFC 3339, UTC, with milliseconds.", func(e *event.Event) []byte {
		return text(e.At.UTC().Format("2006-01-02T15:04:05.000Z"))
	}},
	{"event", "string", "What happened: one of the names above.", func(e *event.Event) []byte { return text(string(e.Name)) }},
	{"user", "string", "Whom it is about, as rules name them.", func(e *event.Event) []byte { return text(e.User) }},
	{"provider", "string", "The way of signing in: the name of a provider, or `local`.", func(e *event.Event) []byte { return text(e.Provider) }},
	{"subject", "string", "The person as their provider knows them (`sub`).", func(e *event.Event) []byte { return text(e.Subject) }},
	{"session", "string", "The session, as in access lines and in `evergate session list`. It opens nothing.", func(e *event.Event) []byte { return text(e.Session) }},
	{"reason", "string", "Why: one of the words of the event.", func(e *event.Event) []byte { return text(e.Reason) }},
	{"resource", "string", "What a token was for (RFC 8707), where that was something in particular.", func(e *event.Event) []byte { return text(e.Resource) }},
	{"part", "string", "The part of the gateway that it is about.", func(e *event.Event) []byte { return text(e.Part) }},
	{"actor", "string", "Who did it to somebody else: a user, or `token` for whoever had the operator's token.", func(e *event.Event) []byte { return text(e.Actor) }},
	{"before", "string", "What a risk signal compares with: browsers or a network, in words.", func(e *event.Event) []byte { return text(e.Before) }},
	{"now", "string", "What there is in its place.", func(e *event.Event) []byte { return text(e.Now) }},
	{"action", "string", "What was done about it: `log` is nothing else, `step_up` asks for a fresh sign-in, `revoke` ends the session.", func(e *event.Event) []byte { return text(e.Action) }},
	{"changed", "array of strings", "The keys of the config that are another than before.", func(e *event.Event) []byte {
		if len(e.Changed) == 0 {
			return nil
		}
		b, _ := json.Marshal(e.Changed) // strings can be marshaled
		return b
	}},
	{"count", "number", "How many were concerned.", func(e *event.Event) []byte { return number(int64(e.Count)) }},
	{"took_ms", "number", "How long somebody else was waited for, in milliseconds.", func(e *event.Event) []byte { return number(e.Took.Milliseconds()) }},
	{"detail", "string", "What was wrong, in words that may change.", func(e *event.Event) []byte {
		if e.Err == nil {
			return nil
		}
		return text(clip(e.Err.Error()))
	}},
	{"client", "string", "The address of the browser, as trusted_proxies tell it.", func(e *event.Event) []byte { return text(e.Origin.Client) }},
	{"user_agent", "string", "Its User-Agent header, 256 bytes of it.", func(e *event.Event) []byte { return text(e.Origin.Agent) }},
	{"host", "string", "The host that it asked.", func(e *event.Event) []byte { return text(e.Origin.Host) }},
	{"request_id", "string", "Finds the access line of the request.", func(e *event.Event) []byte { return text(e.Origin.RequestID) }},
}

// Common are the names of the fields that every event may have.
var Common = []string{"time", "event", "client", "user_agent", "host", "request_id"}

var common = set(Common)

// maxDetail bounds what an error may write into a line.
const maxDetail = 1 << 10

func clip(s string) string { return s[:min(len(s), maxDetail)] }

// Line is an event as a line, with its end: the common fields and those that the catalogue
// gives it, as far as there is something to say.
func Line(e *event.Event) []byte {
	kind := event.KindOf(e.Name)
	if kind == nil {
		return nil
	}
	own := set(kind.Fields)
	line := []byte{'{'}
	for i := range Fields {
		f := &Fields[i]
		if !common[f.Name] && !own[f.Name] {
			continue
		}
		if value := f.of(e); value != nil {
			if len(line) > 1 {
				line = append(line, ',')
			}
			line = append(append(append(line, '"'), f.Name...), '"', ':')
			line = append(line, value...)
		}
	}
	return append(line, '}', '\n')
}

func text(s string) []byte {
	if s == "" {
		return nil
	}
	b, _ := json.Marshal(s) // every string can be marshaled
	return b
}

func number(n int64) []byte {
	if n == 0 {
		return nil
	}
	return strconv.AppendInt(nil, n, 10)
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
