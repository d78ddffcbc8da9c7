//go:build unix

package replace

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives f to whom the file at path belongs, where there is one and we may.
func keepOwner(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil // it is ours then, as what we write always was
	}
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
