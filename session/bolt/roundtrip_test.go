package bolt_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// TestRoundTrip: what is in the file stays, and nothing is left behind.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	s, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	rec := session.Record{Version: 1, Expires: time.Now().Add(time.Hour), Meta: []byte("m"), Data: []byte("kept")}
	if err := s.Put(t.Context(), session.Key{7}, 0, rec); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.RoundTrip(t.Context(), path); !errors.Is(err, bolt.ErrInUse) {
		t.Errorf("while it is open: got %v, want ErrInUse", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	took, err := bolt.RoundTrip(t.Context(), path)
	if err != nil || took <= 0 {
		t.Errorf("got %s, %v", took, err)
	}
	if s, err = bolt.Open(path, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Get(t.Context(), session.Key{7}, 0); err != nil || string(got.Data) != "kept" {
		t.Errorf("the record of before: got %q, %v", got.Data, err)
	}
	n := 0
	if err := s.Scan(t.Context(), func(session.Key, session.Record) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("got %d records, %v, want the one of before", n, err)
	}
}
