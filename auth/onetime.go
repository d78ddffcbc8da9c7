package auth

import "context"

// OneTimeCodes checks one-time codes (RFC 6238) and recovery codes, and sets them up. Every error
// that is not named is a *Unavailable.
type OneTimeCodes interface {
	// Check takes a code of a user who has proven the password, of either kind. A right one is not
	// taken again. The error is a *Refused or a *Throttled.
	Check(ctx context.Context, user, code string) (Checked, error)
	// SetUp keeps the secret of an app that shows code now, in the place of the one before. First
	// has it do so only for somebody who has no second factor yet, and return ErrChanged
	// otherwise. The error is a *Refused for the code.
	SetUp(ctx context.Context, user string, secret []byte, code string, first bool) (Proof, error)
	// Remove takes away the app, and reports whether there was one. NotLast has it return ErrLastFactor
	// where there is nothing else.
	Remove(ctx context.Context, user string, notLast bool) (removed bool, err error)
	// Renew makes recovery codes in the place of those before, as they are to be shown once. First
	// has it make none where there are some. None are made for whoever has no second factor.
	Renew(ctx context.Context, user string, first bool) (codes []string, err error)
}

// Checked is what a right code proves.
type Checked struct {
	Proof
	// Recovery says that it was a recovery code, and Left is how many there are still.
	Recovery bool
	Left     int
}
