package bolt

import (
	"log/slog"
	"os"

	bolt "go.etcd.io/bbolt"
)

const (
	MaxBatch  = maxBatch
	SweepMost = sweepMost
)

// Steps are what a compaction calls step with, in this order.
var Steps = []string{"begun", "copied", "checked", "renamed", "synced"}

func (s *Store) Sweep() (int, error) { return s.sweep(sweepMost) }

// Turn has a still store do what its writer does in one go, and tells whether it
// would go on.
func (s *Store) Turn() bool {
	s.turn()
	return s.sweeping
}

// StartSweep does what the passing of a minute does.
func (s *Store) StartSweep() { s.sweeping = true }

// Waiting counts the changes that wait for the writer.
func (s *Store) Waiting() int { return len(s.ops) }

func (s *Store) File() *os.File { return s.file }

// OpenStill opens a store that does nothing by itself.
func OpenStill(path string) (*Store, error) {
	return open(path, nil, settings{still: true, compactAbove: compactAbove})
}

// OpenCompacting opens a store that takes even small files for worth compacting.
func OpenCompacting(path string, log *slog.Logger, step func(string)) (*Store, error) {
	return open(path, log, settings{compactAbove: 1 << 20, step: step})
}

func (s *Store) Count() (n int) {
	_ = s.view(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucketSessions).Stats().KeyN
		return nil
	})
	return n
}

// Transactions counts the committed write transactions by their id.
func (s *Store) Transactions() (n int) {
	_ = s.view(func(tx *bolt.Tx) error {
		n = tx.ID()
		return nil
	})
	return n
}

// Check is what bbolt itself finds wrong with a file that nobody has open.
func Check(path string) (all []error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return []error{err}
	}
	defer db.Close()
	_ = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			all = append(all, err)
		}
		return nil
	})
	return all
}

// Listed tells whether a file has a list of its free pages.
func Listed(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	m, err := readMeta(f)
	return m.freelist != noFreelist, err
}

const ListMost = listMost

// Unseen tells whether the file is still to be looked over.
func (s *Store) Unseen() bool { return s.unseen.Load() && s.broken.Load() == nil }

// NoList has no write note the free pages.
func (s *Store) NoList() { s.listMost.Store(-1) }

// ListAll has each write note all of them.
func (s *Store) ListAll() { s.listAll() }

// Free counts the pages that are free.
func (s *Store) Free() int { return s.db.Stats().FreePageN + s.db.Stats().PendingPageN }

// Abandon lets go of the file as the end of the process would: nothing is written, and
// what stands beside the file stays.
func Abandon(s *Store) error {
	close(s.stop)
	s.wg.Wait()
	return s.db.Close()
}
