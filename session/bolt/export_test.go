package bolt

import bolt "go.etcd.io/bbolt"

func (s *Store) Sweep() (int, error) { return s.sweep() }

func (s *Store) Count() (n int) {
	_ = s.db.View(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucketSessions).Stats().KeyN
		return nil
	})
	return n
}

// Transactions counts the committed write transactions by their id.
func (s *Store) Transactions() (n int) {
	_ = s.db.View(func(tx *bolt.Tx) error {
		n = tx.ID()
		return nil
	})
	return n
}
