//go:build unix

package secret

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   fs.FileMode
		ofRoot bool
		self   int
		want   bool
	}{
		{"one's own", 0o600, false, 1000, true},
		{"one's own, read-only", 0o400, false, 1000, true},
		{"one's own, for a group too", 0o640, false, 1000, false},
		{"one's own, for everybody", 0o604, false, 1000, false},
		{"root's, for one's group", 0o440, true, 65532, true},
		{"root's, for one's group, as packages install it", 0o640, true, 65532, true},
		{"root's, and the group may change it", 0o660, true, 65532, false},
		{"root's, and the group may run it", 0o650, true, 65532, false},
		{"root's, for everybody", 0o444, true, 65532, false},
		{"root's, for one's group and everybody to run", 0o441, true, 65532, false},
		{"root's, seen by root, for a group", 0o640, true, 0, false},
		{"another's, seen by root", 0o600, false, 0, true},
		{"another's, seen by root, for a group", 0o640, false, 0, false},
	} {
		if got := private(c.mode, c.ofRoot, c.self); got != c.want {
			t.Errorf("%s: mode %04o: got %v, want %v", c.name, c.mode, got, c.want)
		}
	}
}

// TestPrivateFile: owner and mode are those of the file.
func TestPrivateFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for mode, want := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o644: false, 0o606: false} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := Private(fi); got != want {
			t.Errorf("mode %04o: got %v, want %v", mode, got, want)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
