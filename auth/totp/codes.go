package totp

import (
	"context"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
)

// Codes implements auth.OneTimeCodes.
type Codes struct {
	// Book is where secrets, recovery codes and wrong codes are written down. It is required.
	Book *credential.Book
	// Now is the clock that apps are compared with; nil means time.Now.
	Now func() time.Time
}

var _ auth.OneTimeCodes = (*Codes)(nil)

const (
	// freeGuesses wrong codes in a row cost nothing; then comes a wait of firstWait, twice as long
	// after each further one, up to maxWait.
	freeGuesses = 10
	firstWait   = time.Second
	maxWait     = 15 * time.Minute
	// maxGuesses in a row are all that are ever looked at (NIST SP 800-63B-4 section 3.2.2).
	maxGuesses = 100
)

// proof is what a code proves besides the password.
var proof = auth.Proof{AMR: []string{"otp", "mfa"}, ACR: auth.ACRMulti}

var (
	errWrong = &auth.Refused{Reason: "wrong code"}
	errSpent = &auth.Refused{Reason: "a code that was used already, or an older one"}
	errNone  = &auth.Refused{Reason: "no code is set up"}
)

// edit is Book.Edit for a change that says something of what it changed.
func (c *Codes) edit(ctx context.Context, user string, change func(*credential.Record) (changed bool, verdict error)) error {
	var verdict error
	err := c.Book.Edit(ctx, user, func(r *credential.Record) error {
		var changed bool
		if changed, verdict = change(r); !changed {
			return credential.ErrAsItIs
		}
		return nil
	})
	if err != nil {
		return err
	}
	return verdict
}

// Check implements auth.OneTimeCodes. Wrong codes are counted with the user: nobody gets here
// who does not know the password. A right recovery code is taken whatever was wrong before: it
// cannot be guessed, and whoever guesses at the six digits is not to keep the owner out.
func (c *Codes) Check(ctx context.Context, user, typed string) (auth.Checked, error) {
	code := plain(typed)
	if len(code) != Digits && len(code) != recoveryLength {
		return auth.Checked{}, errWrong
	}
	var out auth.Checked
	err := c.edit(ctx, user, func(r *credential.Record) (bool, error) {
		out = auth.Checked{}
		if !r.HasSecond() {
			return false, errNone
		}
		if i := find(r.Recovery, code); i >= 0 {
			r.Recovery = append(r.Recovery[:i:i], r.Recovery[i+1:]...)
			r.Guesses = credential.Guesses{}
			out = auth.Checked{Proof: proof, Recovery: true, Left: len(r.Recovery)}
			return true, nil
		}
		now := c.now()
		if err := mayGuess(&r.Guesses, now); err != nil {
			return false, err
		}
		verdict := errWrong
		if r.Authenticator != nil {
			step, ok := stepOf(r.Authenticator.Secret, code, now, r.Authenticator.Step)
			if ok {
				r.Authenticator.Step, r.Guesses = step, credential.Guesses{}
				out = auth.Checked{Proof: proof}
				return true, nil
			}
			if _, ok := stepOf(r.Authenticator.Secret, code, now, 0); ok {
				verdict = errSpent
			}
		}
		wrong(&r.Guesses, now)
		return true, verdict
	})
	return out, err
}

// mayGuess is nil, or the *auth.Throttled of somebody who has to wait.
func mayGuess(g *credential.Guesses, now time.Time) error {
	if g.Count >= maxGuesses {
		return &auth.Throttled{ForGood: true}
	}
	if wait := g.Until.Sub(now); wait > 0 {
		return &auth.Throttled{RetryAfter: wait}
	}
	return nil
}

func wrong(g *credential.Guesses, now time.Time) {
	g.Count++
	if over := g.Count - freeGuesses; over >= 0 {
		g.Until = now.Add(min(firstWait<<min(over, 10), maxWait))
	}
}

// SetUp implements auth.OneTimeCodes.
func (c *Codes) SetUp(ctx context.Context, user string, secret []byte, typed string, first bool) (auth.Proof, error) {
	now := c.now()
	step, ok := stepOf(secret, plain(typed), now, 0)
	if !ok {
		return auth.Proof{}, errWrong
	}
	err := c.edit(ctx, user, func(r *credential.Record) (bool, error) {
		if first == r.HasSecond() { // who may do it was asked of another record
			return false, auth.ErrChanged
		}
		r.Authenticator = &credential.Authenticator{Secret: secret, Created: now, Step: step}
		r.Guesses = credential.Guesses{}
		return true, nil
	})
	if err != nil {
		return auth.Proof{}, err
	}
	return proof, nil
}

// Remove implements auth.OneTimeCodes.
func (c *Codes) Remove(ctx context.Context, user string, notLast bool) (bool, error) {
	removed := false
	err := c.edit(ctx, user, func(r *credential.Record) (bool, error) {
		removed = r.Authenticator != nil
		switch {
		case !removed:
			return false, nil
		case notLast && len(r.Passkeys) == 0:
			removed = false
			return false, auth.ErrLastFactor
		}
		r.Authenticator = nil
		return true, nil
	})
	return removed, err
}

// Renew implements auth.OneTimeCodes.
func (c *Codes) Renew(ctx context.Context, user string, first bool) ([]string, error) {
	var shown []string
	err := c.edit(ctx, user, func(r *credential.Record) (bool, error) {
		shown = nil
		if !r.HasSecond() || first && len(r.Recovery) > 0 {
			return false, nil
		}
		shown, r.Recovery = draw()
		return true, nil
	})
	return shown, err
}

func (c *Codes) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}
