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
	tagSize = len(session.Tag{})
	keySize = len(session.Key{})
	// format is the first byte of a record. Records of the first version had none
	// and began with their number, whose first byte is 0: headOld long, without Meta.
	format   = 1
	headSize = 20
	headOld  = 17
)

func encode(rec session.Record) []byte {
	b := make([]byte, 0, headSize+len(rec.Tags)*tagSize+len(rec.Meta)+len(rec.Data))
	b = append(b, format)
	b = binary.BigEndian.AppendUint64(b, rec.Version)
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Expires.UnixNano()))
	b = append(b, byte(len(rec.Tags)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(rec.Meta)))
	for _, t := range rec.Tags {
		b = append(b, t[:]...)
	}
	b = append(b, rec.Meta...)
	return append(b, rec.Data...)
}

// decode returns a record whose bytes are bolt's memory: they are gone after the
// transaction.
func decode(b []byte) (session.Record, bool) {
	head, meta := headOld, 0
	if len(b) >= headSize && b[0] == format {
		head, meta = headSize, int(binary.BigEndian.Uint16(b[18:]))
		b = b[1:] // from here on the two are alike
		head--
	}
	if len(b) < head || len(b) < head+int(b[16])*tagSize+meta {
		return session.Record{}, false
	}
	rec := session.Record{
		Version: binary.BigEndian.Uint64(b),
		Expires: time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))),
	}
	n, rest := int(b[16]), b[head:]
	for ; n > 0; n-- {
		rec.Tags = append(rec.Tags, session.Tag(rest[:tagSize]))
		rest = rest[tagSize:]
	}
	rec.Meta, rec.Data = rest[:meta], rest[meta:]
	return rec, true
}

func expiryKey(at time.Time, key session.Key) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())), key[:]...)
}

func tagKey(tag session.Tag, key session.Key) []byte { return append(tag[:], key[:]...) }

// index notes where else a record is found; unindex takes that back.
func index(tx *bolt.Tx, key session.Key, rec session.Record) error {
	expiry := tx.Bucket(bucketExpiry)
	expiry.FillPercent = .9 // keys come nearly in order: pages that are split stay as they are
	if err := expiry.Put(expiryKey(rec.Expires, key), nil); err != nil {
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
	err = s.view(func(tx *bolt.Tx) error {
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

// scanChunk bounds the records that one read transaction shows: a long one would
// keep the file from reusing pages.
const scanChunk = 500

// Scan implements session.Store.
func (s *Store) Scan(ctx context.Context, visit func(session.Key, session.Record) error) error {
	for next := []byte{}; next != nil; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var keys []session.Key
		var recs []session.Record
		err := s.view(func(tx *bolt.Tx) error {
			now, c := s.clock.now(), tx.Bucket(bucketSessions).Cursor()
			k, v := c.Seek(next)
			for n := 0; k != nil && n < scanChunk; n++ {
				if rec, ok := decode(v); ok && len(rec.Meta) > 0 && now.Before(rec.Expires) {
					rec = own(rec)
					rec.Now = now
					keys, recs = append(keys, session.Key(k)), append(recs, rec)
				}
				k, v = c.Next()
			}
			next = bytes.Clone(k)
			return nil
		})
		if err != nil {
			return fmt.Errorf("bolt: list sessions: %w", err)
		}
		for i, key := range keys {
			if err := visit(key, recs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// own gives rec bytes that outlive the transaction.
func own(rec session.Record) session.Record {
	rec.Meta, rec.Data = bytes.Clone(rec.Meta), bytes.Clone(rec.Data)
	return rec
}
