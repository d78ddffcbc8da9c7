package bolt_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/session/bolt"
)

const many, few = 6000, 300

var emptied struct {
	sync.Mutex
	file []byte
}

// mostlyEmpty is a closed file that once held many records, and holds few. It is made once: that
// takes six thousand writes.
func mostlyEmpty(t *testing.T, path string) {
	t.Helper()
	emptied.Lock()
	defer emptied.Unlock()
	if emptied.file == nil {
		made := filepath.Join(t.TempDir(), "s.db")
		s := open(t, made)
		fill(t, s, 0, many)
		empty(t, s, few, many-few)
		closeStore(t, s)
		var err error
		if emptied.file, err = os.ReadFile(made); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, emptied.file, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMostlyEmptyFileIsCompactedAtTheStart(t *testing.T) {
	t.Parallel()
	laborious(t)
	path := filepath.Join(t.TempDir(), "s.db")
	mostlyEmpty(t, path)
	before := sizeOf(t, path)
	s := open(t, path)
	closeStore(t, s)
	if got := sizeOf(t, path); got != before {
		t.Errorf("below 64 MiB: got %d bytes of %d, want the file left alone", got, before)
	}
	s, err := bolt.OpenCompacting(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := sizeOf(t, path); got > before/4 {
		t.Errorf("got %d bytes of %d, want a quarter at most", got, before)
	}
	has(t, s, 0, few)
	fill(t, s, many, few)
	empty(t, s, many, few)
	closeStore(t, s)
	wantWhole(t, path)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", fi.Mode().Perm(), err)
	}
	s = open(t, path)
	defer s.Close()
	has(t, s, 0, few)
}

func TestFullFileIsNotCompacted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	s := open(t, path)
	fill(t, s, 0, many)
	closeStore(t, s)
	s, err := bolt.OpenCompacting(path, nil, func(step string) { t.Errorf("it came to step %s", step) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	has(t, s, 0, many)
}

func TestNobodyGetsBetweenTheFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	mostlyEmpty(t, path)
	// One has been waiting for the lock of the old file since before it was replaced.
	waited := make(chan error, 1)
	s, err := bolt.OpenCompacting(path, nil, func(step string) {
		if step == "checked" {
			go func() {
				other, err := bolt.Open(path, nil)
				if err == nil {
					_ = other.Close()
				}
				waited <- err
			}()
			time.Sleep(200 * time.Millisecond) // it has the old file open by now
			return
		}
		if other, err := bolt.Open(path, nil); !errors.Is(err, bolt.ErrInUse) {
			t.Errorf("another process after step %s: got %v, want ErrInUse", step, err)
			if err == nil {
				_ = other.Close()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := <-waited; !errors.Is(err, bolt.ErrInUse) {
		t.Errorf("who waited for the old file: got %v, want ErrInUse", err)
	}
	has(t, s, 0, few)
}

func TestRestOfACompactionIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path+".compact", []byte("half of a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	defer s.Close()
	if _, err := os.Stat(path + ".compact"); !os.IsNotExist(err) {
		t.Errorf("the rest: got %v, want it gone", err)
	}
}

func TestCompactionThatCannotIsDoneWithout(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s.db")
	mostlyEmpty(t, path)
	before := sizeOf(t, path)
	if err := os.MkdirAll(path+".compact/in the way", 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := bolt.OpenCompacting(path, textLog(&log), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := sizeOf(t, path); got != before || !strings.Contains(log.String(), "in the way") {
		t.Errorf("got %d bytes of %d and the log\n%s", got, before, &log)
	}
	has(t, s, 0, few)
}
