package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/session"
)

// buildForms returns what keeps forms, and buildThrottle what slows down guessing: in
// the store, which all gateways on it share; in this process where sessions are in
// memory or in the cookie.
func buildForms(in parts, store session.Store, ring *session.Ring) *auth.Forms {
	if in.Users != nil || store == nil {
		return auth.NewForms(nil)
	}
	return auth.ShareForms(shelf{session.Vault{Store: store, Ring: ring}})
}

func buildThrottle(in parts, store session.Store, ring *session.Ring) local.Guard {
	if in.Users != nil || store == nil {
		return local.NewThrottle(nil)
	}
	return &local.SharedThrottle{Shelf: hiddenShelf{shelf{session.Vault{Store: store, Ring: ring}}}}
}

// shelf is the auth.Shelf in a session store.
type shelf struct{ vault session.Vault }

var _, _ auth.Shelf = shelf{}, hiddenShelf{}

// Load implements auth.Shelf.
func (s shelf) Load(ctx context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	value, version, err := s.vault.LoadNewer(ctx, name, atLeast)
	if errors.Is(err, session.ErrUnknownKey) {
		err = fmt.Errorf("%w; bring that key back in keys.files", err)
	}
	if err != nil || len(value) == 0 {
		return nil, version, err
	}
	return value, version, nil
}

// Save implements auth.Shelf.
func (s shelf) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	if value == nil {
		ttl = session.TookAway
	}
	err := s.vault.Save(ctx, name, prev, value, ttl)
	if errors.Is(err, session.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// Now implements auth.Shelf.
func (s shelf) Now(ctx context.Context) (time.Time, error) { return s.vault.Store.Now(ctx) }

// hiddenShelf is a shelf for names that somebody might guess: without the ring nobody
// can tell them. What lies under the name that an older key of the ring gives is found,
// and moves to that of the sealing key with its next write.
type hiddenShelf struct{ shelf }

const purposeShelf = "shelf"

// Load implements auth.Shelf.
func (s hiddenShelf) Load(ctx context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	for i, tag := range s.vault.Ring.Tags(purposeShelf, name) {
		if i > 0 && atLeast != auth.Newest { // versions are those of the first name
			atLeast = 0
		}
		value, version, err := s.shelf.Load(ctx, hex.EncodeToString(tag[:]), atLeast)
		switch {
		case err != nil:
			return nil, 0, err
		case version == 0:
			continue
		case i > 0:
			version = 0 // of the name that it is written to
		}
		return value, version, nil
	}
	return nil, 0, nil
}

// Save implements auth.Shelf.
func (s hiddenShelf) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	tags := s.vault.Ring.Tags(purposeShelf, name)
	ok, err := s.shelf.Save(ctx, hex.EncodeToString(tags[0][:]), prev, value, ttl)
	if !ok || err != nil {
		return ok, err
	}
	for _, tag := range tags[1:] {
		if err := s.takeAway(ctx, hex.EncodeToString(tag[:])); err != nil {
			return false, err
		}
	}
	return true, nil
}

// takeAway removes what lies under an older name, or it would be found again once what
// took its place is over.
func (s hiddenShelf) takeAway(ctx context.Context, older string) error {
	value, version, err := s.shelf.Load(ctx, older, auth.Newest)
	if err != nil || value == nil {
		return err
	}
	_, err = s.shelf.Save(ctx, older, version, nil, 0)
	return err
}
