package sessiontest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

func newHolder() (h session.Holder) {
	_, _ = rand.Read(h[:])
	return h
}

// held fails the test unless err says that somebody else has the lease.
func held(t *testing.T, when string, err error) (left time.Duration) {
	t.Helper()
	h, ok := errors.AsType[*session.HeldError](err)
	if !ok || h.Left <= 0 {
		t.Fatalf("%s: got %v, want a HeldError with a time", when, err)
	}
	return h.Left
}

func lease(t *testing.T, s session.Store) {
	k, first, second := newKey(), newHolder(), newHolder()
	if _, err := s.Lease(t.Context(), k, first, time.Minute); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("on nothing: got %v, want ErrNotFound", err)
	}
	if err := put(t, s, k, 1, "x"); err != nil {
		t.Fatal(err)
	}
	one, err := s.Lease(t.Context(), k, first, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Lease(t.Context(), k, second, time.Minute)
	if left := held(t, "somebody else", err); left > time.Minute {
		t.Errorf("time left: got %v, want at most a minute", left)
	}
	again, err := s.Lease(t.Context(), k, first, time.Minute)
	if err != nil || again.Number != one.Number {
		t.Errorf("extended: got number %d, %v, want still %d", again.Number, err, one.Number)
	}
	if err := s.Release(t.Context(), k, second); err != nil {
		t.Errorf("release by somebody else: got %v, want nil", err)
	}
	_, err = s.Lease(t.Context(), k, second, time.Minute)
	held(t, "after somebody else's release", err)
	if err := s.Release(t.Context(), k, first); err != nil {
		t.Fatal(err)
	}
	two, err := s.Lease(t.Context(), k, second, time.Minute)
	if err != nil || two.Number <= one.Number {
		t.Errorf("the next holder: got number %d, %v, want above %d", two.Number, err, one.Number)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Lease(ctx, k, second, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("under a context that is over: got %v, want context.Canceled", err)
	}
	if err := s.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lease(t.Context(), k, second, time.Minute); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("on what was deleted: got %v, want ErrNotFound", err)
	}
}

func leaseEnds(t *testing.T, s session.Store) {
	k, first, second := newKey(), newHolder(), newHolder()
	if err := put(t, s, k, 1, "x"); err != nil {
		t.Fatal(err)
	}
	const life = 2 * time.Second
	one, err := s.Lease(t.Context(), k, first, life)
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < life+life/4; {
		time.Sleep(life / 10)
		if again, err := s.Lease(t.Context(), k, first, life); err != nil || again.Number != one.Number {
			t.Fatalf("a heartbeat: got number %d, %v, want %d", again.Number, err, one.Number)
		}
	}
	_, err = s.Lease(t.Context(), k, second, time.Minute)
	time.Sleep(held(t, "while it is kept", err) + 20*time.Millisecond)
	two, err := s.Lease(t.Context(), k, second, time.Minute)
	if err != nil || two.Number <= one.Number {
		t.Fatalf("after its end: got number %d, %v, want above %d", two.Number, err, one.Number)
	}
	_, err = s.Lease(t.Context(), k, first, time.Minute)
	held(t, "the first holder", err)
	if err := s.Release(t.Context(), k, first); err != nil {
		t.Fatal(err)
	}
	_, err = s.Lease(t.Context(), k, newHolder(), time.Minute)
	held(t, "after the release of a lease that was lost", err)
}

func leaseReads(t *testing.T, s session.Store) {
	k, h := newKey(), newHolder()
	for version := uint64(1); version < 50; version++ {
		data := []byte{byte(version)}
		if err := put(t, s, k, version, string(data)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Lease(t.Context(), k, h, time.Minute)
		if err != nil || got.Record.Version != version || !bytes.Equal(got.Record.Data, data) {
			t.Fatalf("got version %d with %v, %v, want %d", got.Record.Version, got.Record.Data, err, version)
		}
		if got.Record.Now.IsZero() {
			t.Fatal("got no time")
		}
	}
}

func leaseRace(t *testing.T, s session.Store) {
	k := newKey()
	if err := put(t, s, k, 1, "x"); err != nil {
		t.Fatal(err)
	}
	var inside, most, turns atomic.Int32
	var last atomic.Uint64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			h := newHolder()
			for {
				woken := make(chan struct{}, 1)
				stop := s.Watch(k, func(bool) {
					select {
					case woken <- struct{}{}:
					default:
					}
				})
				got, err := s.Lease(t.Context(), k, h, time.Minute)
				if _, ok := errors.AsType[*session.HeldError](err); ok {
					<-woken
					stop()
					continue
				}
				stop()
				if err != nil {
					t.Errorf("lease: %v", err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				if got.Number <= last.Swap(got.Number) {
					t.Errorf("fencing number %d came after a higher one", got.Number)
				}
				turns.Add(1)
				inside.Add(-1)
				if err := s.Release(t.Context(), k, h); err != nil {
					t.Errorf("release: %v", err)
				}
				return
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 || turns.Load() != 20 {
		t.Errorf("got %d holders at once and %d turns, want 1 and 20", most.Load(), turns.Load())
	}
}

// watchTime is within what who watches is to be told: the contract says 100 ms,
// and a machine with other work may take longer.
const watchTime = 5 * time.Second

func watch(t *testing.T, s session.Store) {
	k, other, h := newKey(), newKey(), newHolder()
	for _, key := range []session.Key{k, other} {
		if err := put(t, s, key, 1, "x"); err != nil {
			t.Fatal(err)
		}
	}
	woken := make(chan struct{}, 1000)
	stop := s.Watch(k, func(bool) { woken <- struct{}{} })
	quiet := func() {
		for {
			select {
			case <-woken:
			case <-time.After(50 * time.Millisecond):
				return
			}
		}
	}
	for name, change := range map[string]func() error{
		"a put":     func() error { return put(t, s, k, 2, "y") },
		"a release": func() error { return s.Release(t.Context(), k, h) },
		"a delete":  func() error { return s.Delete(t.Context(), k) },
	} {
		if name == "a delete" {
			continue // comes last
		}
		if _, err := s.Lease(t.Context(), k, h, time.Minute); err != nil {
			t.Fatal(err)
		}
		quiet()
		// Whoever is told looks; a store may count on that.
		if _, err := s.Get(t.Context(), k, 0); err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-woken:
		case <-time.After(watchTime):
			t.Errorf("%s: nobody was woken", name)
		}
	}
	quiet()
	if _, err := s.Get(t.Context(), k, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	select {
	case <-woken:
	case <-time.After(watchTime):
		t.Error("a delete: nobody was woken")
	}
	stop()
	quiet()
	if err := put(t, s, other, 2, "y"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-woken:
		t.Error("woken after stop")
	case <-time.After(50 * time.Millisecond):
	}
}

func leap(t *testing.T, s session.Store) {
	k := newKey()
	rec := func(version uint64) session.Record {
		return session.Record{Version: version, Expires: now(t, s).Add(time.Hour), Data: []byte("x")}
	}
	for _, step := range []struct {
		prev, version uint64
		want          error
	}{{0, 5, nil}, {5, 5, session.ErrConflict}, {5, 4, session.ErrConflict}, {4, 6, session.ErrConflict}, {5, 1 << 40, nil}, {6, 7, session.ErrConflict}} {
		if err := s.Put(t.Context(), k, step.prev, rec(step.version)); !errors.Is(err, step.want) {
			t.Errorf("put %d after %d: got %v, want %v", step.version, step.prev, err, step.want)
		}
	}
	if got, err := s.Get(t.Context(), k, 1<<40); err != nil || got.Version != 1<<40 {
		t.Errorf("got version %d, %v, want %d", got.Version, err, uint64(1<<40))
	}
}

func scan(t *testing.T, s session.Store) {
	want := map[session.Key]string{}
	for i := range 1200 {
		k := newKey()
		rec := session.Record{Version: 1, Expires: now(t, s).Add(time.Hour), Data: []byte("data")}
		switch {
		case i%3 == 0: // no session
		case i == 4:
			rec.Meta, rec.Expires = []byte("over"), now(t, s).Add(-time.Second)
		default:
			rec.Meta = append([]byte("meta"), k[:]...)
			want[k] = string(rec.Meta)
		}
		if err := s.Put(t.Context(), k, 0, rec); err != nil {
			t.Fatal(err)
		}
	}
	got := map[session.Key]string{}
	if err := s.Scan(t.Context(), func(k session.Key, rec session.Record) error {
		got[k] = string(rec.Meta)
		if string(rec.Data) != "data" || rec.Version != 1 {
			t.Errorf("got %q of version %d, want the data of version 1", rec.Data, rec.Version)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("got %d records, want %d", len(got), len(want))
	}
	for k, meta := range want {
		if got[k] != meta {
			t.Errorf("meta of %x: got %q, want %q", k[:4], got[k], meta)
		}
	}
	enough := errors.New("enough")
	seen := 0
	if err := s.Scan(t.Context(), func(session.Key, session.Record) error { seen++; return enough }); !errors.Is(err, enough) || seen != 1 {
		t.Errorf("a visit that ends: got %v after %d, want its error after 1", err, seen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Scan(ctx, func(session.Key, session.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("under a context that is over: got %v, want context.Canceled", err)
	}
}
