// Package sessiontest is the exam of session stores: every implementation of
// session.Store passes it, so that the Manager may rely on any of them alike.
package sessiontest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

// TestStore examines the stores that open returns. Each call of open returns an
// empty store, and the exam closes it.
func TestStore(t *testing.T, open func(t *testing.T) session.Store) {
	for name, exam := range map[string]func(*testing.T, session.Store){
		"an unknown key is not found":                unknownKey,
		"what is put can be got":                     putGet,
		"a version must follow the stored one":       compareAndSet,
		"of many who write one wins":                 race,
		"the newest is what was written last":        newest,
		"what is deleted does not come back":         deleted,
		"an expired record is as good as none":       expiry,
		"keys and data of any bytes are kept":        hostile,
		"bytes that are handed out stay as they are": ownBytes,
		"a context that is over changes nothing":     canceled,
		"the clock does not run backwards":           clock,
		"a record is found by each of its tags":      tags,
		"many records bear one tag":                  shared,
		"a version may leap":                         leap,
		"meta is kept, and listed":                   scan,
		"a lease is one holder's":                    lease,
		"a lease that is not extended ends":          leaseEnds,
		"a lease shows the record of now":            leaseReads,
		"of many who ask one gets the lease":         leaseRace,
		"who watches is woken":                       watch,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			exam(t, s)
		})
	}
}

func newKey() (k session.Key) {
	_, _ = rand.Read(k[:])
	return k
}

func now(t *testing.T, s session.Store) time.Time {
	t.Helper()
	n, err := s.Now(t.Context())
	if err != nil {
		t.Fatalf("now: %v", err)
	}
	return n
}

// awaitExpiry waits until the store's clock is past expires; a store may count in milliseconds.
func awaitExpiry(t *testing.T, s session.Store, expires time.Time) {
	t.Helper()
	end := expires.Add(time.Millisecond)
	for n := now(t, s); n.Before(end); n = now(t, s) {
		time.Sleep(end.Sub(n))
	}
}

func put(t *testing.T, s session.Store, k session.Key, version uint64, data string) error {
	t.Helper()
	return s.Put(t.Context(), k, max(version, 1)-1, session.Record{Version: version, Expires: now(t, s).Add(time.Hour), Data: []byte(data)})
}

func unknownKey(t *testing.T, s session.Store) {
	if _, err := s.Get(t.Context(), newKey(), 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("get: got %v, want ErrNotFound", err)
	}
	if err := s.Delete(t.Context(), newKey()); err != nil {
		t.Errorf("delete: got %v, want nil", err)
	}
}

func putGet(t *testing.T, s session.Store) {
	k, before := newKey(), now(t, s)
	want := session.Record{Version: 1, Expires: before.Add(time.Hour).Truncate(time.Millisecond), Data: []byte("data")}
	if err := s.Put(t.Context(), k, 0, want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), k, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != want.Version || !got.Expires.Equal(want.Expires) || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got.Now.Before(before) || got.Now.After(now(t, s)) {
		t.Errorf("the time of the get: got %v, want between %v and now", got.Now, before)
	}
}

func compareAndSet(t *testing.T, s session.Store) {
	k := newKey()
	for _, step := range []struct {
		version uint64
		want    error
	}{
		{2, session.ErrConflict}, {0, session.ErrConflict}, {1, nil}, {1, session.ErrConflict},
		{3, session.ErrConflict}, {2, nil}, {3, nil}, {3, session.ErrConflict},
	} {
		if err := put(t, s, k, step.version, "x"); !errors.Is(err, step.want) {
			t.Errorf("put version %d: got %v, want %v", step.version, err, step.want)
		}
	}
	if got, err := s.Get(t.Context(), k, 0); err != nil || got.Version != 3 {
		t.Errorf("after the conflicts: got version %d, %v, want 3", got.Version, err)
	}
}

func race(t *testing.T, s session.Store) {
	k := newKey()
	if err := put(t, s, k, 1, "x"); err != nil {
		t.Fatal(err)
	}
	for round := uint64(2); round < 12; round++ {
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				switch err := put(t, s, k, round, "x"); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, session.ErrConflict):
					t.Errorf("put: got %v, want nil or ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("round %d: got %d winners, want 1", round, won.Load())
		}
	}
}

func deleted(t *testing.T, s session.Store) {
	k := newKey()
	if err := put(t, s, k, 1, "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), k, 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("get: got %v, want ErrNotFound", err)
	}
	if err := put(t, s, k, 2, "x"); !errors.Is(err, session.ErrConflict) {
		t.Errorf("a late write: got %v, want ErrConflict", err)
	}
}

// shortLife leaves a slow machine time to look at a record before it expires.
const shortLife = 2 * time.Second

func expiry(t *testing.T, s session.Store) {
	k := newKey()
	rec := session.Record{Version: 1, Expires: now(t, s).Add(shortLife), Data: []byte("x")}
	if err := s.Put(t.Context(), k, 0, rec); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), k, 0); err != nil && now(t, s).Before(rec.Expires) {
		t.Fatalf("before its expiry: %v", err)
	}
	awaitExpiry(t, s, rec.Expires)
	if _, err := s.Get(t.Context(), k, 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("after its expiry: got %v, want ErrNotFound", err)
	}
	if err := put(t, s, k, 2, "x"); !errors.Is(err, session.ErrConflict) {
		t.Errorf("a successor of an expired record: got %v, want ErrConflict", err)
	}
}

func hostile(t *testing.T, s session.Store) {
	keys := []session.Key{{}, newKey(), newKey()}
	copy(keys[1][:], "../../etc/passwd\x00*?[a-z]\r\nFLUSH")
	for i := range keys[2] {
		keys[2][i] = 0xff
	}
	data := [][]byte{nil, []byte("\x00\r\n\xff"), bytes.Repeat([]byte{0xa5}, 1<<20)}
	for i, k := range keys {
		if err := s.Put(t.Context(), k, 0, session.Record{Version: 1, Expires: now(t, s).Add(time.Hour), Data: data[i]}); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
	}
	for i, k := range keys {
		if got, err := s.Get(t.Context(), k, 0); err != nil || !bytes.Equal(got.Data, data[i]) {
			t.Errorf("get %d: got %d bytes, %v, want %d bytes", i, len(got.Data), err, len(data[i]))
		}
	}
}

func ownBytes(t *testing.T, s session.Store) {
	k, data := newKey(), []byte("first")
	if err := s.Put(t.Context(), k, 0, session.Record{Version: 1, Expires: now(t, s).Add(time.Hour), Data: data}); err != nil {
		t.Fatal(err)
	}
	copy(data, "XXXXX")
	got, err := s.Get(t.Context(), k, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, k, 2, "other"); err != nil {
		t.Fatal(err)
	}
	if string(got.Data) != "first" {
		t.Errorf("bytes handed out: got %q, want first", got.Data)
	}
	if again, err := s.Get(t.Context(), k, 2); err != nil || string(again.Data) != "other" {
		t.Errorf("stored bytes: got %q, %v, want other", again.Data, err)
	}
}

// newest: a copy at hand is not what is asked for, nor what it becomes while the store tells of a change.
// That nothing was there may be at hand for a moment after the first is written.
func newest(t *testing.T, s session.Store) {
	k := newKey()
	if _, err := s.Get(t.Context(), k, 0); !errors.Is(err, session.ErrNotFound) {
		t.Fatalf("get what is not there: got %v, want ErrNotFound", err)
	}
	for version := uint64(1); version <= 300; version++ {
		if err := put(t, s, k, version, "data"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), k, session.Newest); err != nil || got.Version != version {
			t.Fatalf("after version %d was written: got %d, %v", version, got.Version, err)
		}
		_, err := s.Get(t.Context(), k, 0) // the next round's copy at hand
		for end := time.Now().Add(watchTime); version == 1 && errors.Is(err, session.ErrNotFound) && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
			_, err = s.Get(t.Context(), k, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func canceled(t *testing.T, s session.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := newKey()
	err := s.Put(ctx, k, 0, session.Record{Version: 1, Expires: now(t, s).Add(time.Hour)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("put: got %v, want context.Canceled", err)
	}
	if _, err := s.Get(ctx, k, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got %v, want context.Canceled", err)
	}
	if _, err := s.Get(t.Context(), k, 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("get after a canceled put: got %v, want ErrNotFound", err)
	}
}

func clock(t *testing.T, s session.Store) {
	last := now(t, s)
	for range 1000 {
		n := now(t, s)
		if n.Before(last) {
			t.Fatalf("got %v after %v", n, last)
		}
		last = n
	}
}

func tagged(t *testing.T, s session.Store, k session.Key, version uint64, life time.Duration, tags ...session.Tag) (expires time.Time) {
	t.Helper()
	rec := session.Record{Version: version, Expires: now(t, s).Add(life), Tags: tags, Data: []byte("data")}
	if err := s.Put(t.Context(), k, version-1, rec); err != nil {
		t.Fatalf("put version %d: %v", version, err)
	}
	return rec.Expires
}

func sameKeys(got, want []session.Key) bool {
	byBytes := func(a, b session.Key) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(got, byBytes)
	slices.SortFunc(want, byBytes)
	return slices.Equal(got, want)
}

func wantFound(t *testing.T, s session.Store, when string, tag session.Tag, want ...session.Key) {
	t.Helper()
	got, err := s.Find(t.Context(), tag)
	if err != nil {
		t.Fatalf("%s: find: %v", when, err)
	}
	if !sameKeys(got, want) {
		t.Errorf("%s: found %d records, want these %d", when, len(got), len(want))
	}
}

func tags(t *testing.T, s session.Store) {
	k, other := newKey(), newKey()
	first, second, third := session.Tag(newKey()), session.Tag(newKey()), session.Tag(newKey())
	wantFound(t, s, "before all", first)
	tagged(t, s, k, 1, time.Hour, first, second)
	expires := tagged(t, s, other, 1, shortLife, first)
	if got, err := s.Find(t.Context(), first); err != nil || !sameKeys(got, []session.Key{k, other}) && now(t, s).Before(expires) {
		t.Errorf("the first tag: found %d records, %v, want both", len(got), err)
	}
	wantFound(t, s, "the second tag", second, k)
	wantFound(t, s, "a tag nobody bears", third)
	if got, err := s.Get(t.Context(), k, 0); err != nil || !slices.Equal(got.Tags, []session.Tag{first, second}) || string(got.Data) != "data" {
		t.Errorf("get: got %d tags and %q, %v, want both tags and the data", len(got.Tags), got.Data, err)
	}
	awaitExpiry(t, s, expires)
	wantFound(t, s, "after the expiry of one", first, k)
	tagged(t, s, k, 2, time.Hour, second, third)
	wantFound(t, s, "a tag that was taken off", first)
	wantFound(t, s, "a tag that stayed", second, k)
	wantFound(t, s, "a tag that was put on", third, k)
	if err := put(t, s, k, 2, "x"); !errors.Is(err, session.ErrConflict) {
		t.Fatalf("a late write: got %v, want ErrConflict", err)
	}
	wantFound(t, s, "after a write that lost", second, k)
	if err := s.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	wantFound(t, s, "after the delete", second)
	wantFound(t, s, "after the delete", third)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Find(ctx, second); !errors.Is(err, context.Canceled) {
		t.Errorf("find under a context that is over: got %v, want context.Canceled", err)
	}
}

func shared(t *testing.T, s session.Store) {
	// Tags that differ in the last byte only, so that a search by prefix shows.
	tag := session.Tag(newKey())
	near := tag
	near[len(near)-1]++
	var keys []session.Key
	for range 300 {
		keys = append(keys, newKey())
		tagged(t, s, keys[len(keys)-1], 1, time.Hour, tag)
	}
	tagged(t, s, newKey(), 1, time.Hour, near)
	wantFound(t, s, "three hundred", tag, keys...)
}
