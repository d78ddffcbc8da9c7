package auth

import (
	"context"
	"maps"
	"math"
	"sync"
	"time"
)

// Newest is higher than any version of a Shelf: see its Load.
const Newest uint64 = math.MaxUint64

// Shelf is where gateways keep small things for a while that they share. It is for
// the Shelf to keep the values secret. Every error is an outage, a value that is there
// and cannot be read included. Methods are safe for concurrent use.
type Shelf interface {
	// Load returns what lies under name, nil where that is nothing, and the version
	// that Save takes it for. It is no older than version atLeast, unless the shelf
	// has lost that, and what lies there now for Newest; otherwise it may be of 100 ms
	// ago.
	Load(ctx context.Context, name string, atLeast uint64) (value []byte, version uint64, err error)
	// Save puts value under name for ttl, as version prev+1, if version prev is what
	// lies there: 0 is nothing. Otherwise it reports false, and changes nothing. A nil
	// value takes away what was there.
	Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error)
	// Now is the clock that the gateways have in common.
	Now(ctx context.Context) (time.Time, error)
}

// memoryShelf is the Shelf of a gateway that shares nothing. What is over and nobody
// has taken away goes with a later Save.
type memoryShelf struct {
	now func() time.Time

	mu    sync.Mutex // guards kept, swept
	kept  map[string]shelved
	swept time.Time
}

type shelved struct {
	value   []byte
	version uint64
	until   time.Time
}

func newMemoryShelf(now func() time.Time) *memoryShelf {
	return &memoryShelf{now: now, kept: map[string]shelved{}}
}

// Load implements Shelf.
func (s *memoryShelf) Load(_ context.Context, name string, _ uint64) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.live(name)
	return at.value, at.version, nil
}

// Save implements Shelf.
func (s *memoryShelf) Save(_ context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.swept) >= time.Minute {
		maps.DeleteFunc(s.kept, func(_ string, at shelved) bool { return !now.Before(at.until) })
		s.swept = now
	}
	if s.live(name).version != prev {
		return false, nil
	}
	if value == nil {
		delete(s.kept, name)
		return true, nil
	}
	s.kept[name] = shelved{value: value, version: prev + 1, until: s.now().Add(ttl)}
	return true, nil
}

// Now implements Shelf.
func (s *memoryShelf) Now(context.Context) (time.Time, error) { return s.now(), nil }

// live is what lies under name, unless it is over. mu is held.
func (s *memoryShelf) live(name string) shelved {
	at := s.kept[name]
	if !s.now().Before(at.until) {
		return shelved{}
	}
	return at
}

func (s *memoryShelf) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, name)
}
