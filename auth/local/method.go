package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Method signs in the users of a Directory by password. It implements
// auth.Refresher and auth.Checker. The zero value is not usable; every field
// without a default must be set.
type Method struct {
	// Name is Identity.Provider of its logins.
	Name string
	// Prefix stands before user names in rules, headers and tokens: "" with one
	// provider, "local/" with several.
	Prefix string
	// Users are who may sign in.
	Users *Directory
	// Hasher checks passwords.
	Hasher *Hasher
	// Throttle slows down guessing.
	Throttle Guard
	// Rules are for new passwords.
	Rules Rules
	// Minter signs access tokens.
	Minter auth.Minter
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log takes failures; nil discards them.
	Log *slog.Logger
	// Heard hears of failures; nil is nobody.
	Heard event.Func
}

var (
	_ auth.Refresher = (*Method)(nil)
	_ auth.Checker   = (*Method)(nil)
	_ auth.Prover    = (*Method)(nil)
)

// Login signs a user in. The error is a *auth.Refused, whose reason is for the
// log alone, a *auth.Throttled, or a *auth.Unavailable. Unknown, disabled and
// mistaken users cost the same work.
func (m *Method) Login(ctx context.Context, from auth.Asker, user, password string) (*auth.Login, error) {
	if len(password) > maxPassword || len(user) > 256 || !utf8.ValidString(user) || !utf8.ValidString(password) {
		return nil, &auth.Refused{Reason: "the user name or password is too long or no text"}
	}
	if m.Users.at.Load().unread {
		return nil, errUnread
	}
	u, this := m.Users.find(strings.TrimSpace(user)), try{account: canonical(user), addr: from.Addr}
	if u != nil {
		this.stamp, this.browser = u.stamp, from.Browser.At(u.Name, u.stamp)
	}
	wait, done, err := m.Throttle.attempt(ctx, this)
	if err != nil {
		return nil, &auth.Unavailable{What: "sign-in", Err: fmt.Errorf("count the attempt: %w", err)}
	}
	if wait > 0 {
		err := &auth.Throttled{RetryAfter: wait}
		m.tell(ctx, slog.LevelDebug, u, event.TooMany, from.Addr, err)
		return nil, err
	}
	var hash *phc
	if u != nil && !u.Disabled {
		hash = &u.hash
	}
	ok, err := m.Hasher.verify(ctx, hash, m.Users.decoy(strings.TrimSpace(user)), password)
	how := failed
	switch {
	case err != nil:
		how = unjudged // nothing was looked at, so nothing failed
	case ok:
		how = succeeded
	}
	if undone := done(how); undone != nil && m.Log != nil {
		m.Log.WarnContext(ctx, "an attempt to sign in counts as failed, and was not", "event", "login.miscounted", "err", undone)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case ok:
		if now := m.Users.find(u.Name); now == nil || now.stamp != u.stamp { // while it was looked at
			return nil, errPassword
		}
		return m.login(ctx, u, m.now(), byPassword)
	case u == nil:
		err = &auth.Refused{Reason: "no such user"}
	case u.Disabled:
		err = &auth.Refused{Reason: "disabled"}
	default:
		err = &auth.Refused{Reason: "wrong password"}
	}
	m.tell(ctx, slog.LevelInfo, u, event.BadCredentials, from.Addr, err)
	return nil, err
}

// tell says that somebody was not signed in. A name that nobody has is not told: it may be
// a password in the wrong field.
func (m *Method) tell(ctx context.Context, level slog.Level, u *known, reason string, addr netip.Addr, err error) {
	e := event.Event{Name: event.LoginFailed, Provider: m.Name, Reason: reason, Err: err}
	if u != nil {
		e.User, e.Subject = m.Prefix+u.Name, u.Name
	}
	client := "" // not known, as in access lines
	if addr.IsValid() {
		client = addr.String()
	}
	event.Tell(ctx, m.Log, m.Heard, level, "sign-in refused", e, slog.String("client", client))
}

// byPassword is the proof that a password is.
var byPassword = auth.Proof{AMR: []string{"pwd"}}

func (m *Method) login(ctx context.Context, u *known, at time.Time, p auth.Proof) (*auth.Login, error) {
	login := &auth.Login{
		Identity: auth.Identity{
			Provider: m.Name, Subject: u.Name, User: m.Prefix + u.Name, PreferredUsername: u.Name,
			Name: u.DisplayName, Email: u.Email, EmailVerified: u.Email != "", Groups: u.Groups,
		},
		AuthTime: at, AMR: p.AMR, ACR: p.ACR, Stamp: u.stamp,
	}
	var err error
	login.AccessToken, err = m.Minter.Mint(ctx, login, "")
	if err != nil {
		return nil, &auth.Unavailable{What: "sign-in", Err: err}
	}
	return login, nil
}

// Proven implements auth.Prover.
func (m *Method) Proven(ctx context.Context, user, stamp string, at time.Time, p auth.Proof) (*auth.Login, error) {
	v := m.Users.at.Load()
	u := v.users[user]
	switch {
	case v.unread:
		return nil, errUnread
	case u == nil:
		return nil, errGone
	case u.Disabled:
		return nil, errDisabled
	case stamp != "" && u.stamp != stamp:
		return nil, errPassword
	}
	return m.login(ctx, u, at, p)
}

// Refresh implements auth.Refresher: groups and addresses are those of now. A
// local token is for one audience, so there is none for a resource of its own.
func (m *Method) Refresh(ctx context.Context, login *auth.Login, _ string) (*auth.Login, error) {
	if err := m.Check(login); err != nil {
		return nil, err
	}
	u := m.Users.find(login.Identity.Subject)
	if u == nil {
		return nil, errGone
	}
	fresh, err := m.login(ctx, u, login.AuthTime, auth.Proof{AMR: login.AMR, ACR: login.ACR})
	if err != nil {
		return nil, err
	}
	fresh.Stamp = login.Stamp
	return fresh, nil
}

var (
	errGone     = &auth.Refused{Reason: "no such user any more", Here: true, Event: event.UserWithdrawn}
	errDisabled = &auth.Refused{Reason: "disabled", Event: event.UserWithdrawn}
	errPassword = &auth.Refused{Reason: "the password was changed", Event: event.NewPassword}
	errNewer    = &auth.Refused{Reason: "signed in by another password than this gateway knows, after it was told of that", Here: true, Event: event.NewPassword}
	// errUnread is no word about anybody: passwords may have been changed since they were
	// written into the file, and the ones of before must not open anything.
	errUnread = &auth.Unavailable{What: "what keeps the passwords", RetryAfter: boardAgain, Err: errors.New("it was not read yet since this gateway started")}
)

// Check implements auth.Checker. It allocates nothing: it is asked on every request.
func (m *Method) Check(login *auth.Login) error {
	v := m.Users.at.Load()
	u := v.users[login.Identity.Subject]
	switch {
	case v.unread:
		return errUnread
	case u == nil:
		return errGone
	case u.Disabled:
		return errDisabled
	case u.stamp != login.Stamp && login.AuthTime.UnixNano() > max(v.readAt, u.since):
		// Another gateway knows of a newer password: it was changed there a moment ago.
		return errNewer
	case u.stamp != login.Stamp:
		return errPassword
	}
	return nil
}

func (m *Method) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}
