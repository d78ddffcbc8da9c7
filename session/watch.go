package session

import "context"

// An entry hears of what other processes do with its session: at once where it has
// live connections, and from a store that others share for as long as it is kept in
// memory. A session that somebody else has changed is not served from memory while
// the store is away: it may have been revoked.

// watch begins to hear, unless it does already.
func (e *entry) watch(store Store) {
	e.mu.Lock()
	watched := e.unwatch != nil
	if !watched {
		e.unwatch = func() {} // one of us is at it
	}
	e.mu.Unlock()
	if watched {
		return
	}
	stop := store.Watch(e.key, func(changed bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.unsure = true
		if changed {
			e.changes++
		}
		e.wakeLocked()
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unwatch = stop
}

// takeUnsure reports whether the store may know something newer, and takes note that
// it is looked at now.
func (e *entry) takeUnsure() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	unsure := e.unsure
	e.unsure = false
	return unsure
}

// stale reports whether it has changed since. mu is held.
func (e *entry) stale() bool { return e.looked != e.changes }

// lookAgain reads what others have changed, while the store is there.
func (m *Manager) lookAgain(ctx context.Context) {
	for _, e := range m.entries.snapshot() {
		e.mu.Lock()
		again := e.at.state != nil && e.ended == "" && e.stale()
		e.mu.Unlock()
		if again && ctx.Err() == nil {
			m.reload(ctx, e)
		}
	}
}

// shared reports whether other processes use the store too, as far as its kind tells.
func (m *Manager) shared() bool { return m.cfg.Store.Epoch() != 0 }
