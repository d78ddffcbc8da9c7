package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
)

var _ auth.PasswordChanger = (*Method)(nil)

// CanChange implements auth.PasswordChanger.
func (m *Method) CanChange(login *auth.Login) bool {
	return login.Identity.Provider == m.Name && m.Users.opts.Save != nil &&
		(m.Users.opts.CanSave == nil || m.Users.opts.CanSave()) && m.Check(login) == nil
}

// Change implements auth.PasswordChanger. The new password is looked at first, so that a
// person who has to think of another one has not used up an attempt.
func (m *Method) Change(ctx context.Context, from auth.Asker, login *auth.Login, current, next string) (*auth.Login, error) {
	name := login.Identity.Subject
	if login.Identity.Provider != m.Name || m.Users.opts.Save == nil {
		return nil, &auth.Refused{Reason: "the password is not kept here"}
	}
	if why := wrongWith(name, current, next); why != "" {
		return nil, &auth.BadPassword{Why: why}
	}
	before := m.Users.find(name)
	if _, err := m.Login(ctx, from, name, current); err != nil {
		return nil, err
	}
	if before == nil {
		return nil, auth.ErrChanged // they came in this very moment
	}
	hash, err := m.Hasher.Hash(ctx, next)
	if err != nil {
		return nil, err
	}
	now, err := m.Users.exchange(ctx, name, before.Password, hash)
	switch {
	case errors.Is(err, auth.ErrChanged):
		return nil, err
	case err != nil:
		return nil, &auth.Unavailable{What: "what keeps the passwords", Err: fmt.Errorf("change the password of user %q: %w", name, err)}
	}
	m.Users.tell()
	// What else was proven in this session is proven still.
	return m.login(ctx, now, m.now(), auth.Proof{AMR: login.AMR, ACR: login.ACR})
}

// wrongWith says why next is not taken as the password of a user, or "". There are no rules
// about its letters: what makes a password hard to guess is its length (NIST SP 800-63B-4
// section 3.1.1.2).
func wrongWith(name, current, next string) string {
	switch {
	case !utf8.ValidString(next):
		return auth.PasswordNoText
	case len(next) > auth.MaxPassword:
		return auth.PasswordLong
	case utf8.RuneCountInString(next) < auth.MinPassword:
		return auth.PasswordShort
	case name != "" && strings.TrimSpace(strings.ReplaceAll(strings.ToLower(next), strings.ToLower(name), "")) == "":
		return auth.PasswordName
	case next == current:
		return auth.PasswordSame
	}
	return ""
}

// exchange puts hash in the place of the password of a user, where it is the one of was, and
// returns the user of then. Sign-ins and sessions go by it when it returns, without waiting
// for the next look at the file; an error says that nothing has changed.
func (d *Directory) exchange(ctx context.Context, name, was, hash string) (*known, error) {
	parsed, err := parsePHC(hash)
	if err != nil {
		return nil, err
	}
	d.reading.Lock() // a look at the file of before must not come after this
	defer d.reading.Unlock()
	old := d.find(name)
	if old == nil || old.Password != was {
		return nil, auth.ErrChanged
	}
	if err := d.opts.Save(ctx, name, was, hash); err != nil {
		return nil, err
	}
	u := *old
	u.Password, u.hash, u.stamp = hash, parsed, stampOf(hash)
	all := maps.Clone(*d.users.Load())
	all[name] = &u
	d.users.Store(&all)
	d.readAt.Store(time.Now().UnixNano())
	// This was written and not read: the file may have other changes, or be put back before
	// the next look, which reads it whatever it holds.
	d.seen.Forget()
	return &u, nil
}
