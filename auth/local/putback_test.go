package local_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
)

// TestPutBackAfterChange: the file is what counts, also where the one of before is put back
// before anybody has looked at the one that a change of password has written.
func TestPutBackAfterChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	hash := hashOf(t, password)
	write := func(hash string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(hash), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hash)
	d, err := local.NewDirectory(local.DirectoryOptions{
		Path: file, Every: 200 * time.Millisecond,
		Load: func() ([]local.User, error) {
			b, err := os.ReadFile(file)
			return []local.User{{Name: "alice", Password: string(b)}}, err
		},
		Save: func(_ context.Context, _, was, hash string) error {
			b, err := os.ReadFile(file)
			if err == nil && string(b) != was {
				err = auth.ErrChanged
			}
			if err != nil {
				return err
			}
			return os.WriteFile(file, []byte(hash), 0o600)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m := &local.Method{Name: "local", Users: d, Hasher: local.NewHasher(2), Throttle: local.NewThrottle(nil), Minter: minter{}}
	before, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	// Several times, since a look may fall between the change and the write.
	for range 3 {
		after, err := m.Change(t.Context(), auth.Asker{Addr: home}, before, password, other)
		write(hash)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); m.Check(before) != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if m.Check(before) != nil || m.Check(after) == nil {
			t.Fatalf("the password on disk: got %v, that of the change: got %v; want the one on disk", m.Check(before), m.Check(after))
		}
	}
}
