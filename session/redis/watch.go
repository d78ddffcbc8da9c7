package redis

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/evergate/evergate/session"
)

// The server tells once that a copy is out of date, and then not again until the
// key was read again. So what is watched is read ("armed") before it is told to
// those who watch: a change that comes after is told anew.

// armory is what waits to be armed. Its zero value with a wake channel is ready.
type armory struct {
	mu   sync.Mutex           // guards what
	what map[session.Key]bool // and whether it is known to have changed
	wake chan struct{}        // of one
}

func (a *armory) add(changed bool, keys ...session.Key) {
	if len(keys) == 0 {
		return
	}
	a.mu.Lock()
	if a.what == nil {
		a.what = map[session.Key]bool{}
	}
	for _, key := range keys {
		a.what[key] = a.what[key] || changed
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *armory) take() map[session.Key]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	what := a.what
	a.what = nil
	return what
}

// Watch implements session.Store.
func (s *Store) Watch(key session.Key, notify func(changed bool)) (stop func()) {
	stop = s.watches.Add(key, notify)
	s.armed.add(false, key)
	return stop
}

// invalidated is called by the client, between two answers and once its own copies are gone:
// it must not wait.
func (s *Store) invalidated(names []rueidis.RedisMessage) {
	if names == nil { // all of them: the connection was lost, or the server's memory of it
		s.copies.ForgetAll()
		s.armed.add(false, s.watches.Keys()...)
		return
	}
	for i := range names {
		name, err := names[i].ToString()
		if err != nil {
			continue
		}
		key, ok := s.keys.parse(name)
		if !ok {
			continue
		}
		s.copies.Forget(key)
		if s.watches.Has(key) {
			s.armed.add(true, key)
		}
	}
}

// keepArmed reads what is watched and tells those who watch. Without tracking it
// tells them twice a second.
func (s *Store) keepArmed() {
	poll := make(<-chan time.Time)
	if s.opt.NoTracking {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		poll = tick.C
	}
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.armed.wake:
		case <-poll:
			s.watches.NotifyAll()
			continue
		}
		what := s.armed.take()
		keys := slices.Collect(maps.Keys(what))
		if err := s.arm(keys, what); err != nil {
			// Told all the same, and tried again.
			s.sleep(pollEvery / 2)
			s.armed.add(false, keys...)
		}
		for key, changed := range what {
			s.watches.Notify(key, changed)
		}
	}
}

// arm reads keys. What turns out to be this process's own write has not changed for it.
func (s *Store) arm(keys []session.Key, what map[session.Key]bool) error {
	if s.opt.NoTracking || len(keys) == 0 {
		return nil
	}
	c, ctx, cancel, err := s.begin(context.WithoutCancel(s.ctx))
	if err != nil {
		return err
	}
	defer cancel()
	reads := make([]rueidis.CacheableTTL, 0, 2*len(keys))
	var read []session.Key
	for _, key := range keys {
		if !s.watches.Has(key) {
			continue
		}
		for _, name := range []string{s.keys.record(key), s.keys.lease(key)} {
			read = append(read, key)
			reads = append(reads, rueidis.CT(c.B().Get().Key(name).Cache(), cacheTime))
		}
	}
	if len(reads) == 0 {
		return nil
	}
	for i, answer := range c.DoMultiCache(ctx, reads...) {
		b, err := answer.AsBytes()
		if err != nil && !rueidis.IsRedisNil(err) {
			return s.did(ctx, "watch sessions", err)
		}
		if i%2 == 0 && len(b) > headSize && s.wrote.is(read[i], binary.BigEndian.Uint64(b)) {
			what[read[i]] = false
		}
	}
	return nil
}

// written remembers what this process wrote last of each session that is watched.
type written struct {
	mu   sync.Mutex // guards last
	last map[session.Key]uint64
}

// maxWritten bounds it. What is forgotten counts as written by another process, and
// is read again.
const maxWritten = 100_000

func (w *written) set(key session.Key, version uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil || len(w.last) >= maxWritten {
		w.last = map[session.Key]uint64{}
	}
	w.last[key] = version
}

func (w *written) is(key session.Key, version uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[key] == version
}
