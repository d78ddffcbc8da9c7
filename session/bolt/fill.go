package bolt

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/evergate/evergate/session"
)

// Entry is a record and what it is kept under.
type Entry struct {
	Key    session.Key
	Record session.Record
}

const (
	// fillAtOnce bounds the entries of one transaction of Fill.
	fillAtOnce = 20_000
	// fillPercent is how full pages get. Keys that come one by one, each somewhere,
	// leave them about so: a file that was filled is like one that has grown.
	fillPercent = .69
)

// Fill puts many records under keys that hold nothing yet, as Put would put them one
// by one, and sorts entries on the way. Keys are digests, so that each Put writes
// pages of its own; Fill writes each page about once. It is for what comes in bulk:
// while it runs, other writes wait for whole transactions.
//
// If a key is taken the error is session.ErrConflict and nothing is changed. A crash
// leaves some of the records, each whole.
func (s *Store) Fill(ctx context.Context, entries []Entry) error {
	slices.SortFunc(entries, func(a, b Entry) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	if err := s.vacant(entries); err != nil {
		return fmt.Errorf("bolt: fill %s: %w", s.path, err)
	}
	// Where records are found comes first: a record without would never be swept.
	var expiry, tags [][]byte
	for _, e := range entries {
		expiry = append(expiry, expiryKey(e.Record.Expires, e.Key))
		for _, t := range e.Record.Tags {
			tags = append(tags, tagKey(t, e.Key))
		}
	}
	for _, index := range []struct {
		bucket []byte
		keys   [][]byte
	}{{bucketExpiry, expiry}, {bucketTags, tags}} {
		slices.SortFunc(index.keys, bytes.Compare)
		err := s.fillBucket(ctx, index.bucket, len(index.keys), func(i int) (key, value []byte) { return index.keys[i], nil })
		if err != nil {
			return err
		}
	}
	return s.fillBucket(ctx, bucketSessions, len(entries), func(i int) (key, value []byte) {
		return entries[i].Key[:], encode(entries[i].Record)
	})
}

// vacant says whether all those sorted keys hold nothing, and none comes twice.
func (s *Store) vacant(entries []Entry) error {
	return s.view(func(tx *bolt.Tx) error {
		sessions := tx.Bucket(bucketSessions)
		for i, e := range entries {
			if sessions.Get(e.Key[:]) != nil || i > 0 && entries[i-1].Key == e.Key {
				return session.ErrConflict
			}
		}
		return nil
	})
}

// fillBucket puts n sorted pairs into a bucket.
func (s *Store) fillBucket(ctx context.Context, name []byte, n int, pair func(int) (key, value []byte)) error {
	for from := 0; from < n; from += fillAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(from+fillAtOnce, n)
		need := int64(spare)
		for i := from; i < to; i++ {
			key, value := pair(i)
			need += 2 * int64(len(key)+len(value)+elemSize) // pages are at least half full
		}
		err := s.update(need, func(tx *bolt.Tx) error {
			b := tx.Bucket(name)
			b.FillPercent = fillPercent
			for i := from; i < to; i++ {
				if err := b.Put(pair(i)); err != nil {
					return err
				}
			}
			return s.tick(tx)
		})
		if err != nil {
			return s.word(err)
		}
	}
	return nil
}
