package credential

import (
	"encoding/json"
	"time"
)

// Record is what is kept of one user. The zero value is somebody who has a password alone. What
// Book.Load returns is not edited; Book.Edit hands out one that may be.
type Record struct {
	// Handle names the user to authenticators and says nothing of who that is (WebAuthn
	// section 14.6.1). It is drawn with the first passkey, and stays.
	Handle []byte `json:"handle,omitempty"`
	// Passkeys are in the order in which they were made.
	Passkeys []Passkey `json:"passkeys,omitempty"`
	// Authenticator makes one-time codes; nil where there is none.
	Authenticator *Authenticator `json:"authenticator,omitempty"`
	// Recovery are the codes that have not been used yet.
	Recovery []Recovery `json:"recovery,omitempty"`
	// Guesses are the wrong one-time and recovery codes since the last right one.
	Guesses Guesses `json:"guesses,omitzero"`
}

// Passkey is a WebAuthn credential of a user.
type Passkey struct {
	// ID is that of the credential.
	ID []byte `json:"id"`
	// Name is what the user calls it.
	Name string `json:"name"`
	// Created and Used are when it was made, and used last; the zero Used is never.
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
	// Data is the credential as what checks it keeps it.
	Data json.RawMessage `json:"data"`
}

// Authenticator is an app that makes one-time codes from a secret that it shares with the gateway
// (RFC 6238).
type Authenticator struct {
	// Secret is shared.
	Secret []byte `json:"secret"`
	// Created is when it was set up.
	Created time.Time `json:"created"`
	// Step is the last time step for which a code was taken: that one and those before it are
	// not taken any more (RFC 6238 section 5.2).
	Step int64 `json:"step"`
}

// Recovery is a code for somebody who has lost the rest. It is good once.
type Recovery struct {
	// Digest is that of the code. Codes are drawn, and long enough that nobody can try them all.
	Digest []byte `json:"digest"`
}

// Guesses count wrong codes.
type Guesses struct {
	// Count is how many there were in a row.
	Count int `json:"count"`
	// Until is the time before which no other is looked at; zero is now.
	Until time.Time `json:"until,omitzero"`
}

// Empty reports whether nothing is kept.
func (r *Record) Empty() bool {
	return !r.HasSecond() && len(r.Handle) == 0 && len(r.Recovery) == 0 && r.Guesses == (Guesses{})
}

// HasSecond reports whether there is anything that proves more than a password.
func (r *Record) HasSecond() bool { return len(r.Passkeys) > 0 || r.Authenticator != nil }

// tidy takes away what means nothing where there is no second factor any more: recovery codes stand
// in for one, and are not to come alive with the next.
func (r *Record) tidy() {
	if !r.HasSecond() {
		r.Recovery, r.Guesses = nil, Guesses{}
	}
}
