package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// Store keeps records: bytes under a hashed key, with an expiry and a version.
// It sees no user, no token and no handle in the clear.
//
// Every error that is neither ErrNotFound nor ErrConflict is an outage: it
// says nothing about the session. Methods are safe for concurrent use.
// The package session/sessiontest is the exam that every Store passes.
type Store interface {
	// Get returns the record under key, or ErrNotFound if there is none or its
	// expiry has passed by the store's clock. The caller may keep the bytes.
	Get(ctx context.Context, key Key) (Record, error)
	// Put stores rec if the version stored under key is rec.Version-1, where a
	// key that holds nothing has version 0; otherwise it returns ErrConflict and
	// changes nothing. Once Put returns nil, the record survives a crash as far
	// as the store promises to survive one.
	Put(ctx context.Context, key Key, rec Record) error
	// Delete removes the record under key. Nothing there is not an error.
	Delete(ctx context.Context, key Key) error
	// Find returns the keys of the live records that bear tag, in any order.
	Find(ctx context.Context, tag Tag) ([]Key, error)
	// Now is the store's time, the only clock of the handle protocol. It never
	// runs backwards.
	Now(ctx context.Context) (time.Time, error)
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
	// Data is sealed.
	Data []byte
	// Now is the store's time at a Get. Put does not look at it.
	Now time.Time
}

var (
	// ErrNotFound reports that nothing is kept under a key: it ended, it
	// expired, or it never was.
	ErrNotFound = errors.New("session: not found")
	// ErrConflict reports that somebody else has written the record meanwhile.
	ErrConflict = errors.New("session: the record was changed by somebody else")
)
