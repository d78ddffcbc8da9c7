package bolt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// TestCopiesAreNeverOlderThanWhatWasAnswered: while one writes a record over and over, those
// who read see what was answered before they asked, or newer.
func TestCopiesAreNeverOlderThanWhatWasAnswered(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "s.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var key session.Key
	var answered atomic.Uint64
	var done atomic.Bool
	put := func(version uint64) {
		rec := session.Record{Version: version, Expires: time.Now().Add(time.Hour), Data: binary.BigEndian.AppendUint64(nil, version)}
		if err := s.Put(t.Context(), key, version-1, rec); err != nil {
			t.Error(err)
		}
		answered.Store(version)
	}
	put(1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !done.Load() {
				least := answered.Load()
				rec, err := s.Get(t.Context(), key, 0)
				if err != nil || rec.Version < least || !bytes.Equal(rec.Data, binary.BigEndian.AppendUint64(nil, rec.Version)) {
					t.Errorf("got version %d of %x, %v; want %d at least", rec.Version, rec.Data, err, least)
					return
				}
			}
		})
	}
	for v := uint64(2); v <= 300; v++ {
		put(v)
	}
	done.Store(true)
	wg.Wait()
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), key, 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("it was removed: got %v", err)
	}
}

// TestCopiesExpire with what they are copies of.
func TestCopiesExpire(t *testing.T) {
	s, err := bolt.Open(filepath.Join(t.TempDir(), "s.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var key session.Key
	now := func() time.Time {
		n, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	rec := session.Record{Version: 1, Expires: now().Add(2 * time.Second), Data: []byte("x")}
	if err := s.Put(t.Context(), key, 0, rec); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), key, 0); err != nil && now().Before(rec.Expires) {
		t.Fatal(err)
	}
	for now().Before(rec.Expires) {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := s.Get(t.Context(), key, 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("its time is over: got %v", err)
	}
}
