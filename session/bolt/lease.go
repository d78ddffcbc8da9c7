package bolt

import (
	"context"
	"time"

	"github.com/evergate/evergate/session"
)

// One process has the file, so leases and watches are kept in its memory.

// Lease implements session.Store.
func (s *Store) Lease(ctx context.Context, key session.Key, holder session.Holder, ttl time.Duration) (session.Leased, error) {
	if _, err := s.Get(ctx, key, 0); err != nil {
		return session.Leased{}, err
	}
	number, err := s.leases.Take(key, holder, ttl, s.clock.now())
	if err != nil {
		return session.Leased{}, err
	}
	// What the record was before the lease was taken may be over.
	rec, err := s.Get(ctx, key, 0)
	return session.Leased{Number: number, Record: rec}, err
}

// Release implements session.Store.
func (s *Store) Release(ctx context.Context, key session.Key, holder session.Holder) error {
	if s.leases.Give(key, holder) {
		s.watches.Notify(key, true)
	}
	return ctx.Err()
}

// Watch implements session.Store.
func (s *Store) Watch(key session.Key, notify func(changed bool)) (stop func()) {
	stop = s.watches.Add(key, notify)
	notify(false)
	return stop
}

// Epoch implements session.Store: what was acknowledged is on disk.
func (s *Store) Epoch() uint64 { return 0 }
