package session

import (
	"context"
	"errors"
	"time"

	"github.com/evergate/evergate/auth"
)

// A store may lose what it acknowledged last: a replica takes over that had not
// heard of it, an append-only file is cut short. The processes that use the
// store remember more, and put it back: at the next request, or within a second
// of the store's return. Until then nobody renews, since the refresh token that
// the store has may be a spent one, and nobody settles, rotates or delivers, since
// that would begin another branch of the session's history.

const (
	// calmTime is for how long nobody renews or rotates after the store was out of reach.
	calmTime = 2 * time.Second
	// trustTime is for how long what a process knows of a record is good for
	// putting it back where the store has none. It is shorter than a store that
	// can lose records remembers deletions.
	trustTime = 30 * time.Minute
)

// errUnrest is the answer about a session that is known neither here nor to a store
// that was out of reach: another process may know it, and put it back.
var errUnrest = errors.New("it was out of reach a moment ago and may have lost this session; whoever knows it puts it back")

// ahead reports whether v may hold what o lacks: it is newer, or of another branch.
func (v *version) ahead(o *version) bool {
	return v.number > o.number || v.number == o.number && v.mark != o.mark || v.state.Renewals > o.state.Renewals
}

// putBack writes what is known here and the store has lost. L is what it has: where
// that is not so any more, the error is ErrConflict.
func (m *Manager) putBack(ctx context.Context, l loaded, at version) (loaded, error) {
	next := l.state.merged(at.state)
	l.number = max(l.number, at.number)
	saved, err := m.save(ctx, l, next)
	if err == nil {
		m.cfg.Log.InfoContext(ctx, "the store had lost the last writes of a session; they are put back", "event", "session.restored",
			"session", l.entry.key.Name(), "stored", l.inStore, "known", at.number)
	}
	return saved, err
}

// absent is the answer where the store, asked then, has no record: the session has
// ended, or the store has lost it. The error is ErrConflict where it has one by now.
func (m *Manager) absent(ctx context.Context, key Key, dk DataKey, cause error, asked time.Time) (loaded, error) {
	at, known := m.peek(key)
	deleted := errors.Is(cause, ErrDeleted)
	switch {
	case !deleted && !known.answered.Before(asked):
		return loaded{}, ErrConflict // somebody has put it back meanwhile
	case !deleted && at.state == nil && m.unrest() > 0:
		return loaded{}, errUnrest
	case deleted || at.state == nil || at.dk != dk || !m.mayBeLost(key):
		m.gone(key, auth.Ended, deleted)
		return loaded{}, cause
	}
	now, err := m.cfg.Store.Now(ctx)
	if err != nil {
		return loaded{}, err
	}
	l := loaded{version: at, now: now, entry: m.entry(key)}
	if m.over(&l) != "" {
		m.gone(key, auth.Ended, false)
		return loaded{}, cause
	}
	return m.putBack(ctx, l, at)
}

// mayBeLost reports whether the store was out of reach since it last had the
// session, and that was lately.
func (m *Manager) mayBeLost(key Key) bool {
	m.unrest()
	e := m.lookup(key)
	m.mu.Lock()
	since := m.since
	m.mu.Unlock()
	if e == nil || m.cfg.Store.Epoch() == 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended == "" && e.checked.Before(since) && m.cfg.Now().Sub(e.checked) < trustTime
}

// confirmed notes that the store had what is known of the session when it was asked:
// by the time of its answer it may be another store, that has lost it.
func (e *entry) confirmed(asked, answered time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.confirmedLocked(asked, answered)
}

// confirmedLocked is confirmed where mu is held. Of two that look at once the later word counts.
func (e *entry) confirmedLocked(asked, answered time.Time) {
	e.checked, e.answered = later(asked, e.checked), later(answered, e.answered)
}

// unrest returns for how much longer nobody should renew or rotate.
func (m *Manager) unrest() time.Duration {
	epoch, now := m.cfg.Store.Epoch(), m.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch != m.epoch {
		m.epoch, m.since = epoch, now
	}
	if m.since.IsZero() {
		return 0
	}
	return max(0, min(calmTime, calmTime-now.Sub(m.since)))
}

// heal puts back what the store may have lost, after it was out of reach.
func (m *Manager) heal(ctx context.Context) {
	m.unrest()
	m.mu.Lock()
	epoch := m.epoch
	done := epoch == m.healed
	m.mu.Unlock()
	if done {
		return
	}
	for _, e := range m.entries.snapshot() {
		if err := m.healOne(ctx, e); err != nil {
			return // it is out of reach again: the next tick goes on
		}
	}
	m.mu.Lock()
	m.healed = epoch
	m.mu.Unlock()
}

func (m *Manager) healOne(ctx context.Context, e *entry) error {
	e.mu.Lock()
	deleted, known, dk := e.deleted, e.at.state != nil, e.at.dk
	e.mu.Unlock()
	switch {
	case deleted:
		return m.cfg.Store.Delete(ctx, e.key)
	case !known:
		return nil
	}
	_, err := m.read(ctx, e.key, dk)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrSeal) || errors.Is(err, ErrConflict) {
		return nil // that one is settled, or another process is at it
	}
	return err
}
