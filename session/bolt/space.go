package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// growBy is by how much the file grows at least: each time costs a sync.
	growBy = 1 << 20
	// holdFor is for how long writes are refused after one that failed. Bolt looks
	// through the whole file then for the pages that are free.
	holdFor = time.Second
)

// reserve sees that need bytes can be written before anything is changed: from
// free pages, or by growing the file with zeros. Bolt would grow it by a hole, and
// find out in the middle of a commit that the disk is full; or, in a folder in
// memory, when somebody reads.
func (s *Store) reserve(tx *bolt.Tx, need int64) error {
	if need -= freeBytes(s.db); need <= 0 {
		return nil
	}
	return s.extend(tx, need)
}

// extend sees that the file has room for so many bytes beyond its last page.
func (s *Store) extend(tx *bolt.Tx, beyond int64) error {
	fi, err := s.file.Stat()
	if err != nil {
		return err
	}
	size, want := fi.Size(), tx.Size()+beyond
	if want <= size {
		return nil
	}
	// A large file grows by a sixteenth, so that filling it costs few syncs.
	want = max(want, size+min(size/16, 64<<20))
	want = (want + growBy - 1) / growBy * growBy
	zeros := make([]byte, growBy)
	for at := size; at < want; at += growBy {
		if _, err := s.file.WriteAt(zeros[:min(growBy, want-at)], at); err != nil {
			// What was got is given back: others on this disk are short of it too.
			return errors.Join(fullError{err}, s.file.Truncate(size))
		}
	}
	return s.file.Sync()
}

// ready refuses writes after damage, and for a moment after a failure.
func (s *Store) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil && (errors.Is(s.trouble, ErrDamaged) || time.Since(s.failed) < holdFor) {
		return s.trouble
	}
	return nil
}

// note remembers how the last write went, and logs when that changes.
func (s *Store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && s.trouble == nil:
		s.log.Error("the session file cannot be written: sessions go on from memory, nobody can sign in",
			"path", s.path, "err", s.word(err))
	case err == nil && s.trouble != nil:
		s.log.Info("the session file can be written again", "path", s.path)
	}
	if errors.Is(err, ErrDamaged) {
		s.mark(err)
	}
	s.trouble = err
	if err != nil {
		s.failed = time.Now()
		if isFull(err) {
			s.failed = time.Time{} // found before bolt began: looking again costs nothing
		}
	}
}

// Trouble is why the last write failed, and nil when all is well: what an alert
// watches.
func (s *Store) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		return nil
	}
	return s.word(s.trouble)
}

// word names the file, the reason and what to do.
func (s *Store) word(err error) error {
	return fmt.Errorf("bolt: write sessions to %s: %w%s", s.path, err, remedy(err))
}

// fullError reports that there was no room before anything was written.
type fullError struct{ error }

func (e fullError) Unwrap() error { return e.error }

func isFull(err error) bool {
	_, ok := errors.AsType[fullError](err)
	return ok
}

// remedy is what to do about an error of the file system, after a semicolon.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "; make room on that disk, nothing has to be restarted"
	case errors.Is(err, syscall.EFBIG):
		return "; files may not grow so large here: raise the limit (ulimit -f, LimitFSIZE=)"
	case errors.Is(err, syscall.EROFS):
		return "; its file system is mounted read-only: mount it read-write, and look why it was not"
	case errors.Is(err, fs.ErrPermission):
		return "; the user that runs evergate has to own the file and its folder (chown, chmod 600)"
	}
	return ""
}
