// Package memory keeps sessions in the process, for `evergate demo` and tests.
// A restart forgets them.
package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/session"
)

// Store implements session.Store. Make one with New.
type Store struct {
	started time.Time

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
func (s *Store) Get(ctx context.Context, key session.Key) (session.Record, error) {
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
	rec.Data, rec.Tags = append([]byte(nil), rec.Data...), slices.Clone(rec.Tags)
	return rec, nil
}

// live returns the record under key unless it has expired. mu is held.
func (s *Store) live(key session.Key) (session.Record, bool) {
	rec, ok := s.records[key]
	return rec, ok && s.now().Before(rec.Expires)
}

// Put implements session.Store.
func (s *Store) Put(ctx context.Context, key session.Key, rec session.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	old, ok := s.live(key)
	if !ok {
		old = session.Record{}
	}
	if old.Version+1 != rec.Version {
		return session.ErrConflict
	}
	rec.Data, rec.Tags = append([]byte(nil), rec.Data...), slices.Clone(rec.Tags)
	s.records[key] = rec
	return nil
}

// Delete implements session.Store.
func (s *Store) Delete(ctx context.Context, key session.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
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
