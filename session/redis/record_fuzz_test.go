package redis

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

// FuzzRecord: what reads as a record is written as it was; what does not is none, or one that
// was deleted; and none is read after its time.
func FuzzRecord(f *testing.F) {
	rec := session.Record{Version: 3, Expires: time.UnixMilli(1_800_000_000_007), Tags: []session.Tag{{1}, {2}}, Meta: []byte("meta"), Data: []byte("data")}
	f.Add([]byte(encode(rec)), int64(1_800_000_000_000))
	f.Add([]byte(encode(rec)), int64(1_800_000_000_007))
	f.Add([]byte(versionBytes(deleted)), int64(0))
	f.Add([]byte(versionBytes(7)), int64(0))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, at int64) {
		now := time.UnixMilli(at)
		rec, err := decode(bytes.Clone(b), now)
		want := plainReading(b, at)
		if !errors.Is(err, want) || (err == nil) != (want == nil) || errors.Is(err, session.ErrDeleted) != (want == session.ErrDeleted) {
			t.Fatalf("%x: got %v, want %v", b, err, want)
		}
		if err != nil {
			if rec.Version != 0 || rec.Data != nil || rec.Tags != nil {
				t.Fatalf("%x: got %+v with %v", b, rec, err)
			}
			return
		}
		if encode(rec) != string(b) || !rec.Now.Equal(now) {
			t.Fatalf("%x: it is written as %x", b, encode(rec))
		}
		// Whoever adds to the one part of it writes over no other.
		if _ = append(rec.Meta, 'x'); encode(rec) != string(b) {
			t.Fatalf("%x: what is added to meta lands in the data", b)
		}
	})
}

// plainReading says what b is, by the text of the format.
func plainReading(b []byte, now int64) error {
	if bytes.HasPrefix(b, bytes.Repeat([]byte{0xff}, 8)) {
		return session.ErrDeleted
	}
	if len(b) < 19 || len(b) < 19+int(b[16])*32+int(binary.BigEndian.Uint16(b[17:])) || int64(binary.BigEndian.Uint64(b[8:])) <= now {
		return session.ErrNotFound
	}
	return nil
}

// FuzzName: a name is that of one session's record or lease, and has one spelling.
func FuzzName(f *testing.F) {
	k := keys{prefix: "evergate:"}
	for _, name := range []string{k.record(session.Key{1}), k.lease(session.Key{2}), k.tag(session.Tag{3}), "evergate:{}:s", "evergate:{AAAA}:s", "{", "", k.record(session.Key{}) + "s"} {
		f.Add("evergate:", name)
	}
	f.Add("", keys{}.record(session.Key{0xff}))
	f.Fuzz(func(t *testing.T, prefix, name string) {
		k := keys{prefix}
		key, ok := k.parse(name)
		if isOne := ok && (k.record(key) == name || k.lease(key) == name); isOne != ok {
			t.Fatalf("%q: it is read as a name of %x, whose names are %q and %q", name, key, k.record(key), k.lease(key))
		}
		for _, made := range []string{k.record(session.Key(k.any(name))), k.lease(session.Key(k.any(name)))} {
			if got, ok := k.parse(made); !ok || got != k.any(name) {
				t.Fatalf("%q: got %x, %v, want %x", made, got, ok, k.any(name))
			}
		}
	})
}

// any is a key made of text.
func (keys) any(text string) (key session.Key) {
	copy(key[:], text)
	return key
}
