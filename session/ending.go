package session

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// What a session can be found by without its cookie.
const (
	tagSubject = "subject"
	tagSID     = "sid"
	tagUser    = "user"
)

// tags are those that a record bears.
func (m *Manager) tags(l *storedLogin) []Tag {
	id := &l.Identity
	tags := []Tag{m.cfg.Ring.Tags(tagSubject, id.Provider, id.Subject)[0], m.cfg.Ring.Tags(tagUser, id.User)[0]}
	if l.SID != "" {
		tags = append(tags, m.cfg.Ring.Tags(tagSID, id.Provider, l.SID)[0])
	}
	return tags
}

// find returns the sessions under a tag, whichever key of the ring it was made with.
func (m *Manager) find(ctx context.Context, purpose string, parts ...string) ([]Key, error) {
	return Ledger{m.cfg.Store, m.cfg.Ring}.find(ctx, purpose, parts...)
}

// endTime bounds how long ending sessions for somebody else takes.
const endTime = 10 * time.Second

// EndAll implements auth.Sessions. The tokens of a session that this process
// knows are revoked at the provider; those of another cannot be: only its cookie
// opens them.
func (m *Manager) EndAll(ctx context.Context, provider, subject, sid string) (int, error) {
	// Whoever told of it may hang up, and will not tell again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	keys, err := m.named(ctx, provider, subject, sid)
	if err != nil {
		return 0, &auth.Unavailable{What: "the session store", Err: err}
	}
	return m.endKeys(ctx, keys, auth.Elsewhere, event.ByProvider)
}

// endKeys ends sessions without their cookies. Why is the reason of the event.
func (m *Manager) endKeys(ctx context.Context, keys []Key, reason, why string) (ended int, err error) {
	for _, key := range keys {
		login := m.known(key)
		told, over := m.revoked(ctx, key, login)
		told.Reason = why
		if err2 := m.revoke(ctx, key, reason); err2 != nil {
			err = errors.Join(err, err2)
			continue // the others end all the same
		}
		if over {
			continue // nothing is left to tell of
		}
		ended++
		// Where the login is not known here only its cookie opens it: its refresh token
		// is not revoked at the provider, and dies unused.
		m.tell(ctx, slog.LevelInfo, "signed out from elsewhere", told, slog.Bool("revoked", login != nil))
		if login != nil {
			m.revokeThere(login, key)
		}
	}
	if err != nil {
		return ended, &auth.Unavailable{What: "the session store", Err: err}
	}
	return ended, nil
}

// revoked begins the event of a session that is about to end, as its person is known to
// this process or to a list. Over says that its time was over before.
func (m *Manager) revoked(ctx context.Context, key Key, login *auth.Login) (told event.Event, over bool) {
	if login != nil {
		return about(event.SessionRevoked, key, &login.Identity), false
	}
	var info Info
	if rec, err := m.cfg.Store.Get(ctx, key, Newest); err == nil {
		info, _ = Ledger{m.cfg.Store, m.cfg.Ring}.read(key, rec)
	}
	return about(event.SessionRevoked, key, &auth.Identity{User: info.User, Provider: info.Provider, Subject: info.Subject}), info.over
}

// known is the login of a session that this process has opened, or nil.
func (m *Manager) known(key Key) *auth.Login {
	e := m.lookup(key)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at.state == nil || e.ended != "" {
		return nil
	}
	return e.stored().login()
}

func (m *Manager) named(ctx context.Context, provider, subject, sid string) ([]Key, error) {
	var bySubject, bySID []Key
	var err error
	if subject != "" {
		if bySubject, err = m.find(ctx, tagSubject, provider, subject); err != nil || sid == "" {
			return bySubject, err
		}
	}
	if sid != "" {
		if bySID, err = m.find(ctx, tagSID, provider, sid); err != nil || subject == "" {
			return bySID, err
		}
	}
	return slices.DeleteFunc(bySID, func(k Key) bool { return !slices.Contains(bySubject, k) }), nil
}

// Once reports whether name is used for the first time before until. It is kept
// in the store, so that it holds over a restart and between replicas.
func (m *Manager) Once(ctx context.Context, name string, until time.Time) (bool, error) {
	now, err := m.cfg.Store.Now(ctx)
	if err != nil {
		return false, &auth.Unavailable{What: "the session store", Err: err}
	}
	expires := now.Add(until.Sub(m.cfg.Now()))
	err = m.cfg.Store.Put(ctx, Key(m.cfg.Ring.Tags("once", name)[0]), 0, Record{Version: 1, Expires: expires})
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, &auth.Unavailable{What: "the session store", Err: err}
	}
	return true, nil
}

// revokeThere tells the provider that the tokens of an ended session are not
// needed any more. It does so beside: nobody waits for a provider to sign out.
func (m *Manager) revokeThere(login *auth.Login, key Key) {
	method, ok := m.set().Methods[login.Identity.Provider].(auth.Revoker)
	if !ok || m.ctx.Err() != nil {
		return
	}
	m.wg.Go(func() {
		ctx, cancel := context.WithTimeout(m.grants, renewTimeout)
		defer cancel()
		if err := method.Revoke(ctx, login); err != nil {
			m.tell(ctx, slog.LevelWarn, "the tokens of an ended session could not be revoked at the provider; they end by themselves",
				because(about(event.RevocationFailed, key, &login.Identity), "", err))
		}
	})
}
