package local

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

var _ auth.Inviter = (*Method)(nil)

// inviteTTL is how long an invitation is good.
const inviteTTL = 24 * time.Hour

// codeSize is that of a code, in bytes: nobody tries 2^128, so that attempts need no throttle.
const codeSize = 16

var base = base32.StdEncoding.WithPadding(base32.NoPadding)

// ErrNoUser reports that the users file has no user of a name.
var ErrNoUser = errors.New("there is no such user in the users file")

// Invite returns a code by which a user sets their password, once and until a time. The one of
// before is void. What is kept of it is a digest. The error is ErrNoUser, a *auth.Refused where they are
// disabled, or a *auth.Unavailable.
func (m *Method) Invite(ctx context.Context, user string) (code string, until time.Time, err error) {
	b := make([]byte, codeSize)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	code = base.EncodeToString(b)
	sum, now := sha256.Sum256([]byte(code)), m.now()
	until = now.Add(inviteTTL).Truncate(time.Second)
	err = m.Users.edit(ctx, user, now, func(u *known, e *entry) error {
		switch {
		case u == nil:
			return ErrNoUser
		case u.Disabled:
			return errDisabled
		}
		e.Invite = &invite{Digest: sum[:], Stamp: u.stamp, Until: until}
		return nil
	})
	if err != nil {
		return "", time.Time{}, err
	}
	return grouped(code), until, nil
}

// Forget takes away what is kept of a user beside the users file: a password that was changed
// here, and an invitation. The error is a *auth.Unavailable.
func (m *Method) Forget(ctx context.Context, user string) error {
	err := m.Users.edit(ctx, user, m.now(), func(_ *known, e *entry) error {
		*e = entry{}
		return nil
	})
	if err == nil {
		m.Users.tell(false)
	}
	return err
}

// Invited implements auth.Inviter.
func (m *Method) Invited(ctx context.Context, code string) (string, error) {
	u, _, err := m.invited(code)
	if err != nil {
		return "", err
	}
	return u.Name, nil
}

// Accept implements auth.Inviter. The new password is looked at first, so that a person who has
// to think of another one has not used up their code.
func (m *Method) Accept(ctx context.Context, code, next string) (*auth.Login, error) {
	u, sum, err := m.invited(code)
	if err != nil {
		return nil, err
	}
	if why := m.Rules.Wrong(u.User, next); why != "" {
		return nil, &auth.BadPassword{Why: why}
	}
	now, err := m.set(ctx, u.Name, next, func(u *known, e *entry) error {
		switch {
		case u == nil:
			return errGone
		case u.Disabled:
			return errDisabled
		case !e.has(sum, m.now()) || e.Invite.Stamp != u.stamp:
			return errNoInvite
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m.login(ctx, now, m.now(), byPassword)
}

var (
	errNoInvite   = &auth.Refused{Reason: "no such invitation, or it is over or was used", Event: event.BadInvite}
	errNotYetHere = &auth.Unavailable{What: "what this gateway knows of your account", RetryAfter: 2 * time.Second, Err: errGone}
)

// invited returns whom a code is for.
func (m *Method) invited(code string) (*known, digest, error) {
	v := m.Users.at.Load()
	if v.unread {
		return nil, digest{}, errUnread
	}
	sum := sha256.Sum256([]byte(plainCode(code)))
	i, ok := v.invites[sum]
	if !ok || !m.now().Before(i.until) {
		return nil, sum, errNoInvite
	}
	switch u := v.users[i.user]; {
	case u == nil:
		return nil, sum, errNotYetHere // another gateway has read of them already
	case u.Disabled:
		return nil, sum, errDisabled
	case u.stamp != i.stamp:
		return nil, sum, errNoInvite
	default:
		return u, sum, nil
	}
}

// grouped is a code as people read it.
func grouped(code string) string {
	var parts []string
	for len(code) > 0 {
		n := min(len(code), 5)
		parts, code = append(parts, code[:n]), code[n:]
	}
	return strings.Join(parts, "-")
}

// maxCode bounds what is taken for a code, with all that people write between its letters.
const maxCode = 128

// plainCode is a code as it was drawn: what stands between groups, and the size of letters, do
// not count, and digits that are in none are the letters that they look like.
func plainCode(code string) string {
	if len(code) > maxCode {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '2' && r <= '7':
			return r
		case r == '0':
			return 'O'
		case r == '1':
			return 'I'
		}
		return -1
	}, code)
}
