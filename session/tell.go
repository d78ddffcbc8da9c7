package session

import (
	"context"
	"errors"
	"log/slog"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// about begins the event of a session.
func about(name event.Name, key Key, id *auth.Identity) event.Event {
	return event.Event{Name: name, Session: key.Name(), User: id.User, Provider: id.Provider, Subject: id.Subject}
}

// because is e with a reason.
func because(e event.Event, reason string, err error) event.Event {
	e.Reason, e.Err = reason, err
	return e
}

func (m *Manager) tell(ctx context.Context, level slog.Level, msg string, e event.Event, more ...slog.Attr) {
	event.Tell(ctx, m.cfg.Log, m.cfg.Heard, level, msg, e, more...)
}

func (s *Stateless) tell(ctx context.Context, level slog.Level, msg string, e event.Event, more ...slog.Attr) {
	event.Tell(ctx, s.cfg.Log, s.cfg.Heard, level, msg, e, more...)
}

// withdrawal is the reason why a session is not good any more.
func withdrawal(err error) string {
	if errors.Is(err, errNoMethod) {
		return event.ProviderGone
	}
	if no, ok := errors.AsType[*auth.Refused](err); ok && no.Event != "" {
		return no.Event
	}
	return event.UserWithdrawn
}

// refusal is the reason why a renewal ends a session.
func refusal(no *auth.Refused) string {
	if no.Event != "" {
		return no.Event
	}
	return event.GrantRefused
}

// timeOver is the event's word for an end that auth.Absent gives, or "" where nobody has to
// be told.
func timeOver(reason string) string {
	switch reason {
	case auth.Idle:
		return event.IdleTooLong
	case auth.Over:
		return event.LifetimeOver
	}
	return ""
}

// failure is the reason of a renewal that did not work.
func failure(err error) string {
	if _, away := errors.AsType[*auth.Unavailable](err); away {
		return event.RenewalUnavailable
	}
	return event.RenewalUnclear
}
