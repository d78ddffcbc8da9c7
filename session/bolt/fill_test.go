package bolt_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// entriesFrom are n records as those of fill, with Meta, in no order.
func entriesFrom(t *testing.T, s *bolt.Store, first, n int) (all []bolt.Entry) {
	t.Helper()
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i < first+n; i++ {
		all = append(all, bolt.Entry{Key: keyOf(i), Record: session.Record{Version: 1,
			Expires: now.Add(time.Hour + time.Duration(i)), Tags: []session.Tag{tagOf(i)}, Meta: []byte("meta"), Data: make([]byte, 1000)}})
	}
	rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// TestFilledIsAsPut fills one file, puts the same records into another one by one,
// and compares what is in them, their sizes, and what becomes of them later.
func TestFilledIsAsPut(t *testing.T) {
	t.Parallel()
	laborious(t)
	const n = 25_000 // more than one transaction
	dir := t.TempDir()
	filled, put := open(t, filepath.Join(dir, "filled.db")), open(t, filepath.Join(dir, "put.db"))
	entries := entriesFrom(t, filled, 0, n)
	fill(t, put, 0, n)
	if err := filled.Fill(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	has(t, filled, 0, n)
	var keys []session.Key
	if err := filled.Scan(t.Context(), func(k session.Key, rec session.Record) error {
		if string(rec.Meta) != "meta" || rec.Version != 1 {
			t.Fatalf("got %q, version %d", rec.Meta, rec.Version)
		}
		keys = append(keys, k)
		return nil
	}); err != nil || len(keys) != n {
		t.Fatalf("scan: got %d, %v", len(keys), err)
	}
	empty(t, filled, 100, n-100)
	empty(t, put, 100, n-100)
	has(t, filled, 0, 100)
	closeStore(t, filled)
	closeStore(t, put)
	wantWhole(t, filepath.Join(dir, "filled.db"))
	got, want := sizeOf(t, filepath.Join(dir, "filled.db")), sizeOf(t, filepath.Join(dir, "put.db"))
	if got < want*7/10 || got > want*13/10 {
		t.Errorf("filled: %d bytes, put one by one: %d", got, want)
	}
}

func TestFillTakesNobodysPlace(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	defer s.Close()
	fill(t, s, 5, 1)
	if err := s.Fill(t.Context(), entriesFrom(t, s, 0, 10)); !errors.Is(err, session.ErrConflict) {
		t.Errorf("a key that is taken: got %v, want ErrConflict", err)
	}
	has(t, s, 5, 1)
	twice := entriesFrom(t, s, 10, 3)
	if err := s.Fill(t.Context(), slices.Concat(twice, twice[:1])); !errors.Is(err, session.ErrConflict) {
		t.Errorf("a key twice: got %v, want ErrConflict", err)
	}
	has(t, s, 5, 1)
}
