package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/evergate/evergate/auth"
)

// Newest is higher than the version of any record: a Store looks where the record is.
const Newest = auth.Newest

// Store keeps records: bytes under a hashed key, with an expiry and a version.
// It sees no user, no token and no handle in the clear.
//
// Every error that is neither ErrNotFound, ErrConflict nor a *HeldError is an
// outage: it says nothing about the session. Methods are safe for concurrent
// use. The package session/sessiontest is the exam that every Store passes.
type Store interface {
	// Get returns the record under key, or ErrNotFound if there is none or its
	// expiry has passed by the store's clock. A store may answer from a copy at
	// hand as long as that is not older than version atLeast, and as long as it
	// hears within 100 ms of changes that others make; it has none for Newest. The
	// caller may keep the bytes, and does not edit them.
	Get(ctx context.Context, key Key, atLeast uint64) (Record, error)
	// Put stores rec if the version stored under key is prev, where a key that
	// holds nothing has version 0; otherwise it returns ErrConflict and changes
	// nothing. Rec.Version is above prev. Once Put returns nil, the record survives
	// a crash as far as the store promises to survive one.
	Put(ctx context.Context, key Key, prev uint64, rec Record) error
	// Delete removes the record under key. Nothing there is not an error.
	Delete(ctx context.Context, key Key) error
	// Find returns the keys of the live records that bear tag, in any order.
	Find(ctx context.Context, tag Tag) ([]Key, error)
	// Scan shows every live record that has Meta, in any order, until visit returns
	// an error, which it returns.
	Scan(ctx context.Context, visit func(Key, Record) error) error

	// Lease gives holder the lease on key for ttl, or extends its own, and returns
	// the record as it is then: never a copy at hand. While somebody else has the
	// lease the error is a *HeldError. No record, no lease: ErrNotFound.
	Lease(ctx context.Context, key Key, holder Holder, ttl time.Duration) (Leased, error)
	// Release gives the lease back if it is holder's, and wakes those who watch.
	Release(ctx context.Context, key Key, holder Holder) error
	// Watch has notify called, until stop is, whenever the record or the lease under
	// key may have changed, within 100 ms where the store can and within a second
	// always. It may be called for nothing, and must not wait. Changed says that
	// somebody, maybe this process, did change it; otherwise that is not known: the
	// store was out of reach, or the watch has just begun.
	Watch(key Key, notify func(changed bool)) (stop func())

	// Now is the store's time, the only clock of the handle protocol. It never
	// runs backwards.
	Now(ctx context.Context) (time.Time, error)
	// Epoch is raised whenever the store was out of reach, and may have lost what
	// it acknowledged before. It stays 0 in a store that loses nothing.
	Epoch() uint64
	// Close ends what the store runs, and waits for it.
	Close() error
}

// Tag is a keyed digest of something that a session can be found by without
// its cookie, such as its subject: see [Ring.Tags].
type Tag [sha256.Size]byte

// Record is what a Store keeps of one session.
type Record struct {
	// Version is raised by every write.
	Version uint64
	// Expires is when the store may forget the record, by its own clock.
	Expires time.Time
	// Tags are what Find finds the record by, at most 255. Each Put names all of
	// them anew.
	Tags []Tag
	// Meta is what a list of sessions shows, sealed under the key ring, at most
	// 64 KiB; empty for what is no session.
	Meta []byte
	// Data is sealed.
	Data []byte
	// Now is the store's time at a Get, a Scan or a Lease. Put does not look at it.
	Now time.Time
	// AtHand says that a Get waited for nothing: its record is a copy in memory, and Now is
	// the time at which it was called. Put does not look at it.
	AtHand bool
}

// Holder names who has a lease. Each attempt to get one has its own.
type Holder [16]byte

func newHolder() (h Holder) {
	_, _ = rand.Read(h[:]) // never fails (crypto/rand)
	return h
}

// Leased is a lease, and the record under it.
type Leased struct {
	// Number is the fencing number: higher for each new lease on a key, the same
	// for as long as one was held without a gap.
	Number uint64
	Record Record
}

// HeldError reports that somebody else has the lease.
type HeldError struct {
	// Left is how long it lasts unless they extend it or give it back.
	Left time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("session: somebody else has the lease, for %s more", e.Left)
}

var (
	// ErrNotFound reports that nothing is kept under a key: it ended, it
	// expired, or it never was.
	ErrNotFound = errors.New("session: not found")
	// ErrDeleted is the ErrNotFound of a store that remembers: the record was
	// deleted lately, rather than lost.
	ErrDeleted = fmt.Errorf("%w: it was deleted", ErrNotFound)
	// ErrConflict reports that somebody else has written the record meanwhile.
	ErrConflict = errors.New("session: the record was changed by somebody else")
)
