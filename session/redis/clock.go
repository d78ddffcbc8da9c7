package redis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// clock is the server's, as far as it can be told from here: its time at a
// reading, and counted from there by this machine's monotonic clock. The wall
// clock of this machine plays no part.
type clock struct {
	reading atomic.Pointer[reading]
	mu      sync.Mutex   // guards taking the first reading
	last    atomic.Int64 // the latest time that was given out, in ns
}

// reading is one look at the server's clock: its time was between server and
// server+spread at the local time at.
type reading struct {
	at     time.Time
	server time.Time
	spread time.Duration
}

const (
	clockEvery = 10 * time.Second
	// clockAge is for how long a close reading is preferred to a fresh one.
	clockAge = 2 * time.Minute
)

// take keeps the closer of two readings that agree, and the newer of two that do
// not: the server's clock was set, or it is another server.
func (c *clock) take(r *reading) {
	old := c.reading.Load()
	if old != nil {
		expected := old.server.Add(r.at.Sub(old.at))
		agree := !expected.Add(old.spread).Before(r.server) && !r.server.Add(r.spread).Before(expected)
		if agree && old.spread < r.spread && r.at.Sub(old.at) < clockAge {
			return
		}
	}
	c.reading.Store(r)
}

func (c *clock) now() (time.Time, bool) { return c.at(time.Now()) }

// at is the server's time at a local one that was read just now. It never runs backwards.
func (c *clock) at(here time.Time) (time.Time, bool) {
	r := c.reading.Load()
	if r == nil {
		return time.Time{}, false
	}
	now := r.server.Add(here.Sub(r.at)).UnixNano()
	for {
		last := c.last.Load()
		if now <= last {
			return time.Unix(0, last), true
		}
		if c.last.CompareAndSwap(last, now) {
			return time.Unix(0, now), true
		}
	}
}

// readClock asks the server.
func (s *Store) readClock(ctx context.Context, c rueidis.Client) error {
	start := time.Now()
	answer, err := c.Do(ctx, c.B().Time().Build()).AsIntSlice()
	took := time.Since(start)
	if err := s.did(ctx, "read the time", err); err != nil {
		return err
	}
	if len(answer) == 2 {
		s.clock.take(&reading{at: start, server: time.Unix(answer[0], answer[1]*1000).Add(-took), spread: took})
	}
	return nil
}

func (s *Store) now(ctx context.Context, c rueidis.Client) (time.Time, error) {
	if now, ok := s.clock.now(); ok {
		return now, nil
	}
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	if now, ok := s.clock.now(); ok {
		return now, nil
	}
	if err := s.readClock(ctx, c); err != nil {
		return time.Time{}, err
	}
	now, _ := s.clock.now()
	return now, nil
}

// Now implements session.Store.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	c, ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer cancel()
	return s.now(ctx, c)
}

// keepClock reads the server's clock now and then, and soon after it was out of
// reach: another server may answer by then.
func (s *Store) keepClock() {
	epoch := s.Epoch()
	for next := time.Now(); ; {
		if time.Now().After(next) || s.lost.Load() || s.Epoch() != epoch {
			epoch, next = s.Epoch(), time.Now().Add(clockEvery)
			if c, ctx, cancel, err := s.begin(s.ctx); err == nil {
				_ = s.readClock(ctx, c) // the next one may work
				cancel()
			}
		}
		if !s.sleep(pollEvery / 2) {
			return
		}
	}
}
