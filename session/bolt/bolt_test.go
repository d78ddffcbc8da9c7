package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/sessiontest"
)

func open(t *testing.T, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	sessiontest.TestStore(t, func(t *testing.T) session.Store { return open(t, filepath.Join(t.TempDir(), "s.db")) })
}

func TestRecordsSurviveAndDeletionsToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	kept, gone := session.Key{1}, session.Key{2}
	before, _ := s.Now(t.Context())
	rec := session.Record{Version: 1, Expires: before.Add(time.Hour), Data: []byte("x")}
	for _, k := range []session.Key{kept, gone} {
		if err := s.Put(t.Context(), k, rec.Version-1, rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), kept, 1, session.Record{Version: 2, Expires: before.Add(time.Hour)}); err == nil {
		t.Error("put after close: got nil, want an error")
	}
	s = open(t, path)
	defer s.Close()
	if got, err := s.Get(t.Context(), kept, 0); err != nil || got.Version != 1 {
		t.Errorf("kept: got version %d, %v, want 1", got.Version, err)
	}
	if _, err := s.Get(t.Context(), gone, 0); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("deleted: got %v, want ErrNotFound", err)
	}
	if after, _ := s.Now(t.Context()); after.Before(before) {
		t.Errorf("the clock after a restart: got %v, before it was %v", after, before)
	}
}

func TestFileIsPrivateAndInOneHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	defer s.Close()
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", fi.Mode().Perm(), err)
	}
	_, err = bolt.Open(path, nil)
	if !errors.Is(err, bolt.ErrInUse) || !strings.Contains(err.Error(), "process ") {
		t.Errorf("a second process: got %v, want ErrInUse and the process id", err)
	}
}

func TestSymbolicLinkIsRefused(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "s.db")
	if err := os.Symlink(target, link); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if _, err := bolt.Open(link, nil); err == nil {
		t.Error("got no error, want the link refused")
	}
}

func TestExpiredRecordsAreSwept(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	defer s.Close()
	now, _ := s.Now(t.Context())
	for i := range 20 {
		rec := session.Record{Version: 1, Expires: now.Add(-time.Second), Data: []byte("x")}
		if i%2 == 0 {
			rec.Expires = now.Add(time.Hour)
		}
		if err := s.Put(t.Context(), session.Key{byte(i)}, 0, rec); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Sweep(); n != 10 || err != nil {
		t.Errorf("swept: got %d, %v, want 10", n, err)
	}
	if n := s.Count(); n != 10 {
		t.Errorf("left: got %d, want 10", n)
	}
}

func TestWaitingWritesShareATransaction(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	defer s.Close()
	now, _ := s.Now(t.Context())
	before := s.Transactions()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := s.Put(t.Context(), session.Key{byte(i), 9}, 0, session.Record{Version: 1, Expires: now.Add(time.Hour)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.Transactions() - before; n >= 200 {
		t.Errorf("200 parallel writes took %d transactions, want fewer", n)
	}
}

func BenchmarkGet(b *testing.B) {
	s, err := bolt.Open(filepath.Join(b.TempDir(), "s.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	now, _ := s.Now(b.Context())
	_ = s.Put(b.Context(), session.Key{1}, 0, session.Record{Version: 1, Expires: now.Add(time.Hour), Data: make([]byte, 900)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), session.Key{1}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
