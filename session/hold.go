package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
)

// hold is the right to renew one session: a lease that a goroutine extends
// until release.
type hold struct {
	m      *Manager
	key    Key
	holder Holder
	stop   chan struct{}
	done   sync.WaitGroup
}

// errUnsettled reports a store that is out of reach again and again.
var errUnsettled = errors.New("it was out of reach again a moment ago")

// hold gets the lease on the session of e, waiting for whoever has it. The
// session it returns is what the store had under the lease. The hold is nil
// where need says that there is nothing left to do.
func (m *Manager) hold(ctx context.Context, e *entry, h handle, need func(*loaded) bool) (*hold, loaded, error) {
	holder := newHolder()
	changed := make(chan struct{}, 1)
	stop := m.cfg.Store.Watch(e.key, func(bool) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for waited := false; ; {
		// Who remembers more than the store puts it back first, and who had the lease
		// takes it back.
		if calm := m.unrest(); calm > 0 {
			if waited { // it comes and goes, and people wait for us
				return nil, loaded{}, errUnsettled
			}
			waited = true
			if err := wait(ctx, nil, calm); err != nil {
				return nil, loaded{}, err
			}
			continue
		}
		asked := m.cfg.Now()
		leased, err := m.cfg.Store.Lease(ctx, e.key, holder, m.set().Lease)
		if other, ok := errors.AsType[*HeldError](err); ok {
			if err := wait(ctx, changed, other.Left); err != nil {
				return nil, loaded{}, err
			}
			// Whoever had it may have done what was needed.
			if l, err := m.load(ctx, h); err != nil || !need(&l) {
				return nil, l, err
			}
			continue
		}
		if err != nil {
			return nil, loaded{}, err
		}
		l, err := m.opened(ctx, h.key, e.key, leased.Record, asked)
		if errors.Is(err, ErrConflict) {
			continue // somebody has written since, and the lease is extended
		}
		if err != nil || !need(&l) {
			m.release(e.key, holder)
			return nil, l, err
		}
		if m.unrest() > 0 { // the store was away until this very moment
			m.release(e.key, holder)
			continue
		}
		held := &hold{m: m, key: e.key, holder: holder, stop: make(chan struct{})}
		held.done.Go(held.keep)
		return held, l, nil
	}
}

// lookEvery is how often a holder looks whether the store was out of reach.
const lookEvery = 250 * time.Millisecond

// keep extends the lease, and takes it back from a store that has lost it before
// anybody else may renew. Where it is lost all the same, the renewal goes on: its answer
// is stored by compare and set.
func (h *hold) keep() {
	tick, look := time.NewTicker(h.m.set().Lease/3), time.NewTicker(lookEvery)
	defer tick.Stop()
	defer look.Stop()
	epoch, failed := h.m.cfg.Store.Epoch(), false
	for {
		select {
		case <-h.stop:
			return
		case <-tick.C:
		case <-look.C:
			if !failed && h.m.cfg.Store.Epoch() == epoch {
				continue
			}
		}
		epoch = h.m.cfg.Store.Epoch()
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		_, err := h.m.cfg.Store.Lease(ctx, h.key, h.holder, h.m.set().Lease)
		cancel()
		_, other := errors.AsType[*HeldError](err)
		if err != nil && !failed {
			h.m.cfg.Log.Warn("the lease on a session could not be extended", "event", "session.lease_lost", "session", h.key.Name(), "err", err)
		}
		failed = err != nil && !other
	}
}

// look returns the session as the store has it now.
func (h *hold) look(ctx context.Context, dk DataKey) (loaded, error) {
	for range maxTries {
		asked := h.m.cfg.Now()
		leased, err := h.m.cfg.Store.Lease(ctx, h.key, h.holder, h.m.set().Lease)
		if err != nil {
			return loaded{}, err
		}
		if l, err := h.m.opened(ctx, dk, h.key, leased.Record, asked); !errors.Is(err, ErrConflict) {
			return l, err
		}
	}
	return loaded{}, ErrConflict
}

// end stops extending the lease, and gives it back unless it is to run out.
func (h *hold) end(release bool) {
	close(h.stop)
	h.done.Wait()
	if release {
		h.m.release(h.key, h.holder)
	}
}

func (m *Manager) release(key Key, holder Holder) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := m.cfg.Store.Release(ctx, key, holder); err != nil {
		m.cfg.Log.Warn("the lease on a session could not be given back; it ends by itself", "session", key.Name(), "err", err)
	}
}

// wait waits for changed, for at most d, and returns an outage if ctx ends first.
func wait(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return &auth.Unavailable{What: auth.TheRenewal, Err: ctx.Err()}
	}
	return nil
}
