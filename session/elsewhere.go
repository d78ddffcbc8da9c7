package session

import (
	"errors"
	"time"

	"github.com/evergate/evergate/auth"
)

// arrivalTime is how long a gateway that does not know whom a session is of takes
// itself for the one that is behind.
const arrivalTime = time.Minute

// knownElsewhere is the answer where this gateway alone has no good of a session that
// it shares with others: its users file may be older than theirs. For a while that is
// an outage, and then nobody whom it knows; but the session is not its to end. Nil
// means that err is about the session itself, or nil.
func (m *Manager) knownElsewhere(e *entry, err error) error {
	if away, ok := errors.AsType[*auth.Unavailable](err); ok {
		return away // it is no word about anybody
	}
	refused, ok := errors.AsType[*auth.Refused](err)
	if !ok || !refused.Here || !m.shared() {
		if e.missed.Load() != 0 {
			e.missed.Store(0)
		}
		return nil
	}
	now := m.cfg.Now()
	if e.missed.CompareAndSwap(0, now.UnixNano()) {
		m.cfg.Log.Warn("a session is of somebody whom this gateway does not know; it ends none that other gateways may serve",
			"event", "session.unknown_here", "session", e.key.Name(), "err", err)
	}
	if left := arrivalTime - now.Sub(time.Unix(0, e.missed.Load())); left > 0 {
		return &auth.Unavailable{What: "what this gateway knows of your account", RetryAfter: min(left, 5*time.Second), Err: err}
	}
	return &auth.Absent{Reason: auth.Withdrawn}
}
