package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/evergate/evergate/session"
)

const (
	headSize = 17
	tagSize  = len(session.Tag{})
	keySize  = len(session.Key{})
)

func encode(rec session.Record) []byte {
	b := make([]byte, 0, headSize+len(rec.Tags)*tagSize+len(rec.Data))
	b = binary.BigEndian.AppendUint64(b, rec.Version)
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Expires.UnixNano()))
	b = append(b, byte(len(rec.Tags)))
	for _, t := range rec.Tags {
		b = append(b, t[:]...)
	}
	return append(b, rec.Data...)
}

// decode returns a record whose data are bolt's memory: they are gone after the
// transaction.
func decode(b []byte) (session.Record, bool) {
	if len(b) < headSize || len(b) < headSize+int(b[headSize-1])*tagSize {
		return session.Record{}, false
	}
	rec := session.Record{
		Version: binary.BigEndian.Uint64(b),
		Expires: time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))),
	}
	n, rest := int(b[headSize-1]), b[headSize:]
	for ; n > 0; n-- {
		rec.Tags = append(rec.Tags, session.Tag(rest[:tagSize]))
		rest = rest[tagSize:]
	}
	rec.Data = rest
	return rec, true
}

func expiryKey(at time.Time, key session.Key) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())), key[:]...)
}

func tagKey(tag session.Tag, key session.Key) []byte { return append(tag[:], key[:]...) }

// index notes where else a record is found; unindex takes that back.
func index(tx *bolt.Tx, key session.Key, rec session.Record) error {
	if err := tx.Bucket(bucketExpiry).Put(expiryKey(rec.Expires, key), nil); err != nil {
		return err
	}
	for _, t := range rec.Tags {
		if err := tx.Bucket(bucketTags).Put(tagKey(t, key), nil); err != nil {
			return err
		}
	}
	return nil
}

func unindex(tx *bolt.Tx, key session.Key, rec session.Record) error {
	if err := tx.Bucket(bucketExpiry).Delete(expiryKey(rec.Expires, key)); err != nil {
		return err
	}
	for _, t := range rec.Tags {
		if err := tx.Bucket(bucketTags).Delete(tagKey(t, key)); err != nil {
			return err
		}
	}
	return nil
}

// Find implements session.Store.
func (s *Store) Find(ctx context.Context, tag session.Tag) (keys []session.Key, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		now, sessions := s.clock.now(), tx.Bucket(bucketSessions)
		c := tx.Bucket(bucketTags).Cursor()
		for k, _ := c.Seek(tag[:]); len(k) == tagSize+keySize && bytes.HasPrefix(k, tag[:]); k, _ = c.Next() {
			key := session.Key(k[tagSize:])
			if rec, ok := decode(sessions.Get(key[:])); ok && now.Before(rec.Expires) {
				keys = append(keys, key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bolt: find sessions: %w", err)
	}
	return keys, nil
}
