package session

import (
	"crypto/sha256"
	"sync/atomic"
)

// verdicts remember what cookies opened to, so that the same cookie is not opened again
// with each request of a page. A verdict says no more than Ring.Open would: that these
// bytes were sealed for this host under the ring that is in force. Whether the session
// behind them lives is asked every time, of the store.
//
// It is found by a SHA-256 digest of host and cookie, so that no cookie lies here and two
// cannot be taken for each other. There is a bounded number of places; a newer verdict
// takes that of an older one, and one that is not found costs what opening costs. Only
// what did open is remembered: who makes cookies up cannot push others out.
type verdicts[T any] struct {
	places []atomic.Pointer[verdict[T]]
}

// How many are remembered at most. A handle takes some 200 bytes; a session that lies in its
// cookies takes what is in them, a few kilobytes.
const (
	maxVerdicts = 1 << 13
	maxSets     = 1 << 11
)

func newVerdicts[T any](most int) verdicts[T] {
	return verdicts[T]{make([]atomic.Pointer[verdict[T]], most)}
}

type verdict[T any] struct {
	name digest
	ring *[]ringKey // the keys by which it was opened
	of   T
}

type digest [sha256.Size]byte

// verdictName names cookie values on a host. None holds a zero byte.
func verdictName(host string, values ...string) digest {
	var room [512]byte // handles are shorter, so this allocates nothing
	b := append(room[:0], host...)
	for _, value := range values {
		b = append(b, 0)
		b = append(b, value...)
	}
	return sha256.Sum256(b)
}

func (v *verdicts[T]) place(name digest) *atomic.Pointer[verdict[T]] {
	return &v.places[(int(name[0])|int(name[1])<<8)%len(v.places)]
}

// find returns what is remembered under name, if it was opened by the keys of ring.
func (v *verdicts[T]) find(name digest, ring *Ring) (of T, ok bool) {
	known := v.place(name).Load()
	if known == nil || known.name != name || known.ring != ring.keys.Load() {
		return of, false
	}
	return known.of, true
}

// keep remembers what name opened to by keys.
func (v *verdicts[T]) keep(name digest, keys *[]ringKey, of T) {
	v.place(name).Store(&verdict[T]{name, keys, of})
}

// drop forgets those of which is says so.
func (v *verdicts[T]) drop(is func(T) bool) {
	for i := range v.places {
		if known := v.places[i].Load(); known != nil && is(known.of) {
			v.places[i].CompareAndSwap(known, nil)
		}
	}
}
