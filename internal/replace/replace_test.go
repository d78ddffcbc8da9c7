package replace_test

import (
	"os"
	"path/filepath"
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
