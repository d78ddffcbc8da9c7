package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// kept is what is kept of the users beside their file. It is replaced, never edited. A nil one
// has nothing.
type kept struct {
	Users map[string]entry `json:"users"`
}

// entry is what is kept of one user. The zero value is nothing.
type entry struct {
	// Password is the hash of the password that was set here, as a PHC string, or "".
	Password string `json:"password,omitempty"`
	// From is the stamp of the one that the users file had then. The file's counts where it
	// has another by now: whoever writes it has the last word, and a user of the same name who
	// is somebody else has nothing of the one of before.
	From string `json:"from,omitempty"`
	// At is when it was set.
	At time.Time `json:"at,omitzero"`
	// Invite is the code that is out, or nil.
	Invite *invite `json:"invite,omitempty"`

	hash phc
}

// invite is a code by which somebody sets their password.
type invite struct {
	// Digest is that of the code.
	Digest []byte `json:"digest"`
	// Stamp is that of the password of then: it is for nobody who has another by now.
	Stamp string `json:"stamp"`
	// Until is when it is over.
	Until time.Time `json:"until"`
}

// digest is that of a code.
type digest = [sha256.Size]byte

// invitation is one that is out.
type invitation struct {
	user, stamp string
	until       time.Time
}

// parseKept reads what encode wrote; nil is nothing yet.
func parseKept(value []byte) (*kept, error) {
	k := &kept{Users: map[string]entry{}}
	if value == nil {
		return k, nil
	}
	if err := json.Unmarshal(value, k); err != nil {
		return nil, fmt.Errorf("what lies there is none: %w", err)
	}
	for name, e := range k.Users {
		if e.Password == "" {
			continue
		}
		var err error
		if e.hash, err = parsePHC(e.Password); err != nil {
			return nil, fmt.Errorf("the password of user %q: %w", name, err)
		}
		k.Users[name] = e
	}
	return k, nil
}

// with is k with another entry of a user. What is over goes.
func (k *kept) with(name string, e entry, now time.Time) *kept {
	next := &kept{Users: maps.Clone(k.Users)}
	next.Users[name] = e
	for name, e := range next.Users {
		if e.Invite != nil && !now.Before(e.Invite.Until) {
			e.Invite = nil
			next.Users[name] = e
		}
	}
	maps.DeleteFunc(next.Users, func(_ string, e entry) bool { return e.Password == "" && e.Invite == nil })
	return next
}

// over is a user of the file, with the password that was set here if it counts.
func (k *kept) over(u *known) *known {
	if k == nil {
		return u
	}
	e, ok := k.Users[u.Name]
	if !ok || e.Password == "" || e.From != u.from {
		return u
	}
	changed := *u
	changed.Password, changed.hash, changed.stamp, changed.since = e.Password, e.hash, stampOf(e.Password), e.At.UnixNano()
	return &changed
}

// invitations are those that are out, by the digests of their codes.
func (k *kept) invitations() map[digest]invitation {
	all := map[digest]invitation{}
	if k == nil {
		return all
	}
	for name, e := range k.Users {
		if e.Invite != nil && len(e.Invite.Digest) == sha256.Size {
			all[digest(e.Invite.Digest)] = invitation{name, e.Invite.Stamp, e.Invite.Until}
		}
	}
	return all
}

// has reports whether the code of a digest is the one that is out.
func (e *entry) has(d digest, now time.Time) bool {
	return e.Invite != nil && bytes.Equal(e.Invite.Digest, d[:]) && now.Before(e.Invite.Until)
}
