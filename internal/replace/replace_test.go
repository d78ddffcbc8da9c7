package replace_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/evergate/evergate/internal/replace"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.yaml")
	for _, want := range []string{"one", "two"} {
		if err := replace.File(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("got %q and %v, want %q", got, err, want)
		}
		if err := os.Chmod(path, 0o640); err != nil { // the next one closes it again
			t.Fatal(err)
		}
	}
	if err := replace.File(path, nil); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v and %v, want 0600", fi.Mode(), err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("got %v and %v, want the file alone", left, err)
	}
	if err := replace.File(filepath.Join(dir, "nowhere", "x"), nil); err == nil {
		t.Error("a file was written into a folder that is not there")
	}
}

func TestEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	exclaim := func(was []byte) ([]byte, error) { return append(was, '!'), nil }
	if err := replace.Edit(path, exclaim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with no file: got %v", err)
	}
	byHand := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	byHand("one")
	edits := 0
	err := replace.Edit(path, func(was []byte) ([]byte, error) {
		if edits++; edits == 1 {
			byHand("two") // an editor saves while we work it out
		}
		return exclaim(was)
	})
	if got, _ := os.ReadFile(path); err != nil || string(got) != "two!" || edits != 2 {
		t.Errorf("got %q after %d edits, %v, want what was written by hand, edited", got, edits, err)
	}
	err = replace.Edit(path, func(was []byte) ([]byte, error) {
		byHand(string(was) + "?")
		return exclaim(was)
	})
	if got, _ := os.ReadFile(path); !errors.Is(err, replace.ErrChanged) || strings.Contains(string(got), "?!") {
		t.Errorf("against an editor that never rests: got %q, %v", got, err)
	}
	refused := errors.New("no")
	if err := replace.Edit(path, func([]byte) ([]byte, error) { return nil, refused }); !errors.Is(err, refused) {
		t.Errorf("got %v, want the reason", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("got %v, want the file alone", left)
	}
}

// TestEditAtOnce: no edit is lost among others of ours.
func TestEditAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tally")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const each, writers = 25, 4
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := replace.Edit(path, func(was []byte) ([]byte, error) { return append(was, '|'), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, _ := os.ReadFile(path); len(got) != each*writers {
		t.Errorf("got %d edits, want %d", len(got), each*writers)
	}
}
