package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/session"
)

// board is the local.Board in a session store.
type board struct{ shelf }

var _ local.Board = board{}

// besideUsers is what the value of a board is called.
const besideUsers = "users beside their file"

// buildBoard returns what keeps the passwords that were changed here; nil where that is nothing.
func buildBoard(in parts, store session.Store, ring *session.Ring) local.Board {
	if in.Users != nil || store == nil {
		return nil
	}
	return board{shelf{session.Vault{Store: store, Ring: ring}}}
}

// Load implements local.Board.
func (b board) Load(ctx context.Context, atLeast uint64) ([]byte, uint64, error) {
	return b.shelf.Load(ctx, besideUsers, atLeast)
}

// Save implements local.Board.
func (b board) Save(ctx context.Context, prev uint64, value []byte) (bool, error) {
	return b.shelf.Save(ctx, besideUsers, prev, value, 0)
}

// Watch implements local.Board.
func (b board) Watch(notify func()) (stop func()) { return b.vault.Watch(besideUsers, notify) }

// hashesAtOnce bounds the memory of sign-ins: each hash takes 64 MiB.
const hashesAtOnce = 4

// users are those of one file.
type users struct {
	*local.Directory
	file string
	part part
}

// preparePeople opens the users that are kept here, or takes them over from before;
// without any, e.people stays nil.
func (g *gateway) preparePeople(e, before *edition) error {
	file := ""
	for _, id := range e.cfg.Identity {
		if id.Local != nil {
			file = id.Local.UsersFile
		}
	}
	if file == "" && g.in.Users == nil {
		return nil
	}
	if e.users = before.users; e.users == nil || e.users.file != file {
		o := local.DirectoryOptions{Log: g.log, Board: g.board, Load: func() ([]local.User, error) { return g.in.Users, nil }}
		if g.in.Users == nil {
			o.Path, o.Load = file, func() ([]local.User, error) { return loadUsers(file) }
		}
		all, err := local.NewDirectory(o)
		if err != nil {
			return err
		}
		all.OnChange(func(file bool) {
			if file {
				event.Tell(g.life, nil, g.events.Hear, slog.LevelInfo, "", event.Event{Name: event.UsersReloaded, Count: all.Len()})
			}
			if g.current.Load() != nil { // or there are no sessions yet
				g.sessions.Recheck()
			}
		})
		e.users = &users{Directory: all, file: file, part: part{close: all.Close}}
	}
	g.hold(e, &e.users.part)
	e.people = &local.Method{
		Name: "local", Prefix: e.cfg.Prefix("local"), Users: e.users.Directory, Hasher: g.hasher, Throttle: g.throttle,
		Rules: passwordRules(e.cfg), Minter: e.issuer, Log: g.log, Heard: g.events.Hear,
	}
	return nil
}

// passwordRules are what a config asks of new passwords.
func passwordRules(cfg *config.Config) local.Rules {
	r := local.Rules{Host: cfg.PublicURL.Hostname()}
	if secondFactor(cfg) == "required" {
		r.Min = auth.MinPasswordOfTwo
	}
	return r
}

func loadUsers(file string) ([]local.User, error) {
	users, err := config.LoadUsers(file)
	if err != nil {
		return nil, err
	}
	out := make([]local.User, 0, len(users))
	for _, u := range users {
		out = append(out, local.User{Name: u.Name, Password: u.Password, DisplayName: u.DisplayName,
			Email: u.Email, Groups: u.Groups, Disabled: u.Disabled})
	}
	return out, nil
}

// operated is what the operator asks of the users that are kept here.
type operated struct{ g *gateway }

var _ admin.Users = operated{}

// people are the users of the config in force.
func (o operated) people() (*local.Method, error) {
	m := o.g.current.Load().people
	if m == nil || o.g.board == nil {
		return nil, admin.ErrNoUsers
	}
	return m, nil
}

// Invite implements admin.Users.
func (o operated) Invite(ctx context.Context, user string) (admin.Invitation, error) {
	m, err := o.people()
	if err != nil {
		return admin.Invitation{}, err
	}
	code, until, err := m.Invite(ctx, user)
	if errors.Is(err, local.ErrNoUser) {
		err = admin.ErrNoUser
	}
	if err != nil {
		return admin.Invitation{}, err
	}
	return admin.Invitation{User: user, Code: code, Link: o.g.config().PublicURL.String() + "/.evergate/invite#" + code, Until: until}, nil
}

// ResetFactors implements admin.Users. Sessions end after what they were begun with is gone, so
// that none is begun with it afterwards. An error may come after the first half of it.
func (o operated) ResetFactors(ctx context.Context, user string) (ended int, err error) {
	m, err := o.people()
	if err != nil {
		return 0, err
	}
	if r, err := o.g.book.Load(ctx, user); !m.Users.Has(user) && err == nil && r.Empty() {
		return 0, admin.ErrNoUser
	}
	if err := o.g.book.Forget(ctx, user); err != nil {
		return 0, err
	}
	if all, ok := o.g.sessions.(*session.Manager); ok {
		return all.Revoke(ctx, session.Which{Provider: m.Name, Subject: user})
	}
	return 0, nil
}

// Forget implements admin.Users.
func (o operated) Forget(ctx context.Context, user string) error {
	m, err := o.people()
	if err != nil {
		return err
	}
	return errors.Join(o.g.book.Forget(ctx, user), m.Forget(ctx, user))
}
