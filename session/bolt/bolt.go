// Package bolt keeps sessions in one file of this machine, with bbolt: nothing
// to install, and every answer survives kill -9, because a write is on disk
// before it is acknowledged.
package bolt

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/evergate/evergate/session"
)

// Store implements session.Store. Open makes one.
type Store struct {
	db    *bolt.DB
	file  *os.File // the one that db has open
	path  string
	log   *slog.Logger
	clock clock

	copies  session.Copies
	leases  session.Leases
	watches session.Watches

	ops  chan *op
	soon chan struct{} // holds one where it is to sweep at once
	stop chan struct{}
	wg   sync.WaitGroup
	once sync.Once

	swept    atomic.Uint64
	listMost atomic.Int64          // see roomForList
	unseen   atomic.Bool           // the file was not closed in order, and not looked over yet
	stuck    atomic.Bool           // a write has panicked
	broken   atomic.Pointer[error] // why nothing is read any more

	// Of the writer alone.
	sweeping bool          // more has expired than was swept yet
	chunk    int           // how much is swept at once
	rest     time.Duration // how long the last chunk took

	mu      sync.Mutex // guards trouble, failed
	trouble error      // why the last write failed
	failed  time.Time  // and when
}

var _ session.Store = (*Store)(nil)

var (
	// bucketSessions maps a key to version, expiry (Unix nanoseconds), the number
	// of tags, tags and data.
	bucketSessions = []byte("sessions")
	// bucketExpiry maps expiry and key to nothing, so that sweeping reads only
	// what is over.
	bucketExpiry = []byte("expiry")
	// bucketTags maps tag and key to nothing, so that finding reads only what it
	// finds.
	bucketTags = []byte("tags")
	bucketMeta = []byte("meta")
	keyClock   = []byte("clock")
)

// prepare makes the buckets of a new file, starts the clock and notes who has the
// file. An old one is only read: there may be no room for more.
func (s *Store) prepare() error {
	s.chunk = sweepMost
	s.listMost.Store(listMost)
	s.db.AllocSize = growBy
	buckets := [][]byte{bucketSessions, bucketExpiry, bucketTags, bucketMeta}
	missing, last := false, time.Time{}
	err := s.view(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			missing = missing || tx.Bucket(name) == nil
		}
		if meta := tx.Bucket(bucketMeta); meta != nil {
			if b := meta.Get(keyClock); len(b) == 8 {
				last = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
			}
		}
		return nil
	})
	s.clock = startClock(last)
	if err == nil && missing {
		err = s.update(spare, func(tx *bolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return wordOpen(s.path, err)
	}
	if err := os.WriteFile(pidFile(s.path), []byte(fmt.Sprintln(os.Getpid())), 0o600); err != nil {
		s.log.Warn("the process id could not be noted beside the session file", "path", s.path, "err", err)
	}
	return nil
}

// Close waits for what is being written, and closes the file.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.stop)
		s.wg.Wait()
		if !s.unseen.Load() { // or the next start looks it over
			_ = os.Remove(pidFile(s.path))
		}
		err = s.closeFile()
	})
	return err
}

// closeFile notes in the file which pages are free, however many, which spares the
// next start to look for them.
func (s *Store) closeFile() error {
	switch {
	case s.stuck.Load():
		return s.file.Close() // bolt may wait for a lock that a panic has left
	case s.broken.Load() != nil:
		return s.db.Close()
	}
	s.listAll()
	if err := s.update(0, func(tx *bolt.Tx) error { return s.tick(tx) }); err != nil {
		s.log.Warn("the session file was not closed in order, the next start reads all of it", "path", s.path, "err", err)
	}
	return s.db.Close()
}

// tick notes the time in the file.
func (s *Store) tick(tx *bolt.Tx) error {
	return tx.Bucket(bucketMeta).Put(keyClock, binary.BigEndian.AppendUint64(nil, uint64(s.clock.now().UnixNano())))
}

// Path returns the name of the file.
func (s *Store) Path() string { return filepath.Clean(s.path) }

// Now implements session.Store.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return s.clock.now(), ctx.Err() }

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, key session.Key, atLeast uint64) (session.Record, error) {
	if err := ctx.Err(); err != nil {
		return session.Record{}, err
	}
	rec, found, was := s.copies.Find(key, time.Time{})
	if !found || rec.Version < atLeast || s.broken.Load() != nil { // a write is on disk before its copy is here
		var err error
		if rec, found, err = s.read(key); err != nil {
			return session.Record{}, fmt.Errorf("bolt: read a session from %s: %w", s.path, err)
		}
		if found {
			s.copies.Took(key, rec, time.Time{}, was)
		}
	}
	rec.Now = s.clock.now()
	if !found || !rec.Now.Before(rec.Expires) {
		return session.Record{}, session.ErrNotFound
	}
	return rec, nil
}

// read reads a record from the file.
func (s *Store) read(key session.Key) (rec session.Record, found bool, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		rec, found = decode(tx.Bucket(bucketSessions).Get(key[:]))
		rec = own(rec)
		return nil
	})
	return rec, found, err
}
