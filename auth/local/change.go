package local

import (
	"context"
	"fmt"
	"time"

	"github.com/evergate/evergate/auth"
)

var _ auth.PasswordChanger = (*Method)(nil)

// CanChange implements auth.PasswordChanger.
func (m *Method) CanChange(login *auth.Login) bool {
	return login.Identity.Provider == m.Name && m.Users.opts.Board != nil && m.Check(login) == nil
}

// MinPassword implements auth.PasswordChanger.
func (m *Method) MinPassword() int { return m.Rules.min() }

// Change implements auth.PasswordChanger. The new password is looked at first, so that a
// person who has to think of another one has not used up an attempt.
func (m *Method) Change(ctx context.Context, from auth.Asker, login *auth.Login, current, next string) (*auth.Login, error) {
	name := login.Identity.Subject
	if login.Identity.Provider != m.Name || m.Users.opts.Board == nil {
		return nil, &auth.Refused{Reason: "the password is not kept here"}
	}
	before := m.Users.find(name)
	if before == nil {
		return nil, errGone
	}
	if why := m.Rules.Wrong(before.User, next); why != "" {
		return nil, &auth.BadPassword{Why: why}
	}
	if next == current {
		return nil, &auth.BadPassword{Why: auth.PasswordSame}
	}
	if _, err := m.Login(ctx, from, name, current); err != nil {
		return nil, err
	}
	now, err := m.set(ctx, name, next, func(u *known, _ *entry) error {
		if u == nil || u.Disabled || u.stamp != before.stamp {
			return auth.ErrChanged
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What else was proven of late is proven still.
	return m.login(ctx, now, m.now(), auth.Proof{AMR: login.AMR, ACR: login.ACR})
}

// set sets the password of a user, if may says that it may be: the user as the gateways have
// them now, and what is kept of them. Sign-ins and sessions go by it when set returns. An
// invitation of before is void.
func (m *Method) set(ctx context.Context, name, next string, may func(u *known, e *entry) error) (*known, error) {
	hash, err := m.Hasher.Hash(ctx, next)
	if err != nil {
		return nil, err
	}
	parsed, err := parsePHC(hash)
	if err != nil {
		return nil, fmt.Errorf("set the password of user %q: %w", name, err)
	}
	at := m.now()
	err = m.Users.edit(ctx, name, at, func(u *known, e *entry) error {
		if err := may(u, e); err != nil {
			return err
		}
		*e = entry{Password: hash, From: u.from, At: at.Truncate(time.Microsecond), hash: parsed}
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.Users.tell(false)
	now := m.Users.find(name)
	if now == nil || now.Password != hash {
		return nil, auth.ErrChanged // in this very moment
	}
	return now, nil
}
