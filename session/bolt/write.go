package bolt

import (
	"context"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/evergate/evergate/session"
)

// op is one change that waits for its turn.
type op struct {
	key    session.Key
	prev   uint64         // the version to be there
	rec    session.Record // to put, unless remove is set
	remove bool
	done   chan error
}

// maxBatch bounds the changes that share one transaction, and so one fsync.
const maxBatch = 256

// Put implements session.Store.
func (s *Store) Put(ctx context.Context, key session.Key, prev uint64, rec session.Record) error {
	return s.do(ctx, &op{key: key, prev: prev, rec: rec})
}

// Delete implements session.Store.
func (s *Store) Delete(ctx context.Context, key session.Key) error {
	return s.do(ctx, &op{key: key, remove: true})
}

var errClosed = errors.New("bolt: the store is closed")

// do hands o to the writer. Once it is handed over it will happen, so do waits
// for it even if ctx ends: an answer that is not known would be worse.
func (s *Store) do(ctx context.Context, o *op) error {
	o.done = make(chan error, 1)
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.stop:
		return errClosed
	default:
	}
	select {
	case s.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stop:
		return errClosed
	}
	select {
	case err := <-o.done:
		return err
	case <-s.stop:
	}
	// Closing: the writer still answers what it had taken.
	s.wg.Wait()
	select {
	case err := <-o.done:
		return err
	default:
		return errClosed
	}
}

// write is the one writer. Changes that wait at the same time share a
// transaction; a lone one waits for nobody.
func (s *Store) write() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if s.sweeping {
			s.turn()
			select {
			case <-s.stop:
			default:
				continue
			}
		}
		select {
		case o := <-s.ops:
			s.commit(s.gather(o))
		case <-tick.C:
			s.sweeping = true
		case <-s.soon:
			s.sweeping = true
		case <-s.stop:
			for {
				select {
				case o := <-s.ops:
					s.commit(s.gather(o))
				default:
					return
				}
			}
		}
	}
}

// turn makes the changes that wait, at most a batch, and sweeps one chunk. If none
// wait it leaves the disk to others for as long as the last chunk took.
func (s *Store) turn() {
	select {
	case o := <-s.ops: // before a rest that may be over as well
		s.commit(s.gather(o))
	default:
		rest := time.NewTimer(s.rest)
		defer rest.Stop()
		select {
		case o := <-s.ops:
			s.commit(s.gather(o))
		case <-rest.C:
		case <-s.stop:
			return
		}
	}
	s.sweepSome()
}

func (s *Store) gather(first *op) []*op {
	batch := []*op{first}
	for len(batch) < maxBatch {
		select {
		case o := <-s.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit makes the changes of a batch. A change that conflicts is answered so
// and does not keep the others from being made. On a full disk there is still room
// for removals: who signs out is out.
func (s *Store) commit(batch []*op) {
	results, err := s.apply(batch)
	if isFull(err) {
		var removals []*op
		for _, o := range batch {
			if o.remove {
				removals = append(removals, o)
			} else {
				o.done <- s.word(err)
			}
		}
		if len(removals) == 0 {
			return
		}
		batch = removals
		results, err = s.apply(batch)
	}
	for i, o := range batch {
		if err != nil {
			s.copies.Forget(o.key)
			o.done <- s.word(err)
			continue
		}
		if results[i] == nil {
			if o.remove {
				s.copies.Forget(o.key)
			} else {
				s.copies.Wrote(o.key, own(o.rec))
			}
		}
		o.done <- results[i]
		if results[i] == nil {
			s.watches.Notify(o.key, true)
		}
	}
}

// apply makes the changes in one transaction: all of them, or none.
func (s *Store) apply(batch []*op) ([]error, error) {
	var need int64
	var puts bool
	for _, o := range batch {
		need += o.cost()
		puts = puts || !o.remove
	}
	if puts {
		need += spare
	}
	results := make([]error, len(batch))
	err := s.update(need, func(tx *bolt.Tx) error {
		now := s.clock.now()
		for i, o := range batch {
			var err error
			if results[i], err = o.apply(tx, now); err != nil {
				return err
			}
		}
		return s.tick(tx)
	})
	return results, err
}

// spare is room that a Put leaves for removals and sweeps, which make room.
const spare = 512 << 10

// cost is about what a change writes anew: the record, and a leaf and its branch
// for it, its expiry and each tag.
func (o *op) cost() int64 {
	if o.remove {
		return 2 * 2 * 4096
	}
	return int64(len(o.rec.Data)+len(o.rec.Meta)) + int64(2+len(o.rec.Tags))*2*4096
}

// apply makes the change in tx. Result is for who asked; err undoes the batch.
func (o *op) apply(tx *bolt.Tx, now time.Time) (result, err error) {
	sessions := tx.Bucket(bucketSessions)
	old, found := decode(sessions.Get(o.key[:]))
	if !o.remove {
		version := old.Version
		if found && !now.Before(old.Expires) {
			version = 0
		}
		if version != o.prev || o.rec.Version <= o.prev {
			return session.ErrConflict, nil
		}
	}
	if found {
		if err := unindex(tx, o.key, old); err != nil {
			return nil, err
		}
	}
	if o.remove {
		return nil, sessions.Delete(o.key[:])
	}
	if err := index(tx, o.key, o.rec); err != nil {
		return nil, err
	}
	return nil, sessions.Put(o.key[:], encode(o.rec))
}
