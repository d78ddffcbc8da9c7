package bolt

import (
	"errors"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
)

// Bolt panics over pages that make no sense, and a page that names one beyond
// the file faults. Neither is for the user of a session to see: both come back as
// ErrDamaged.

// caught returns what to defer: it turns a panic into *err.
//
// The fault is only turned into a panic in the goroutine that asks for it.
func caught(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %v; stop evergate, and %s", ErrDamaged, p, mend)
		}
	}
}

// view runs f in a transaction that reads.
func (s *Store) view(f func(*bolt.Tx) error) (err error) {
	if broken := s.broken.Load(); broken != nil {
		return *broken
	}
	defer caught(&err)()
	return s.db.View(f)
}

// update runs f in a transaction that writes at most about need bytes, and is on
// disk when update returns nil. What could not be written leaves the file as it
// was.
func (s *Store) update(need int64, f func(*bolt.Tx) error) error {
	if err := s.ready(); err != nil {
		return err
	}
	err := s.transact(need, f)
	s.note(err)
	return err
}

func (s *Store) transact(need int64, f func(*bolt.Tx) error) (err error) {
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() {
		if errors.Is(err, ErrDamaged) {
			s.stuck.Store(true)
			var ignored error // it may panic again; nothing is written any more
			defer caught(&ignored)()
			_ = tx.Rollback()
		}
	}()
	defer caught(&err)()
	if err := s.reserve(tx, need); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	s.db.NoFreelistSync = !s.roomForList(tx, need)
	return tx.Commit()
}
