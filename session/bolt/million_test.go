package bolt_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// TestMillionAfterKill opens a file of a million sessions as a killed process left it:
// within a second, and whole. It takes 3 GB of disk.
func TestMillionAfterKill(t *testing.T) {
	if os.Getenv("EVERGATE_FULL") == "" {
		t.Skip("EVERGATE_FULL=1 takes a minute and 3 GB of disk for it")
	}
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	now, _ := s.Now(t.Context())
	const n = 1_000_000
	entries, data := make([]bolt.Entry, n), make([]byte, 1100)
	_, _ = rand.Read(data)
	for i := range entries {
		e := &entries[i]
		_, _ = rand.Read(e.Key[:])
		e.Record = session.Record{Version: 1, Expires: now.Add(time.Hour + time.Duration(i)), Tags: []session.Tag{session.Tag(e.Key)}, Data: data}
	}
	began := time.Now()
	if err := s.Fill(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	t.Logf("filled in %s", time.Since(began))
	rec := session.Record{Version: 1, Expires: now.Add(time.Hour), Data: data}
	var writes []time.Duration
	for i := range 50 {
		at := time.Now()
		if err := s.Put(t.Context(), keyOf(i), 0, rec); err != nil {
			t.Fatal(err)
		}
		writes = append(writes, time.Since(at))
	}
	t.Logf("writes took %s, with %d pages free", writes[:5], s.Free())
	if err := bolt.Abandon(s); err != nil { // as a kill does
		t.Fatal(err)
	}
	wantListed(t, path, true)
	began = time.Now()
	again := open(t, path)
	rec, err := again.Get(t.Context(), keyOf(7), 0)
	took := time.Since(began)
	if err != nil || len(rec.Data) != len(data) {
		t.Fatalf("got %d bytes, %v", len(rec.Data), err)
	}
	t.Logf("the first answer came after %s", took)
	if took > time.Second {
		t.Errorf("the first answer came after %s, want a second at most", took)
	}
	began = time.Now()
	if !lookedOver(t, again) {
		t.Error(again.Trouble())
	}
	t.Logf("looked over %s later", time.Since(began))
	closeStore(t, again)
}
