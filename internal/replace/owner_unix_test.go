//go:build unix

package replace_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/evergate/evergate/internal/replace"
)

// TestRootKeepsTheOwner: `evergate user add` by root leaves the users file to the gateway.
func TestRootKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65532, 65533); err != nil {
		t.Fatal(err)
	}
	if err := replace.File(path, []byte("users: {}\n")); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); st.Uid != 65532 || st.Gid != 65533 || fi.Mode().Perm() != 0o600 {
		t.Errorf("got %d:%d with mode %v, want 65532:65533 with 0600", st.Uid, st.Gid, fi.Mode())
	}
}
