package bolt

import (
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A file that was not closed in order, but tells which pages are free, is served at
// once: what a killed process has written is with the kernel, and after a failure of the
// machine bolt's order of syncs holds, unless the disk has lied. It is looked over all
// the same, while it serves.

// lookAtOnce is how many pages are looked at before others have the disk and the
// processor for as long as that took.
const lookAtOnce = 512

// lookOver reads the whole tree, as it was when it began. Over damage nothing is read
// or written any more, and the next start finds the mark.
func (s *Store) lookOver() {
	began := time.Now()
	err := s.view(func(tx *bolt.Tx) error {
		size := int64(s.db.Info().PageSize)
		b, done, err := mapped(s.file, tx.Size())
		if err != nil {
			return err
		}
		defer done()
		high := uint64(tx.Size() / size)
		c := &checker{b: b, size: size, high: high, seen: make([]bool, high), turn: s.pace()}
		if err := c.tree(uint64(tx.Cursor().Bucket().Root()), 0); errors.Is(err, errClosed) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w; stop evergate, and %s", ErrDamaged, err, mend)
		}
		return nil
	})
	switch {
	case err == nil:
		s.unseen.Store(false)
		s.log.Info("the session file was not closed in order, was looked over and is whole", "path", s.path, "took", time.Since(began).Round(time.Millisecond))
	case errors.Is(err, ErrDamaged):
		s.broken.Store(&err)
		s.note(err)
	case !errors.Is(err, errClosed):
		s.log.Warn("the session file was not closed in order, and could not be looked over", "path", s.path, "err", err)
	}
}

// pace lets a look-over take half of the time at most, and end with the store.
func (s *Store) pace() func() error {
	n, since := 0, time.Now()
	return func() error {
		if n++; n%lookAtOnce != 0 {
			return nil
		}
		rest := time.NewTimer(time.Since(since))
		defer rest.Stop()
		select {
		case <-s.stop:
			return errClosed
		case <-rest.C:
		}
		since = time.Now()
		return nil
	}
}

// mark leaves word for the next start, which then reads all of the file before it
// serves.
func (s *Store) mark(err error) {
	if err := os.WriteFile(damagedFile(s.path), []byte(err.Error()+"\n"), 0o600); err != nil {
		s.log.Warn("it could not be noted beside the session file that it is damaged", "path", s.path, "err", err)
	}
}
