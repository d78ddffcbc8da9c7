package session

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/evergate/evergate/auth"
)

// loaded is a session as one request sees it.
type loaded struct {
	version
	now   time.Time // the store's
	entry *entry
}

// load reads the session that h names. The error is ErrNotFound, ErrSeal for a
// handle whose data key is not the session's, or an outage.
func (m *Manager) load(ctx context.Context, h handle) (loaded, error) {
	key := h.session.Key()
	rec, err := m.cfg.Store.Get(ctx, key, 0)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			m.gone(key, auth.Ended)
		}
		return loaded{}, err
	}
	e := m.entry(key)
	e.mu.Lock()
	at := e.at
	e.mu.Unlock()
	if at.state != nil && at.number == rec.Version {
		if subtle.ConstantTimeCompare(at.dk[:], h.key[:]) != 1 {
			return loaded{}, ErrSeal
		}
		at.skew = rec.Now.Sub(m.cfg.Now())
		return loaded{version: at, now: rec.Now, entry: e}, nil
	}
	s, err := openState(rec.Data, h.key, key, rec.Version)
	if err != nil {
		return loaded{}, err
	}
	l := loaded{now: rec.Now, entry: e, version: version{
		number: rec.Version, dk: h.key, state: &s, skew: rec.Now.Sub(m.cfg.Now())}}
	e.learn(l.version)
	return l, nil
}

// learn keeps v if it is newer than what is known, and tells attended streams.
func (e *entry) learn(v version) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at.state != nil && v.number <= e.at.number {
		return
	}
	e.at = v
	if e.seen.Before(v.state.Seen) {
		e.seen = v.state.Seen
	}
	e.wakeLocked()
}

// save writes next as the successor of l and returns the session as it is
// then. The error is ErrConflict, or an outage.
func (m *Manager) save(ctx context.Context, l loaded, next state) (loaded, error) {
	number := l.number + 1
	data, err := next.seal(l.dk, l.entry.key, number)
	if err != nil {
		return loaded{}, err
	}
	rec := Record{Version: number, Expires: m.expires(&next), Tags: m.tags(&next.Login), Data: data}
	if err := m.cfg.Store.Put(ctx, l.entry.key, l.number, rec); err != nil {
		return loaded{}, err
	}
	l.number, l.state = number, &next
	l.entry.learn(l.version)
	return l, nil
}

// gone forgets a session that the store no longer has. Where its person did not
// end it themselves the reason is kept for a while: they will ask.
func (m *Manager) gone(key Key, reason string) {
	m.mu.Lock()
	e := m.entries[key]
	if e == nil && reason == auth.Elsewhere {
		e = newEntry(key)
		e.touched = m.cfg.Now()
		m.entries[key] = e
	}
	if reason != auth.Elsewhere && (e == nil || e.why() != auth.Elsewhere) {
		delete(m.entries, key)
	}
	m.mu.Unlock()
	if e != nil {
		e.end(reason)
	}
}

// why says why the session ended, or "".
func (e *entry) why() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// revoke ends a session for good. When it returns nil, nothing brings it back:
// a renewal in flight finds no record to write to.
func (m *Manager) revoke(ctx context.Context, key Key, reason string) error {
	if err := m.cfg.Store.Delete(ctx, key); err != nil {
		return err
	}
	m.gone(key, reason)
	return nil
}

// lastSeen is the last use as far as it is known here.
func (l *loaded) lastSeen(m *Manager) time.Time {
	l.entry.mu.Lock()
	defer l.entry.mu.Unlock()
	if l.entry.seen.After(l.state.Seen) {
		return l.entry.seen
	}
	return l.state.Seen.Add(m.seenEvery()) // it may have been used since, unwritten
}

// over says why the session has reached its end, or "".
func (m *Manager) over(l *loaded) string {
	switch {
	case !l.now.Before(m.ends(l.state)):
		if l.state.Retired {
			return auth.Ended
		}
		return auth.Over
	case !l.now.Before(l.lastSeen(m).Add(m.cfg.IdleTimeout)):
		return auth.Idle
	}
	return ""
}
