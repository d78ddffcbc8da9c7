package bolt_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

func TestWhatIsNoSessionFileIsRefused(t *testing.T) {
	for name, content := range map[string][]byte{
		"text":            []byte("sessions: none\n"),
		"a page of zeros": make([]byte, 4096),
		"zeros":           make([]byte, 1<<20),
		"noise":           noise(1 << 20),
	} {
		path := filepath.Join(t.TempDir(), "s.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bolt.Open(path, nil)
		if !errors.Is(err, bolt.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: got %v, want ErrDamaged, the file and what to do", name, err)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// TestDamagedPagesAreErrors damages each page of a small file in several ways,
// of one that was closed in order and of one that was not. Whatever a store then
// says, it does not panic, and what it gives is what was put.
func TestDamagedPagesAreErrors(t *testing.T) {
	t.Parallel()
	laborious(t)
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	const records = 40
	fill(t, s, 0, records)
	killed := copied(t, path)
	closeStore(t, s)
	const pageSize = 4096
	for name, file := range map[string]string{"killed": killed, "closed": path} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		refused, failed := 0, 0
		used := bytes.TrimRight(whole, "\x00")
		for page := range (len(used) + pageSize - 1) / pageSize {
			at := page * pageSize
			for kind, harm := range map[string]func([]byte){
				"zeros":          func(b []byte) { clear(b[at : at+pageSize]) },
				"noise":          func(b []byte) { copy(b[at:], noise(pageSize)) },
				"noise inside":   func(b []byte) { copy(b[at+16:], noise(256)) },
				"another page":   func(b []byte) { copy(b[at:at+pageSize], whole[2*pageSize:]) },
				"ones at the id": func(b []byte) { copy(b[at+16:], bytes.Repeat([]byte{0xff}, 48)) },
				"cut off":        func(b []byte) { clear(b[at:]) },
			} {
				b := bytes.Clone(whole)
				harm(b)
				to := filepath.Join(t.TempDir(), "s.db")
				if err := os.WriteFile(to, b, 0o600); err != nil {
					t.Fatal(err)
				}
				if name == "killed" {
					killedAt(t, to)
				}
				s, err := bolt.Open(to, nil)
				if err == nil && !lookedOver(t, s) {
					refused++
				}
				if err != nil {
					if !errors.Is(err, bolt.ErrDamaged) || !strings.Contains(err.Error(), to) {
						t.Errorf("%s, page %d, %s: open: %v", name, page, kind, err)
					}
					refused++
					continue
				}
				for i := range records {
					if _, err := s.Get(t.Context(), keyOf(i), 0); errors.Is(err, bolt.ErrDamaged) {
						failed++
					} else if err != nil && !errors.Is(err, session.ErrNotFound) {
						t.Errorf("%s, page %d, %s: get: %v", name, page, kind, err)
					}
					_, _ = s.Find(t.Context(), tagOf(i))
				}
				now, _ := s.Now(t.Context())
				_ = s.Put(t.Context(), keyOf(records), 0, session.Record{Version: 1, Expires: now.Add(time.Hour), Tags: []session.Tag{tagOf(1)}})
				_ = s.Delete(t.Context(), keyOf(3))
				_, _ = s.Sweep()
				_ = s.Close()
			}
		}
		if refused == 0 || (name == "closed" && failed == 0) {
			t.Errorf("%s: %d files were refused, %d reads failed; the test has shown nothing", name, refused, failed)
		}
	}
}
