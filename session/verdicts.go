package session

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
)

// verdicts remember what cookies opened to, so that the same cookie is not opened again
// with each request of a page. A verdict says no more than Ring.Open would: that these
// bytes were sealed for this host under the ring that is in force. Whether the session
// behind them lives is asked every time, of the store.
//
// It is found by a keyed digest of host and cookies, and holds for the very same bytes alone,
// so that no two can be taken for each other. There is a bounded number of places; a newer
// verdict takes that of an older one, and one that is not found costs what opening costs. Only
// what did open is remembered: who makes cookies up cannot push others out.
type verdicts[T any] struct {
	seed   maphash.Seed
	places []atomic.Pointer[verdict[T]]
}

// How many are remembered at most. A handle takes some 500 bytes; a session that lies in its
// cookies takes twice what is in them, a few kilobytes.
const (
	maxVerdicts = 1 << 13
	maxSets     = 1 << 10
)

func newVerdicts[T any](most int) verdicts[T] {
	return verdicts[T]{maphash.MakeSeed(), make([]atomic.Pointer[verdict[T]], most)}
}

type verdict[T any] struct {
	host   string
	values []string
	ring   *[]ringKey // the keys by which they were opened
	of     T
}

// place is that of cookies on a host.
func (v *verdicts[T]) place(host string, values []string) *atomic.Pointer[verdict[T]] {
	h := maphash.String(v.seed, host)
	for _, value := range values {
		h = bits.RotateLeft64(h, 1) ^ maphash.String(v.seed, value)
	}
	return &v.places[h%uint64(len(v.places))]
}

// find returns what is remembered of cookies on a host, if they were opened by the keys of ring.
func (v *verdicts[T]) find(ring *Ring, host string, values ...string) (of T, ok bool) {
	known := v.place(host, values).Load()
	if known == nil || known.ring != ring.keys.Load() || known.host != host || !slices.Equal(known.values, values) {
		return of, false
	}
	return known.of, true
}

// keep remembers what cookies opened to by keys.
func (v *verdicts[T]) keep(keys *[]ringKey, of T, host string, values ...string) {
	own := make([]string, len(values)) // those of a request hold on to all of its header
	for i, value := range values {
		own[i] = strings.Clone(value)
	}
	v.place(host, values).Store(&verdict[T]{strings.Clone(host), own, keys, of})
}

// drop forgets those of which is says so.
func (v *verdicts[T]) drop(is func(T) bool) {
	for i := range v.places {
		if known := v.places[i].Load(); known != nil && is(known.of) {
			v.places[i].CompareAndSwap(known, nil)
		}
	}
}
