// Package memory keeps sessions in the process, for `evergate demo` and tests.
// A restart forgets them.
package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/session"
)

// Store implements session.Store. Make one with New.
type Store struct {
	started time.Time
	leases  session.Leases
	watches session.Watches

	mu      sync.Mutex // guards records, swept
	records map[session.Key]session.Record
	swept   time.Time
}

var _ session.Store = (*Store)(nil)

// New returns an empty Store.
func New() *Store {
	return &Store{started: time.Now(), records: map[session.Key]session.Record{}}
}

// now is monotonic: it is counted from the start.
func (s *Store) now() time.Time { return s.started.Add(time.Since(s.started)).Round(0) }

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, key session.Key, _ uint64) (session.Record, error) {
	if err := ctx.Err(); err != nil {
		return session.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.live(key)
	if !ok {
		return session.Record{}, session.ErrNotFound
	}
	rec.Now = s.now()
	return copied(rec), nil
}

func copied(rec session.Record) session.Record {
	rec.Data, rec.Meta, rec.Tags = bytes.Clone(rec.Data), bytes.Clone(rec.Meta), slices.Clone(rec.Tags)
	return rec
}

// live returns the record under key unless it has expired. mu is held.
func (s *Store) live(key session.Key) (session.Record, bool) {
	rec, ok := s.records[key]
	return rec, ok && s.now().Before(rec.Expires)
}

// Put implements session.Store.
func (s *Store) Put(ctx context.Context, key session.Key, prev uint64, rec session.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.watches.Notify(key, true) // after mu is free
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	old, ok := s.live(key)
	if !ok {
		old = session.Record{}
	}
	if old.Version != prev || rec.Version <= prev {
		return session.ErrConflict
	}
	s.records[key] = copied(rec)
	return nil
}

// Delete implements session.Store.
func (s *Store) Delete(ctx context.Context, key session.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.watches.Notify(key, true) // after mu is free
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, key)
	return nil
}

// Find implements session.Store. It looks at every record: a process that keeps
// its sessions in memory has few.
func (s *Store) Find(ctx context.Context, tag session.Tag) (keys []session.Key, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, rec := range s.records {
		if s.now().Before(rec.Expires) && slices.Contains(rec.Tags, tag) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Scan implements session.Store.
func (s *Store) Scan(ctx context.Context, visit func(session.Key, session.Record) error) error {
	s.mu.Lock()
	all, now := maps.Clone(s.records), s.now()
	s.mu.Unlock()
	for key, rec := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(rec.Meta) == 0 || !now.Before(rec.Expires) {
			continue
		}
		rec.Now = now
		if err := visit(key, copied(rec)); err != nil {
			return err
		}
	}
	return nil
}

// Lease implements session.Store.
func (s *Store) Lease(ctx context.Context, key session.Key, holder session.Holder, ttl time.Duration) (session.Leased, error) {
	rec, err := s.Get(ctx, key, 0)
	if err != nil {
		return session.Leased{}, err
	}
	number, err := s.leases.Take(key, holder, ttl, rec.Now)
	if err != nil {
		return session.Leased{}, err
	}
	// What the record was before the lease was taken may be over.
	rec, err = s.Get(ctx, key, 0)
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

// Epoch implements session.Store.
func (s *Store) Epoch() uint64 { return 0 }

// Now implements session.Store.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return s.now(), ctx.Err() }

// Close implements session.Store.
func (s *Store) Close() error { return nil }

// sweep drops what has expired, at most once a minute. mu is held.
func (s *Store) sweep() {
	now := s.now()
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	for key, rec := range s.records {
		if !now.Before(rec.Expires) {
			delete(s.records, key)
		}
	}
}
