package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	bolt "go.etcd.io/bbolt"
)

// A bolt file never shrinks: pages of forgotten sessions wait to be used again.
// After a wave of sign-ins that is over, that is most of the file.

const (
	// compactAbove is the size of a file that is worth copying.
	compactAbove = 64 << 20
	// copyAtOnce bounds one transaction of the copy.
	copyAtOnce = 8 << 20
)

func compactFile(path string) string { return path + ".compact" }

// compacted returns the file as it is, or if it is large and mostly empty, its
// copy. Both files are locked until the copy has the name, and the copy stays so:
// no other process comes in between. A crash leaves the one or the other under the
// name, both whole. What goes wrong is logged: the old file is as good.
func compacted(path string, old *handle, log *slog.Logger, set settings) (*handle, error) {
	tmp := compactFile(path)
	if err := os.Remove(tmp); err == nil {
		log.Info("the rest of a compaction that was cut short was removed", "path", tmp)
	} else if !errors.Is(err, fs.ErrNotExist) {
		log.Warn("the rest of a compaction that was cut short is in the way", "path", tmp, "err", err)
		return old, nil
	}
	fi, err := old.file.Stat()
	if err != nil || fi.Size() <= set.compactAbove || freeBytes(old.db) <= fi.Size()/2 {
		return old, nil
	}
	step := set.step
	if step == nil {
		step = func(string) {}
	}
	fresh, err := copyInto(tmp, old, step)
	if err == nil {
		err = os.Rename(tmp, path)
		if err != nil {
			_ = fresh.Close()
		}
	}
	if err != nil {
		_ = os.Remove(tmp)
		log.Warn("the session file could not be compacted, and is used as it is", "path", path, "err", err)
		return old, nil
	}
	step("renamed")
	if err := syncFolder(path); err != nil {
		log.Warn("the folder could not be synced after compacting; a crash of the machine may bring the old session file back",
			"path", path, "err", err)
	}
	step("synced")
	_ = old.Close()
	if now, err := fresh.file.Stat(); err == nil {
		log.Info("the session file was compacted", "path", path, "bytes_before", fi.Size(), "bytes", now.Size())
	}
	return fresh, nil
}

// copyInto makes a locked copy at tmp that is on disk and was read over.
func copyInto(tmp string, old *handle, step func(string)) (_ *handle, err error) {
	fresh, err := openFile(tmp, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = fresh.Close()
		}
	}()
	step("begun")
	fresh.db.AllocSize = growBy
	fresh.db.NoSync = true // until all of it is there
	if err := copyPages(fresh.db, old.db); err != nil {
		return nil, err
	}
	// What bolt has grown it by in the end is a hole, which a full disk cannot fill.
	if err := fresh.file.Truncate(highWater(fresh.db)); err != nil {
		return nil, err
	}
	step("copied")
	if err := fresh.file.Sync(); err != nil {
		return nil, err
	}
	fresh.db.NoSync = false
	if _, err := checkFile(fresh.file, true); err != nil {
		return nil, fmt.Errorf("the copy is not whole: %w", err)
	}
	step("checked")
	return fresh, nil
}

// copyPages has bolt copy. A page of the old file may be damaged.
func copyPages(fresh, old *bolt.DB) (err error) {
	defer caught(&err)()
	return bolt.Compact(fresh, old, copyAtOnce)
}

// highWater is where the last page that was ever used ends.
func highWater(db *bolt.DB) (n int64) {
	_ = db.View(func(tx *bolt.Tx) error {
		n = tx.Size()
		return nil
	})
	return n
}

func freeBytes(db *bolt.DB) int64 {
	return int64(db.Stats().FreePageN) * int64(db.Info().PageSize)
}

// syncFolder makes a rename last.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
