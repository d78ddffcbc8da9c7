package local

import "sync/atomic"

// CountingHasher counts the hashes it makes. A guess is only counted: hashing
// it would take the time of the tests.
func CountingHasher(atOnce int, count *atomic.Int32) *Hasher {
	h := NewHasher(atOnce)
	h.derive = func(p phc, s string) []byte {
		count.Add(1)
		if s == "guess" {
			return make([]byte, len(p.hash))
		}
		return p.derive(s)
	}
	return h
}

// SlowHasher runs work for each hash instead, and no password is right.
func SlowHasher(atOnce int, work func()) *Hasher {
	h := NewHasher(atOnce)
	h.derive = func(p phc, _ string) []byte {
		work()
		return make([]byte, 1)
	}
	return h
}

// StampOf is the stamp of a login made with a stored hash.
func StampOf(password string) string { return stampOf(password) }
