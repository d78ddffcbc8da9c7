package redis

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/session"
)

// keys names what the server keeps. The part in braces is what a Cluster finds
// the slot by: a record and its lease lie in one.
type keys struct{ prefix string }

func (k keys) record(key session.Key) string { return k.prefix + "{" + encodeKey(key[:]) + "}:s" }
func (k keys) lease(key session.Key) string  { return k.prefix + "{" + encodeKey(key[:]) + "}:l" }
func (k keys) tag(tag session.Tag) string    { return k.prefix + "{" + encodeKey(tag[:]) + "}:t" }

func encodeKey(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// parse returns the session key of the name of a record or a lease.
func (k keys) parse(name string) (key session.Key, ok bool) {
	rest, ok := strings.CutPrefix(name, k.prefix+"{")
	if !ok {
		return key, false
	}
	middle, kind, ok := strings.Cut(rest, "}:")
	if !ok || kind != "s" && kind != "l" {
		return key, false
	}
	b, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil || len(b) != len(key) || encodeKey(b) != middle { // one name, one spelling
		return key, false
	}
	return session.Key(b), true
}

// pattern matches the names of records in a SCAN.
func (k keys) pattern() string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`, `\`, `\\`).Replace(k.prefix) + "{*}:s"
}

const (
	headSize = 8 + 8 + 1 + 2
	tagSize  = len(session.Tag{})
	// deleted is the version of what stays of a deleted record: it matches no
	// write, and tells a record that was deleted from one that was lost.
	deleted = math.MaxUint64
	// deletedTime is for how long that is remembered.
	deletedTime = time.Hour
)

func versionBytes(v uint64) string {
	if v == 0 {
		return "" // what the server reads of nothing
	}
	return string(binary.BigEndian.AppendUint64(nil, v))
}

// encode writes version, expiry (Unix milliseconds), the number of tags, the size of
// meta, tags, meta and data.
func encode(rec session.Record) string {
	b := make([]byte, 0, headSize+len(rec.Tags)*tagSize+len(rec.Meta)+len(rec.Data))
	b = binary.BigEndian.AppendUint64(b, rec.Version)
	b = binary.BigEndian.AppendUint64(b, uint64(rec.Expires.UnixMilli()))
	b = append(b, byte(len(rec.Tags)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(rec.Meta)))
	for _, t := range rec.Tags {
		b = append(b, t[:]...)
	}
	b = append(b, rec.Meta...)
	return string(append(b, rec.Data...))
}

// decode reads a record. The error is ErrDeleted, or ErrNotFound for what is none.
func decode(b []byte, now time.Time) (session.Record, error) {
	if len(b) >= 8 && binary.BigEndian.Uint64(b) == deleted {
		return session.Record{}, session.ErrDeleted
	}
	if len(b) < headSize {
		return session.Record{}, session.ErrNotFound
	}
	rec := session.Record{
		Version: binary.BigEndian.Uint64(b),
		Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))),
		Now:     now,
	}
	n, meta, rest := int(b[16]), int(binary.BigEndian.Uint16(b[17:])), b[headSize:]
	if len(rest) < n*tagSize+meta || !now.Before(rec.Expires) {
		return session.Record{}, session.ErrNotFound
	}
	for ; n > 0; n-- {
		rec.Tags = append(rec.Tags, session.Tag(rest[:tagSize]))
		rest = rest[tagSize:]
	}
	rec.Meta, rec.Data = slices.Clip(rest[:meta]), rest[meta:]
	return rec, nil
}
