// Package bolt keeps sessions in one file of this machine, with bbolt: nothing
// to install, and every answer survives kill -9, because a write is on disk
// before it is acknowledged.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/evergate/evergate/session"
)

// Store implements session.Store. Open makes one.
type Store struct {
	db    *bolt.DB
	path  string
	log   *slog.Logger
	clock clock

	leases  session.Leases
	watches session.Watches

	ops  chan *op
	stop chan struct{}
	wg   sync.WaitGroup
	once sync.Once
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

// ErrInUse reports that another process has the file open.
var ErrInUse = errors.New("bolt: the session file is in use by another process")

const lockTimeout = time.Second

// Open opens the file at path, or makes it with mode 0600.
func Open(path string, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if fi, err := os.Lstat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("bolt: %s is not a regular file; remove it or name another data_dir", path)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoFreelistSync: true,
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s%s; stop that one, or give this one a data_dir of its own", ErrInUse, path, owner(path))
	case err != nil:
		return nil, fmt.Errorf("bolt: open %s: %w", path, err)
	}
	s := &Store{db: db, path: path, log: log, ops: make(chan *op, 1024), stop: make(chan struct{})}
	if err := s.prepare(); err != nil {
		_ = db.Close()
		return nil, err
	}
	s.wg.Go(s.write)
	s.wg.Go(s.sweepOnTime)
	return s, nil
}

// prepare makes the buckets, starts the clock and notes who has the file.
func (s *Store) prepare() error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketSessions, bucketExpiry, bucketTags, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		var last time.Time
		if b := tx.Bucket(bucketMeta).Get(keyClock); len(b) == 8 {
			last = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
		}
		s.clock = startClock(last)
		return nil
	})
	if err != nil {
		return fmt.Errorf("bolt: prepare %s: %w", s.path, err)
	}
	if err := os.WriteFile(pidFile(s.path), []byte(fmt.Sprintln(os.Getpid())), 0o600); err != nil {
		s.log.Warn("the process id could not be noted beside the session file", "path", s.path, "err", err)
	}
	return nil
}

func pidFile(path string) string { return path + ".pid" }

func owner(path string) string {
	b, err := os.ReadFile(pidFile(path))
	if err != nil {
		return ""
	}
	return " (process " + strings.TrimSpace(string(b)) + ")"
}

// Close waits for what is being written, and closes the file.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.stop)
		s.wg.Wait()
		_ = os.Remove(pidFile(s.path))
		err = s.db.Close()
	})
	return err
}

// Path returns the name of the file.
func (s *Store) Path() string { return filepath.Clean(s.path) }

// Now implements session.Store.
func (s *Store) Now(ctx context.Context) (time.Time, error) { return s.clock.now(), ctx.Err() }

// Get implements session.Store.
func (s *Store) Get(ctx context.Context, key session.Key, _ uint64) (rec session.Record, err error) {
	if err := ctx.Err(); err != nil {
		return session.Record{}, err
	}
	found := false
	err = s.db.View(func(tx *bolt.Tx) error {
		rec, found = decode(tx.Bucket(bucketSessions).Get(key[:]))
		rec = own(rec)
		return nil
	})
	if err != nil {
		return session.Record{}, fmt.Errorf("bolt: get session: %w", err)
	}
	rec.Now = s.clock.now()
	if !found || !rec.Now.Before(rec.Expires) {
		return session.Record{}, session.ErrNotFound
	}
	return rec, nil
}
