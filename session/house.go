package session

import (
	"context"
	"errors"
	"time"
)

const (
	houseEvery = time.Second      // how often what could not be stored is tried again
	forgetIdle = 10 * time.Minute // how long an entry that nobody uses is kept in memory
)

// keepHouse writes the idle clocks behind, tries again to store renewed tokens
// that could not be, and forgets entries that nobody uses.
func (m *Manager) keepHouse() {
	tick := time.NewTicker(m.cfg.houseEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
			m.tidy()
		}
	}
}

func (m *Manager) tidy() {
	ctx, cancel := context.WithTimeout(m.ctx, storeTimeout)
	defer cancel()
	m.heal(ctx)
	m.lookAgain(ctx)
	m.writeBehind(ctx, m.seenEvery()/2)
	m.forget()
}

// writeBehind stores what entries know beyond their records: a last use that
// is newer by more than coarse, which can wait, and tokens that are not saved yet.
func (m *Manager) writeBehind(ctx context.Context, coarse time.Duration) {
	calm := m.unrest() > 0
	for _, e := range m.entries.snapshot() {
		e.mu.Lock()
		due := e.at.state != nil && e.ended == "" && !e.at.state.Retired &&
			(e.unsaved != nil || !calm && e.seen.Sub(e.at.state.Seen) > coarse)
		e.mu.Unlock()
		if due && ctx.Err() == nil {
			m.writeEntry(ctx, e)
		}
	}
}

func (m *Manager) writeEntry(ctx context.Context, e *entry) {
	for range maxTries {
		e.mu.Lock()
		l, seen, unsaved := loaded{version: e.at, inStore: e.at.number, entry: e}, e.seen, e.unsaved
		if e.flight != nil {
			unsaved = nil // a renewal is about to store something newer
		}
		e.mu.Unlock()
		next := *l.state
		next.Seen = later(seen, next.Seen)
		if unsaved != nil && !unsaved.follows(&next.Login) {
			// Another process has renewed, or the write had gone through after all.
			e.dropUnsaved(unsaved)
			unsaved = nil
		}
		if unsaved != nil {
			next.Login = unsaved.storedLogin
			next.Renewals++
		}
		_, err := m.save(ctx, l, next)
		if err == nil {
			e.dropUnsaved(unsaved)
			return
		}
		if !errors.Is(err, ErrConflict) || !m.reload(ctx, e) {
			return
		}
	}
}

// dropUnsaved forgets a login that needs no storing any more.
func (e *entry) dropUnsaved(unsaved *unsavedLogin) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.unsaved == unsaved {
		e.unsaved = nil
	}
}

// reload reads an entry's record again with the data key at hand.
func (m *Manager) reload(ctx context.Context, e *entry) bool {
	e.mu.Lock()
	dk := e.at.dk
	e.mu.Unlock()
	_, err := m.read(ctx, e.key, dk)
	return err == nil
}

// adopt returns the entry of a session for a request that outlived its own: an upload
// may take longer than an entry that nobody uses is kept.
func (m *Manager) adopt(e *entry) *entry {
	cur := m.entries.adopt(e, m.cfg.Now())
	if cur != e {
		e.mu.Lock()
		at := e.at
		e.mu.Unlock()
		cur.learn(at)
	}
	return cur
}

// forget drops entries that nothing here needs: the store has the session.
func (m *Manager) forget() {
	dropped, unwatch := m.entries.forget(m.cfg.Now().Add(-forgetIdle))
	for _, stop := range unwatch {
		stop()
	}
	if m.ended.Swap(false) || dropped > 0 {
		m.handles.drop(func(o opened) bool { return !m.entries.lives(o.key) })
	}
}
