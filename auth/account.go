package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/evergate/evergate/internal/event"
)

// Device is one session of a person, as the account page shows it.
type Device struct {
	// Name is that of logs and pages; it opens nothing.
	Name string
	// Created is when it was signed in, Seen about when it was used last, and Ends when it
	// ends if nobody uses it any more.
	Created, Seen, Ends time.Time
	// Agent is the User-Agent header of the sign-in, and Address where that came from; ""
	// is not known.
	Agent, Address string
	// Bound says that a copy of its cookies opens nothing for long: see Bindings.
	Bound bool
	// Current is the session that asks.
	Current bool
}

// Devices are the sessions of the person of a Login: of whoever is the same subject at the
// same provider. A user name is nothing to go by, for a provider may give it to somebody
// else. What is not that person's is as if it were not there. Errors are *Unavailable.
type Devices interface {
	// OwnDevices lists them, the one that asks first and then the latest used.
	OwnDevices(ctx context.Context, login *Login) ([]Device, error)
	// EndOwn ends the one of that name on every gateway, live connections included, and
	// returns how many it ended.
	EndOwn(ctx context.Context, login *Login, name string) (int, error)
	// EndOthers ends all but the one that asks. Reason is that of the events:
	// event.ByPerson or event.NewPassword. With an error too it returns how many it ended.
	EndOthers(ctx context.Context, login *Login, reason string) (int, error)
	// EndEvery is EndOthers for a person who asks by no session: it ends all.
	EndEvery(ctx context.Context, login *Login, reason string) (int, error)
}

// Journal is what happened to people.
type Journal interface {
	// Own returns what happened to the person of login lately, the newest first.
	Own(ctx context.Context, login *Login) ([]event.Event, error)
}

// PasswordChanger changes the passwords of people who sign in by one. local.Method is one.
type PasswordChanger interface {
	// CanChange reports whether the password of login can be changed here.
	CanChange(login *Login) bool
	// MinPassword is the least length of a new one, in characters.
	MinPassword() int
	// Change puts next in the place of current, for whoever asks, and returns the login
	// that a sign-in by the new one gives. Guessing is as slow as at a sign-in. The error is a *BadPassword for next, a *Refused for current, a *Throttled, a
	// *Unavailable, or ErrChanged where somebody else changed it meanwhile; nothing has
	// changed then.
	Change(ctx context.Context, from Asker, login *Login, current, next string) (*Login, error)
}

// What may be wrong with a new password.
const (
	PasswordShort   = "short"   // fewer than PasswordChanger.MinPassword characters
	PasswordLong    = "long"    // more than MaxPassword bytes
	PasswordNoText  = "no-text" // no UTF-8
	PasswordName    = "name"    // it is the user name, once or several times
	PasswordSame    = "same"    // it is the one of before
	PasswordCommon  = "common"  // it is one of the most common ones
	PasswordGuessed = "guessed" // it can be guessed by whoever tries likely ones first
)

const (
	// MinPassword is the least length of a password that is the only factor, in
	// characters (NIST SP 800-63B-4 section 3.1.1.2), and MinPasswordOfTwo of one beside which
	// everybody has a second factor.
	MinPassword      = 15
	MinPasswordOfTwo = 8
	// MaxPassword is the greatest, in bytes: more is refused before it is hashed.
	MaxPassword = 1024
)

// BadPassword says that a new password is not taken, and why: one of the constants above.
type BadPassword struct{ Why string }

func (b *BadPassword) Error() string { return fmt.Sprintf("the new password is not taken: %s", b.Why) }

// Inviter sets the passwords of people who come with a one-time code. local.Method is one.
type Inviter interface {
	// Invited returns the user whom a code is for. The error is a *Refused, which tells people
	// nothing of why, or a *Unavailable.
	Invited(ctx context.Context, code string) (user string, err error)
	// Accept sets next as the password of whom a code is for, and returns the login that a
	// sign-in by it gives. The code is good no more then. The error is a *BadPassword for next, a
	// *Refused for the code, ErrChanged where somebody else changed the password meanwhile, or a
	// *Unavailable; the code is as good as it was.
	Accept(ctx context.Context, code, next string) (*Login, error)
}
