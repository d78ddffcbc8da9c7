package local

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Outcome is how an attempt goes.
type Outcome = outcome

// Failed, Succeeded and Unjudged are the outcomes there are.
const (
	Failed    = failed
	Succeeded = succeeded
	Unjudged  = unjudged
)

// Attempt makes one that goes as how says, unless it has to wait.
func Attempt(t *testing.T, g Guard, account string, addr netip.Addr, how Outcome) (time.Duration, error) {
	t.Helper()
	wait, done, err := g.attempt(t.Context(), try{account: account, addr: addr})
	if wait > 0 || err != nil {
		return wait, err
	}
	return 0, done(how)
}

// AttemptBy makes one by a browser that is known at the account, or "".
func AttemptBy(t *testing.T, g Guard, account, browser string, how Outcome) (time.Duration, error) {
	t.Helper()
	return AttemptByAs(t.Context(), t, g, account, browser, how)
}

// AttemptByAs is AttemptBy with a context of its own.
func AttemptByAs(ctx context.Context, t *testing.T, g Guard, account, browser string, how Outcome) (time.Duration, error) {
	t.Helper()
	wait, done, err := g.attempt(ctx, try{account: account, browser: browser})
	if wait > 0 || err != nil {
		return wait, err
	}
	return 0, done(how)
}

// AttemptMeanwhile makes one during which something happens.
func AttemptMeanwhile(t *testing.T, g Guard, account string, addr netip.Addr, how Outcome, happens func()) error {
	t.Helper()
	wait, done, err := g.attempt(t.Context(), try{account: account, addr: addr})
	if wait > 0 || err != nil {
		t.Fatalf("got a wait of %v, %v", wait, err)
	}
	happens()
	return done(how)
}

// CountingHasher counts the hashes it makes. A guess is only counted: hashing
// it would take the time of the tests.
func CountingHasher(atOnce int, count *atomic.Int32) *Hasher {
	h := NewHasher(atOnce)
	h.derive = func(p phc, s string) []byte {
		count.Add(1)
		if s == "guess" {
			return make([]byte, len(p.hash))
		}
		return derivedOnce(p, s)
	}
	return h
}

var derived sync.Map

// derivedOnce is p.derive(s), worked out once: a hash takes half a second of a core with the race
// detector on, and what counts hashes asks for the same one a hundred times.
func derivedOnce(p phc, s string) []byte {
	key := fmt.Sprint(p.memory, p.time, p.threads, len(p.hash), p.salt, s)
	if sum, ok := derived.Load(key); ok {
		return sum.([]byte)
	}
	sum := p.derive(s)
	derived.Store(key, sum)
	return sum
}

// QuickHasher makes hashes that cost nothing, for what is not about hashes.
func QuickHasher(atOnce int) *Hasher {
	h := NewHasher(atOnce)
	h.derive = func(p phc, s string) []byte {
		sum := sha256.Sum256(append(slices.Clone(p.salt), s...))
		return sum[:len(p.hash)]
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

// Reread reads the users again, as whoever follows their file does.
func (d *Directory) Reread(t *testing.T) {
	t.Helper()
	if err := d.read(); err != nil {
		t.Fatal(err)
	}
}
