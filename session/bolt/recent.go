package bolt

import (
	"sync/atomic"

	"github.com/evergate/evergate/session"
)

// recent holds copies of the records that were read or written last, so that the requests
// of a page do not walk the file for the same record each. It is never older than what was
// acknowledged: who writes replaces the copy before the write is answered, and a copy that
// was read meanwhile does not replace that one.
//
// A place is that of many keys, and the latest has it: there is a bounded number, and no
// bookkeeping. The zero value is ready for use.
type recent struct {
	places [maxRecent]atomic.Pointer[copied]
}

// maxRecent is how many records are held at most, and maxCopy how large each may be: with
// what people have in their sessions, some 10 MB in a gateway with that many in use.
const (
	maxRecent = 1 << 12
	maxCopy   = 16 << 10
)

// copied is one record. It is replaced, never edited.
type copied struct {
	key  session.Key
	rec  session.Record // without Now
	none bool           // there is no copy: it was removed, or is too large
}

func (r *recent) place(key session.Key) *atomic.Pointer[copied] {
	return &r.places[(int(key[1])|int(key[2])<<8)%maxRecent]
}

// find returns the copy of the record under key, if there is one. Was is what has its
// place: who reads the record afterwards hands that to took.
func (r *recent) find(key session.Key) (rec session.Record, ok bool, was *copied) {
	was = r.place(key).Load()
	if was == nil || was.none || was.key != key {
		return rec, false, was
	}
	return was.rec, true, was
}

// took keeps a record that was read since find returned was. Where something was written
// at that place meanwhile, it may be older than that, and is not kept.
func (r *recent) took(key session.Key, rec session.Record, was *copied) {
	if len(rec.Data)+len(rec.Meta) <= maxCopy {
		r.place(key).CompareAndSwap(was, &copied{key: key, rec: rec})
	}
}

// unknown lets go of the copy after a change of which it is not known whether it was made.
func (r *recent) unknown(key session.Key) { r.place(key).Store(&copied{key: key, none: true}) }

// wrote replaces the copy after a change that is on disk and not answered yet. It never
// leaves a place as it was, nor empty: took would not see that something was written.
func (r *recent) wrote(o *op) {
	next := &copied{key: o.key, none: true}
	if !o.remove && len(o.rec.Data)+len(o.rec.Meta) <= maxCopy {
		next.rec, next.none = own(o.rec), false
	}
	r.place(o.key).Store(next)
}
