package bolt

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

// FuzzRecord: what reads as a record is written as it was, those of the first version apart,
// and what is one reads as it was written.
func FuzzRecord(f *testing.F) {
	rec := session.Record{Version: 3, Expires: time.Unix(1_800_000_000, 7), Tags: []session.Tag{{1}, {2}}, Meta: []byte("meta"), Data: []byte("data")}
	f.Add(encode(rec), uint64(1), int64(5), uint8(0), uint16(0))
	f.Add(append(make([]byte, 16), 1), uint64(1)<<63, int64(-1), uint8(2), uint16(3))    // of the first version, cut short
	f.Add(append(make([]byte, 17), "data"...), uint64(0), int64(0), uint8(1), uint16(9)) // of the first version
	f.Add([]byte{format}, uint64(9), int64(1), uint8(255), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, version uint64, expires int64, tags uint8, meta uint16) {
		got, ok := decode(bytes.Clone(b))
		if _, whole := plainLayout(b); ok != whole {
			t.Fatalf("%x: is it read? %v, is it whole? %v", b, ok, whole)
		}
		if ok && len(b) >= headSize && b[0] == format && !bytes.Equal(encode(got), b) {
			t.Fatalf("%x: it is written as %x", b, encode(got))
		}
		if ok {
			same(t, got)
		}
		at := min(int(meta), len(b))
		same(t, session.Record{Version: version, Expires: time.Unix(0, expires), Tags: tagsOf(int(tags), b), Meta: b[:at], Data: b[at:]})
	})
}

// plainLayout is where the data begin, by the text of the two formats.
func plainLayout(b []byte) (data int, whole bool) {
	if len(b) >= 20 && b[0] == 1 {
		data = 20 + int(b[17])*32 + int(binary.BigEndian.Uint16(b[18:]))
		return data, len(b) >= data
	}
	if len(b) < 17 {
		return 0, false
	}
	data = 17 + int(b[16])*32
	return data, len(b) >= data
}

// same: a record is read as it was written, whatever stands behind it stays out of it.
func same(t *testing.T, rec session.Record) {
	t.Helper()
	got, ok := decode(encode(rec))
	if !ok || got.Version != rec.Version || !got.Expires.Equal(rec.Expires) || len(got.Tags) != len(rec.Tags) || !bytes.Equal(got.Meta, rec.Meta) || !bytes.Equal(got.Data, rec.Data) {
		t.Fatalf("got %+v, %v, want %+v", got, ok, rec)
	}
	for i, tag := range got.Tags {
		if tag != rec.Tags[i] {
			t.Fatalf("tag %d: got %x, want %x", i, tag, rec.Tags[i])
		}
	}
}

func tagsOf(n int, b []byte) (tags []session.Tag) {
	for i := range n {
		tag := session.Tag{byte(i)}
		copy(tag[1:], b)
		tags = append(tags, tag)
	}
	return tags
}
