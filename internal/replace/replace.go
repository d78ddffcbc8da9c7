// Package replace rewrites a small file in one step.
package replace

import (
	"errors"
	"os"
	"path/filepath"
)

// File puts data in the place of what is at path: a crash leaves the old file or the new
// one. The new one has mode 0600. What root rewrites stays with the user and the group
// that it belonged to, so that a gateway that runs as somebody else can still read it.
func File(path string, data []byte) error { return write(path, data, func() error { return nil }) }

func write(path string, data []byte, still func() error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = keepOwner(tmp, path)
	}
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := still(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
