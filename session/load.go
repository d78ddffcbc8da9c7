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
	inStore uint64    // the version that the store has: below number where it lost some
	now     time.Time // the store's
	entry   *entry

	shown *sight // or nil
}

// load reads the session that h names. The error is ErrNotFound, ErrSeal for a
// handle whose data key is not the session's, or an outage.
func (m *Manager) load(ctx context.Context, h handle) (loaded, error) {
	return m.read(ctx, h.session.Key(), h.key)
}

// read reads the session under key and opens it with dk. What it read may be old by
// the time it is looked at, and then it reads again.
func (m *Manager) read(ctx context.Context, key Key, dk DataKey) (l loaded, err error) {
	err = m.readInto(&l, ctx, key, dk)
	return l, err
}

// readInto is read for a session that has its place already: it is large, and copying it shows.
func (m *Manager) readInto(l *loaded, ctx context.Context, key Key, dk DataKey) error {
	for range maxTries {
		asked := m.cfg.Now()
		e := m.entries.find(key, asked)
		known := e.known()
		if known.deleted {
			return ErrDeleted // a copy at hand may still say otherwise
		}
		rec, err := m.cfg.Store.Get(ctx, key, max(known.number, known.atLeast))
		switch {
		case err == nil:
			if e == nil {
				e = m.entry(key)
			}
			err = m.openedBy(l, ctx, dk, e, &rec, asked, known.changes)
		case errors.Is(err, ErrNotFound):
			*l, err = m.absent(ctx, key, dk, err, asked)
		}
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrConflict
}

// opened is the session in a record that was asked for then, opened with dk or known
// already. The error is ErrConflict where the record was older than what the store has
// by now.
func (m *Manager) opened(ctx context.Context, dk DataKey, key Key, rec Record, asked time.Time) (l loaded, err error) {
	err = m.openedBy(&l, ctx, dk, m.entry(key), &rec, asked, 0)
	return l, err
}

// openedBy is opened for e, of which that many changes were known when the record was asked for.
func (m *Manager) openedBy(l *loaded, ctx context.Context, dk DataKey, e *entry, rec *Record, asked time.Time, changes uint64) error {
	l.inStore, l.now, l.entry, l.shown = rec.Version, rec.Now, e, nil
	answered := asked
	if !rec.AtHand {
		answered = m.cfg.Now()
	}
	if same := e.meet(&l.version, rec, changes, asked, answered); same {
		if subtle.ConstantTimeCompare(l.dk[:], dk[:]) != 1 {
			return ErrSeal
		}
		l.skew = rec.Now.Sub(answered)
		return nil
	}
	at := l.version
	s, err := openState(rec.Data, dk, e.key, rec.Version)
	if err != nil {
		return err
	}
	l.version = version{number: rec.Version, mark: markOf(rec.Data), dk: dk, state: &s, skew: rec.Now.Sub(answered)}
	if at.state != nil && at.dk == dk && at.ahead(&l.version) {
		*l, err = m.putBack(ctx, *l, at)
		return err
	}
	e.learn(l.version)
	e.confirmed(asked, answered)
	return nil
}

// meet notes what a record that was read says of the session: that it had changed so often by
// then and, where it is the one that is known, that the store had it when it was asked, as in
// confirmed. It puts what is known into at, and reports whether that is this record.
func (e *entry) meet(at *version, rec *Record, changes uint64, asked, answered time.Time) (same bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked = max(e.looked, changes)
	if same = e.at.state != nil && e.at.number == rec.Version && e.at.mark == markOf(rec.Data); same {
		e.confirmedLocked(asked, answered)
	}
	*at = e.at
	return same
}

// learn keeps v if it is newer than what is known, and tells attended streams.
func (e *entry) learn(v version) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at.state != nil && (v.number < e.at.number || v.number == e.at.number && v.mark == e.at.mark) {
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
	rec := Record{Version: number, Expires: m.expires(&next), Tags: m.tags(&next.Login), Meta: next.meta(m.cfg.Ring, l.entry.key, m.endsUnused(&next)), Data: data}
	asked := m.cfg.Now()
	if err := m.cfg.Store.Put(ctx, l.entry.key, l.inStore, rec); err != nil {
		if errors.Is(err, ErrConflict) {
			l.entry.overtaken(l.inStore)
		}
		return loaded{}, err
	}
	l.number, l.inStore, l.mark, l.state = number, number, markOf(data), &next
	l.entry.learn(l.version)
	l.entry.confirmed(asked, m.cfg.Now())
	return l, nil
}

// overtaken notes that the store has something newer than stored: a copy at
// hand that says otherwise is old.
func (e *entry) overtaken(stored uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.atLeast = max(e.atLeast, stored+1)
}

// known is what a process knows of a session's record besides the record.
type known struct {
	number  uint64 // of the version that is known
	changes uint64 // how often it is known to have changed
	atLeast uint64 // the store has had a version as high
	deleted bool   // it was deleted by us, or we were told so
	// answered is when the store last said that it had the record.
	answered time.Time
}

// peek is what is known here of a session, without asking the store.
func (m *Manager) peek(key Key) (version, known) {
	e := m.lookup(key)
	if e == nil {
		return version{}, known{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at, e.knownLocked()
}

// known is what is known besides the record; nothing of the nil entry.
func (e *entry) known() known {
	if e == nil {
		return known{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.knownLocked()
}

// knownLocked is known where mu is held.
func (e *entry) knownLocked() known {
	return known{number: e.at.number, changes: e.changes, atLeast: e.atLeast, deleted: e.deleted, answered: e.answered}
}

// gone marks a session as ended that the store does not have any more, and
// remembers for a while why: its person will ask, and a copy at hand may be old.
func (m *Manager) gone(key Key, reason string, deleted bool) {
	e := m.lookup(key)
	if e == nil && deleted {
		e = m.entry(key)
	}
	if e != nil {
		e.end(reason, deleted)
	}
	m.ended.Store(true)
}

// why says why the session ended, or "".
func (e *entry) why() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ended
}

// endTold notes whether the end was told of, and reports whether that is another than before:
// all requests and streams of a session find out at the same moment, and one of them tells.
func (e *entry) endTold(told bool) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed = e.told != told
	e.told = told
	return changed
}

// revoke ends a session for good. When it returns nil, nothing brings it back:
// a renewal in flight finds no record to write to.
func (m *Manager) revoke(ctx context.Context, key Key, reason string) error {
	if err := m.cfg.Store.Delete(ctx, key); err != nil {
		return err
	}
	at, _ := m.peek(key)
	m.gone(key, reason, true)
	if ended := m.set().Ended; ended != nil {
		m.part(ctx, key, at.dk, ended)
	}
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
	case !l.now.Before(l.lastSeen(m).Add(m.set().IdleTimeout)):
		return auth.Idle
	}
	return ""
}
