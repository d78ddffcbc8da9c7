package credential

import (
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
)

// Cabinet is where a Book lies. It is for the Cabinet to keep the values secret; names are as good
// as random. Every error is an outage. Methods are safe for concurrent use.
type Cabinet interface {
	// Load returns what lies under name and its version, or nil and the version that Save takes
	// where that is nothing. It is no older than version atLeast, and what lies there now for
	// auth.Newest; otherwise it may be of 100 ms ago.
	Load(ctx context.Context, name string, atLeast uint64) (value []byte, version uint64, err error)
	// Save puts value under name, if version prev is what lies there. Otherwise it reports false,
	// and changes nothing. A ttl of zero keeps it for good; a nil value takes away what was there.
	Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error)
	// Reseal seals what lies under name by the key that seals now, if it is not.
	Reseal(ctx context.Context, name string) error
	// Forget takes away what lies under name, whether it can be read or not.
	Forget(ctx context.Context, name string) error
}

// Book is the records of all users. Every error that is not the caller's own is an outage: it
// says nothing about anybody. It is safe for concurrent use.
type Book struct {
	cabinet Cabinet
	salt    atomic.Pointer[[]byte]
}

// NewBook returns the Book in a Cabinet.
func NewBook(c Cabinet) *Book { return &Book{cabinet: c} }

// tries bounds how often a change is tried anew: somebody else's got in each time.
const tries = 20

// errContended reports that others change the same again and again.
var errContended = errors.New("others change the same again and again")

// Load returns what is kept of a user now: whoever has just changed it looks at what came of that,
// and a sign-in asks whether a second factor is there.
func (b *Book) Load(ctx context.Context, user string) (*Record, error) {
	name, err := b.name(ctx, "user", user)
	if err != nil {
		return nil, err
	}
	return b.read(ctx, name)
}

// ErrAsItIs is what a change of Edit returns that leaves everything as it is, which is no error.
var ErrAsItIs = errors.New("nothing is to be changed")

// Edit has change edit what is kept of a user. It may be called several times, each time with the
// record as it is then. Its error is returned, and changes nothing; every other one is a
// *auth.Unavailable. Recovery codes go with the last second factor.
func (b *Book) Edit(ctx context.Context, user string, change func(*Record) error) error {
	name, err := b.name(ctx, "user", user)
	if err != nil {
		return Away(err)
	}
	var refused error
	err = b.swap(ctx, name, 0, func(was []byte) ([]byte, bool, error) {
		r, err := decode(was)
		if err != nil {
			return nil, false, err
		}
		if refused = change(r); refused != nil {
			return nil, false, nil
		}
		r.tidy()
		value, err := json.Marshal(r)
		return value, true, err
	})
	switch {
	case err != nil:
		return Away(fmt.Errorf("write down credentials: %w", err))
	case errors.Is(refused, ErrAsItIs):
		return nil
	}
	return refused
}

// swap puts what next makes of the value under name in its place. It may be called several times,
// each time with what lies there then, until nobody else's change came in between; false has it
// stay as it is: for what lies there now, since nobody finds out afterwards that it was older.
func (b *Book) swap(ctx context.Context, name string, ttl time.Duration, next func(was []byte) (value []byte, change bool, err error)) error {
	for n := range tries {
		was, version, err := b.cabinet.Load(ctx, name, auth.Newest)
		if err != nil {
			return err
		}
		value, change, err := next(was)
		if err != nil || !change {
			return err
		}
		ok, err := b.cabinet.Save(ctx, name, version, value, ttl)
		if ok || err != nil {
			return err
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
	return errContended
}

func (b *Book) read(ctx context.Context, name string) (*Record, error) {
	value, _, err := b.cabinet.Load(ctx, name, auth.Newest)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	return decode(value)
}

// decode reads a record; nil is one that has nothing.
func decode(value []byte) (*Record, error) {
	r := new(Record)
	if value == nil {
		return r, nil
	}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, fmt.Errorf("read credentials: what lies there is none: %w", err)
	}
	return r, nil
}

// Reseal seals what is kept of a user by the key that seals now. Keys leave the ring after some
// time, and what is kept here outlives them.
func (b *Book) Reseal(ctx context.Context, user string) error {
	if err := b.cabinet.Reseal(ctx, saltName); err != nil {
		return fmt.Errorf("seal credentials anew: %w", err)
	}
	name, err := b.name(ctx, "user", user)
	if err == nil {
		err = b.cabinet.Reseal(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("seal credentials anew: %w", err)
	}
	r, err := b.read(ctx, name)
	if err != nil || len(r.Handle) == 0 {
		return err
	}
	return b.ResealNote(ctx, HandleKind, string(r.Handle))
}

// Forget takes away all that is kept of a user, also where it can not be read any more.
func (b *Book) Forget(ctx context.Context, user string) error {
	name, err := b.name(ctx, "user", user)
	if err == nil {
		if r, unread := b.read(ctx, name); unread == nil && len(r.Handle) > 0 {
			_, err = b.TakeNote(ctx, HandleKind, string(r.Handle))
		}
	}
	if err == nil {
		err = b.cabinet.Forget(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("forget credentials: %w", err)
	}
	return nil
}

// saltName is where the salt of all names lies.
const saltName = "credentials"

// name is what something is called in the cabinet. It depends on a salt that lies there sealed, so
// that a copy of the store does not tell who is in it.
func (b *Book) name(ctx context.Context, kind, of string) (string, error) {
	salt := b.salt.Load()
	if salt == nil {
		drawn, err := b.drawSalt(ctx)
		if err != nil {
			return "", fmt.Errorf("read credentials: %w", err)
		}
		b.salt.Store(&drawn)
		salt = &drawn
	}
	mac := hmac.New(sha256.New, *salt)
	_, _ = mac.Write([]byte(kind + "\x00" + of)) // never fails (hash.Hash)
	return saltName + "/" + hex.EncodeToString(mac.Sum(nil)), nil
}

// drawSalt returns the salt of this cabinet. Whoever comes first draws it.
func (b *Book) drawSalt(ctx context.Context) (salt []byte, err error) {
	err = b.swap(ctx, saltName, 0, func(was []byte) ([]byte, bool, error) {
		if salt = was; salt != nil {
			return nil, false, nil
		}
		salt = make([]byte, sha256.Size)
		_, _ = crand.Read(salt) // never fails (crypto/rand)
		return salt, true, nil
	})
	return salt, err
}

// pause waits a moment that is longer each time.
func pause(ctx context.Context, n int) error {
	t := time.NewTimer(rand.N(min(time.Millisecond<<min(n, 10), 32*time.Millisecond)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errContended, ctx.Err())
	}
}
