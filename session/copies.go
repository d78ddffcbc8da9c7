package session

import (
	"sync/atomic"
	"time"
)

// Copies holds the records that a Store read or wrote last, so that the requests of a page do
// not have it find the same record each. A copy is never older than what the Store was told of:
// who writes, or hears of a write, replaces it before anybody is answered, and a record that was
// read meanwhile does not take its place.
//
// A place is that of many keys, and the latest has it: there is a bounded number, and no
// bookkeeping. The zero value is ready for use, and safe for concurrent use.
type Copies struct {
	places [maxCopies]atomic.Pointer[Copy]
}

// maxCopies is how many records are held at most, and maxCopy how large each may be: with
// what people have in their sessions, some 10 MB in a gateway with that many in use.
const (
	maxCopies = 1 << 12
	maxCopy   = 16 << 10
)

// Copy is what has a place. It is replaced, never edited.
type Copy struct {
	key   Key
	rec   Record    // at hand, without Now
	until time.Time // zero has no end
	none  bool      // there is no copy: it was removed, is too large, or may be old
}

func (c *Copies) place(key Key) *atomic.Pointer[Copy] {
	return &c.places[(int(key[1])|int(key[2])<<8)%maxCopies]
}

// Find returns the copy of the record under key, if there is one that is good at that time. Was
// is what has its place: who reads the record afterwards hands that to Took.
func (c *Copies) Find(key Key, now time.Time) (rec Record, ok bool, was *Copy) {
	was = c.place(key).Load()
	if was == nil || was.none || was.key != key || !was.until.IsZero() && !now.Before(was.until) {
		return rec, false, was
	}
	return was.rec, true, was
}

// Took keeps a record that was read since Find returned was, until a time; zero has no end.
// Where something was written at that place meanwhile, it may be older than that, and is not
// kept. Nobody may edit what rec points to any more.
func (c *Copies) Took(key Key, rec Record, until time.Time, was *Copy) {
	if len(rec.Data)+len(rec.Meta) <= maxCopy {
		rec.Now, rec.AtHand = time.Time{}, true
		c.place(key).CompareAndSwap(was, &Copy{key: key, rec: rec, until: until})
	}
}

// Wrote replaces the copy after a change that nobody was told of yet.
func (c *Copies) Wrote(key Key, rec Record) {
	if len(rec.Data)+len(rec.Meta) > maxCopy {
		c.Forget(key)
		return
	}
	rec.Now, rec.AtHand = time.Time{}, true
	c.place(key).Store(&Copy{key: key, rec: rec})
}

// Forget lets go of the copy: the record was removed, or may have changed. It never leaves a
// place as it was, nor empty: Took would not see that something happened.
func (c *Copies) Forget(key Key) { c.place(key).Store(&Copy{key: key, none: true}) }

// ForgetAll lets go of every copy.
func (c *Copies) ForgetAll() {
	gone := &Copy{none: true}
	for i := range c.places {
		c.places[i].Store(gone)
	}
}
