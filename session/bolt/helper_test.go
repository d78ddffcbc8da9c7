package bolt_test

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

func keyOf(i int) (k session.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(i)*0x9E3779B97F4A7C15) // spread as digests are
	return k
}

func tagOf(i int) session.Tag { return session.Tag{byte(i), byte(i >> 8), 7} }

// laborious skips what makes thousands of records to look at the file afterwards, under the race
// detector: that takes ten times as long, and smaller tests do the same side by side. `make
// measured` runs it.
func laborious(t *testing.T) {
	t.Helper()
	if raced {
		t.Skip("thousands of records are made without the race detector: make measured")
	}
}

// fill puts n records of 1000 bytes, from first on.
func fill(t *testing.T, s *bolt.Store, first, n int) {
	t.Helper()
	now, _ := s.Now(t.Context())
	errs := make(chan error, n)
	for i := first; i < first+n; i++ {
		go func() {
			rec := session.Record{Version: 1, Expires: now.Add(time.Hour), Tags: []session.Tag{tagOf(i)}, Data: make([]byte, 1000)}
			errs <- s.Put(t.Context(), keyOf(i), 0, rec)
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

func empty(t *testing.T, s *bolt.Store, first, n int) {
	t.Helper()
	errs := make(chan error, n)
	for i := first; i < first+n; i++ {
		go func() { errs <- s.Delete(t.Context(), keyOf(i)) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// has checks that exactly the records from first on are there, with their tags.
func has(t *testing.T, s *bolt.Store, first, n int) {
	t.Helper()
	for i := first; i < first+n; i++ {
		if rec, err := s.Get(t.Context(), keyOf(i), 0); err != nil || len(rec.Data) != 1000 {
			t.Fatalf("record %d: got %d bytes, %v", i, len(rec.Data), err)
		}
		if keys, err := s.Find(t.Context(), tagOf(i)); err != nil || len(keys) != 1 || keys[0] != keyOf(i) {
			t.Fatalf("record %d by its tag: got %v, %v", i, keys, err)
		}
	}
	if got := s.Count(); got != n {
		t.Fatalf("got %d records, want %d", got, n)
	}
}

func closeStore(t *testing.T, s *bolt.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

// copied is a copy of the file as it is, as a crash would leave it.
func copied(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func wantWhole(t *testing.T, path string) {
	t.Helper()
	if errs := bolt.Check(path); len(errs) > 0 {
		t.Errorf("bbolt's check of the file: %v", errors.Join(errs...))
	}
}

func textLog(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, nil))
}
