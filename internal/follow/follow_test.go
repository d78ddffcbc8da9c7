package follow_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/internal/follow"
)

// TestFiles: a look each second, by what files hold.
func TestFiles(t *testing.T) {
	for _, c := range []struct {
		name   string
		settle bool
		steps  []string // what the file holds after each second; "-" is none, "" is as before
		want   int32    // changes that were told
	}{
		{"nothing", false, []string{"", "", ""}, 0},
		{"the same again", false, []string{"one", "one"}, 0},
		{"another content", false, []string{"two"}, 1},
		{"there and back", false, []string{"two", "one"}, 2},
		{"gone, and there again", false, []string{"-", "two"}, 2},
		{"settled", true, []string{"two", ""}, 1},
		{"half written, then whole", true, []string{"tw", "two", "", ""}, 1},
		{"never settled", true, []string{"2", "3", "4", "5"}, 0},
		{"a moment of something else", true, []string{"two", "one", "", ""}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			write(t, path, "one")
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Int32
				var seen follow.Reading
				files := []string{path}
				seen.Read(files, func() {})
				f := follow.Start(follow.Options{Files: func() []string { return files }, Seen: &seen,
					Settle: c.settle, Changed: func() { seen.Read(files, func() { told.Add(1) }) }})
				time.Sleep(500 * time.Millisecond)
				for _, s := range c.steps {
					write(t, path, s)
					time.Sleep(time.Second)
				}
				if err := f.Close(); err != nil || told.Load() != c.want {
					t.Errorf("got %d changes, %v, want %d", told.Load(), err, c.want)
				}
			})
		})
	}
}

// TestReadBetweenLooks: what somebody had read between two looks and put back is a change, and
// so is what was swapped while it was read.
func TestReadBetweenLooks(t *testing.T) {
	for _, settle := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "file")
		files := []string{path}
		write(t, path, "one")
		synctest.Test(t, func(t *testing.T) {
			var seen follow.Reading
			var inForce atomic.Value
			told := 0
			read := func() {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
				}
				inForce.Store(string(b))
			}
			seen.Read(files, read)
			f := follow.Start(follow.Options{Files: func() []string { return files }, Seen: &seen, Settle: settle,
				Changed: func() { told++; seen.Read(files, read) }})
			defer f.Close()
			holds := func(after string, want int) {
				t.Helper()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if b, err := os.ReadFile(path); err != nil || inForce.Load() != string(b) || told != want {
					t.Errorf("%s, settle %v: got %v in force and %d changes, want %s and %d; %v", after, settle, inForce.Load(), told, b, want, err)
				}
			}
			time.Sleep(1500 * time.Millisecond)

			write(t, path, "two")
			seen.Read(files, read)
			holds("read by a command", 0)
			write(t, path, "three")
			seen.Read(files, read)
			write(t, path, "two")
			holds("read by a command, and put back", 1)
			seen.Read(files, func() { read(); write(t, path, "four") })
			holds("changed right after it was read", 2)
			inForce.Store("five")
			seen.Forget()
			holds("something else put in force", 3)
		})
	}
}

// TestSwappedVolume: Kubernetes swaps a link to a folder, and no file changes.
func TestSwappedVolume(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, v, "file"), v)
	}
	link := filepath.Join(dir, "..data")
	path := []string{filepath.Join(link, "file")}
	if err := os.Symlink("v1", link); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	before := follow.Look(path)
	next := link + ".new"
	if err := os.Symlink("v2", next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, link); err != nil {
		t.Fatal(err)
	}
	if follow.Look(path) == before {
		t.Error("a swapped link is not seen")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	var err error
	switch text {
	case "":
	case "-":
		err = os.Remove(path)
	default:
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
