package bolt_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// killedAt makes a file one of a process that was killed.
func killedAt(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path+".pid", []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lookedOver waits until a file has been looked over, and tells whether it is whole.
func lookedOver(t *testing.T, s *bolt.Store) bool {
	t.Helper()
	for began := time.Now(); s.Unseen(); time.Sleep(100 * time.Microsecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("it is still being looked over")
		}
	}
	return !errors.Is(s.Trouble(), bolt.ErrDamaged)
}

func wantListed(t *testing.T, path string, want bool) {
	t.Helper()
	if got, err := bolt.Listed(path); err != nil || got != want {
		t.Errorf("a list of free pages: got %v, %v, want %v", got, err, want)
	}
}

func TestKilledFileIsServedAtOnceAndLookedOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	defer s.Close()
	fill(t, s, 0, 3000)
	empty(t, s, 0, 200)
	killed := copied(t, path)
	killedAt(t, killed)
	wantListed(t, killed, true)
	var log bytes.Buffer
	again, err := bolt.Open(killed, textLog(&log))
	if err != nil {
		t.Fatal(err)
	}
	has(t, again, 200, 2800)
	fill(t, again, 3000, 500) // beside the look-over
	if !lookedOver(t, again) {
		t.Error(again.Trouble())
	}
	has(t, again, 200, 3300)
	closeStore(t, again)
	if !strings.Contains(log.String(), "is whole") {
		t.Errorf("got the log %s", &log)
	}
	if _, err := os.Stat(killed + ".pid"); !os.IsNotExist(err) {
		t.Errorf("the process id after closing: got %v, want it gone", err)
	}
	wantWhole(t, killed)
}

// TestDamageIsFoundBesideServing damages a page of records of a file whose process was
// killed. It is served until that page is looked at, and not again.
func TestDamageIsFoundBesideServing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	fill(t, s, 0, 3000)
	whole := copied(t, path)
	closeStore(t, s)
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, keyOfBytes(1234)) // its entry in a page, or a copy in a free one
	for ; at >= 0; at = bytes.Index(b, keyOfBytes(1234)) {
		clear(b[at/4096*4096 : at/4096*4096+4096])
	}
	path = filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	killedAt(t, path)
	s, err = bolt.Open(path, nil)
	if err != nil {
		t.Fatalf("got %v, want it to serve", err)
	}
	if lookedOver(t, s) {
		t.Fatal("the damage was not found")
	}
	now, _ := s.Now(t.Context())
	if err := s.Put(t.Context(), keyOf(5000), 0, session.Record{Version: 1, Expires: now.Add(time.Hour)}); !errors.Is(err, bolt.ErrDamaged) {
		t.Errorf("a write: got %v, want ErrDamaged", err)
	}
	for began := time.Now(); ; { // the reads are refused a moment before or after
		_, err := s.Get(t.Context(), keyOf(7), 0)
		if errors.Is(err, bolt.ErrDamaged) {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatalf("a read: got %v, want ErrDamaged", err)
		}
	}
	_ = s.Close()
	if _, err := bolt.Open(path, nil); !errors.Is(err, bolt.ErrDamaged) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("the next start: got %v, want ErrDamaged and what to do", err)
	}
	if b, err = os.ReadFile(whole); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	has(t, s, 0, 3000)
	closeStore(t, s)
	if _, err := os.Stat(path + ".damaged"); !os.IsNotExist(err) {
		t.Errorf("the mark, with a backup in place: got %v, want it gone", err)
	}
}

func keyOfBytes(i int) []byte { k := keyOf(i); return k[:] }

// TestLongListIsLeftOut has more free pages than are noted with each write.
func TestLongListIsLeftOut(t *testing.T) {
	t.Parallel()
	laborious(t)
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	entries := entriesFrom(t, s, 0, 12_000)
	if err := s.Fill(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	empty(t, s, 0, 11_900)
	if s.Free() <= bolt.ListMost {
		t.Fatalf("got %d free pages, want more than %d", s.Free(), bolt.ListMost)
	}
	fill(t, s, 12_000, 1)
	killed := copied(t, path)
	killedAt(t, killed)
	wantListed(t, killed, false)
	again := open(t, killed)
	if again.Unseen() {
		t.Error("it is looked over, and was read to its end at the start")
	}
	has(t, again, 11_900, 101)
	closeStore(t, again)
	closeStore(t, s)
	wantListed(t, path, true)
	wantListed(t, killed, true)
}
