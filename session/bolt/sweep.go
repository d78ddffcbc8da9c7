package bolt

import (
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/evergate/evergate/session"
)

const (
	sweepEvery = time.Minute
	// sweepChunk bounds the records that one transaction forgets, so that no
	// request waits long behind it.
	sweepChunk = 500
)

// sweepOnTime forgets what has expired.
func (s *Store) sweepOnTime() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		for {
			n, err := s.sweep()
			if err != nil {
				s.log.Warn("expired sessions could not be swept; they stay expired", "path", s.path, "err", err)
			}
			if n < sweepChunk || err != nil {
				break
			}
			select {
			case <-s.stop:
				return
			default:
			}
		}
	}
}

func (s *Store) sweep() (n int, err error) {
	err = s.db.Update(func(tx *bolt.Tx) error {
		now := uint64(s.clock.now().UnixNano())
		sessions := tx.Bucket(bucketSessions)
		var over [][]byte
		c := tx.Bucket(bucketExpiry).Cursor()
		for k, _ := c.First(); k != nil && len(over) < sweepChunk && binary.BigEndian.Uint64(k) <= now; k, _ = c.Next() {
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
