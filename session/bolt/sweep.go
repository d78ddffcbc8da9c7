package bolt

import (
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/evergate/evergate/session"
)

const (
	sweepEvery = time.Minute
	// A chunk is what one transaction forgets: between sweepLeast and sweepMost
	// records, as many as take about sweepTime on this disk. A request that writes
	// waits for one chunk at most.
	sweepLeast, sweepMost = 32, 512
	sweepTime             = 5 * time.Millisecond
)

// sweepSome forgets a chunk of what has expired. The writer calls it between its
// batches: they take turns, so that neither a flood of writes nor a million of
// expired sessions keeps the other waiting.
func (s *Store) sweepSome() {
	began := time.Now()
	n, err := s.sweep(s.chunk)
	if err != nil {
		s.log.Warn("expired sessions could not be swept; they stay expired", "path", s.path, "err", s.word(err))
	}
	s.swept.Add(uint64(n))
	s.sweeping = err == nil && n == s.chunk
	took := time.Since(began)
	s.rest = min(took, time.Second)
	switch {
	case took > sweepTime:
		s.chunk = max(s.chunk/2, sweepLeast)
	case took < sweepTime/2:
		s.chunk = min(s.chunk*2, sweepMost)
	}
}

// SweepSoon has what has expired forgotten now, and not within the next minute. It does not wait.
func (s *Store) SweepSoon() {
	select {
	case s.soon <- struct{}{}:
	default: // somebody has asked already
	}
}

// Swept counts the expired sessions that were forgotten since the start.
func (s *Store) Swept() uint64 { return s.swept.Load() }

func (s *Store) sweep(most int) (n int, err error) {
	err = s.update(int64(most)*sweepCost, func(tx *bolt.Tx) error {
		now := uint64(s.clock.now().UnixNano())
		sessions := tx.Bucket(bucketSessions)
		var over [][]byte
		c := tx.Bucket(bucketExpiry).Cursor()
		for k, _ := c.First(); k != nil && len(over) < most && binary.BigEndian.Uint64(k) <= now; k, _ = c.Next() {
			over = append(over, append([]byte(nil), k...))
		}
		for _, k := range over {
			key := session.Key(k[8:])
			rec, _ := decode(sessions.Get(key[:]))
			rec.Expires = time.Unix(0, int64(binary.BigEndian.Uint64(k)))
			if err := unindex(tx, key, rec); err != nil {
				return err
			}
			if err := sessions.Delete(key[:]); err != nil {
				return err
			}
		}
		n = len(over)
		return nil
	})
	return n, err
}

// sweepCost is about what forgetting one record takes until its own pages are free:
// neighbours share theirs.
const sweepCost = 1024
