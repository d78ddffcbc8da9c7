package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Passkeys makes and checks passkeys (WebAuthn Level 3). What it hands out between a beginning
// and an end is for the caller to keep: see Ceremony.
type Passkeys interface {
	// Ask begins a sign-in. User is whose passkey it must be; "" takes anybody's that says whose
	// it is. Verify has the authenticator make sure who holds it, by a PIN or a finger; without a
	// user it does so always. Options are those of navigator.credentials.get in JSON. The
	// error is a *Refused where there is no passkey to ask for, or a *Unavailable.
	Ask(ctx context.Context, user string, verify bool) (options []byte, c *Ceremony, err error)
	// Assert ends it with what a browser says that an authenticator signed, and returns who it
	// was. The error is a *Refused, with the subject where that is known, or a *Unavailable.
	Assert(ctx context.Context, c *Ceremony, answer []byte) (subject string, p Proof, err error)
	// Offer begins making a passkey for a user, who is called name where keys are listed. Options
	// are those of navigator.credentials.create in JSON. The error is ErrManyPasskeys or a
	// *Unavailable.
	Offer(ctx context.Context, user, name string, verify bool) (options []byte, c *Ceremony, err error)
	// Add ends it: the passkey is the user's from then on, and called name. The Proof is that of
	// whoever made it. The error is a *Refused, ErrManyPasskeys or a *Unavailable.
	Add(ctx context.Context, c *Ceremony, name string, answer []byte) (Proof, error)
	// Rename calls the passkey of a user something else. The error is ErrNoPasskey or a
	// *Unavailable.
	Rename(ctx context.Context, user, id, name string) error
	// Remove takes one away. Last says that it may be all that the user has. It returns what it
	// was called. The error is ErrNoPasskey, ErrLastFactor or a *Unavailable.
	Remove(ctx context.Context, user, id string, last bool) (name string, err error)
}

// Ceremony is a sign-in by passkey, or the making of one, that has begun. Whoever keeps it between
// its two halves keeps it from being changed, and uses it once.
type Ceremony struct {
	// Challenge is what is to be signed, in base64url.
	Challenge string `json:"c"`
	// Make says that a passkey is to be made, and not used.
	Make bool `json:"m,omitempty"`
	// User is whose it must be, or becomes; "" is anybody's that says whose it is.
	User string `json:"u,omitempty"`
	// Verify says that the authenticator has to make sure who holds it.
	Verify bool `json:"v,omitempty"`
	// Begun is when it began.
	Begun time.Time `json:"t"`
}

var (
	// ErrManyPasskeys reports that a user has as many passkeys as there may be.
	ErrManyPasskeys = errors.New("the user has as many passkeys as there may be")
	// ErrNoPasskey reports that a user has no such passkey.
	ErrNoPasskey = errors.New("the user has no such passkey")
	// ErrLastFactor reports that what is to be taken away is the last that a user can prove who they
	// are with, and that more than a password is required.
	ErrLastFactor = errors.New("it is the last that proves more than the password, and that is required")
)

// AMRVerified is the method of an authenticator that made sure who holds it. RFC 8176 has words for
// a finger and a PIN alone, and an authenticator does not say which of them it was (WebAuthn
// section 6.1, "UV").
const AMRVerified = "uv"

// passkeyAMR are all the methods that a sign-in by passkey may have.
var passkeyAMR = []string{"pop", "hwk", "swk", "user", AMRVerified, "mfa"}

// aloneMeets reports whether a passkey without a password can be what d demands.
func (f *Factors) aloneMeets(d *Demand) bool {
	return (len(d.ACR) == 0 || overlap(d.ACR, []string{ACRMulti, ACRResistant})) && (len(d.AMR) == 0 || overlap(d.AMR, passkeyAMR))
}

// afterPasswordMeets is aloneMeets after a password.
func (f *Factors) afterPasswordMeets(d *Demand) bool {
	return f.aloneMeets(d) || slices.Contains(d.AMR, "pwd") && (len(d.ACR) == 0 || overlap(d.ACR, []string{ACRMulti, ACRResistant}))
}

// verifiedAlone reports whether of passkeys d takes those alone that make sure who holds them.
func (d *Demand) verifiedAlone() bool {
	return slices.Contains(d.AMR, AMRVerified) && !overlap(d.AMR, []string{"pwd", "pop", "hwk", "swk", "user", "mfa"})
}

// MaxPasskeys is how many passkeys a user may have.
const MaxPasskeys = 20

// maxPasskeyName bounds what a passkey is called, in characters.
const maxPasskeyName = 60

// passkeyName is what somebody typed, as a passkey may be called; false where it may not.
func passkeyName(typed string) (string, bool) {
	name := strings.TrimSpace(typed)
	odd := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	return name, name != "" && utf8.RuneCountInString(name) <= maxPasskeyName && !strings.ContainsFunc(name, odd)
}
