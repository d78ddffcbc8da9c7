package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Begin implements auth.Sessions.
func (m *Manager) Begin(header http.Header, r *http.Request, login *auth.Login, remember bool) error {
	ctx, host := r.Context(), hostOf(r)
	now, err := m.cfg.Store.Now(ctx)
	if err != nil {
		return &auth.Unavailable{What: "the session store", Err: err}
	}
	h := newHandle()
	s := state{
		Created: now, Seen: now, Remember: remember, Device: deviceOf(r), Login: storeLogin(login),
		Families: map[string]Family{host: NewFamily(h.child, now)}, Home: host,
	}
	old, noOld := m.handleOf(r, host)
	if noOld == nil {
		s.Replaced, s.Trail = m.replaced(ctx, old, login)
	}
	if !login.Until.IsZero() {
		s.Until = login.Until.Add(now.Sub(m.cfg.Now()))
	}
	cookie, err := m.handleCookie(h, host, &s, now)
	if err != nil {
		return err
	}
	fresh := loaded{now: now, entry: m.entry(h.session.Key()), version: version{dk: h.key, skew: now.Sub(m.cfg.Now())}}
	if _, err := m.save(ctx, fresh, s); err != nil {
		m.gone(fresh.entry.key, auth.Ended, true)
		return &auth.Unavailable{What: "the session store", Err: err}
	}
	fresh.entry.use(now)
	if noOld == nil {
		m.retire(context.WithoutCancel(ctx), old, login)
	}
	http.SetCookie(headerWriter{header}, cookie)
	m.tell(ctx, slog.LevelInfo, "signed in", about(event.SessionStarted, fresh.entry.key, &login.Identity))
	return nil
}

// maxReplaced bounds the chain: sign-ins within one grace time.
const maxReplaced = 8

// replaced are the session of a handle and those that it took the place of. Known is what the
// one that login begins takes over from it.
func (m *Manager) replaced(ctx context.Context, h handle, login *auth.Login) (all []Key, known trail) {
	l, err := m.load(ctx, h)
	if err != nil {
		return nil, trail{}
	}
	if isOf(&l.state.Login.Identity, login) {
		from := l.state.origin()
		known = l.state.Trail.after(&from)
	}
	all = append([]Key{l.entry.key}, l.state.Replaced...)
	return all[:min(len(all), maxReplaced)], known
}

// isOf reports whether a session of id is the person's of login.
func isOf(id *auth.Identity, login *auth.Login) bool {
	return id.Provider == login.Identity.Provider && id.Subject == login.Identity.Subject
}

// retire ends the session that a sign-in replaces: at once if it is somebody
// else's (a planted one), and after the grace time if it is the same person's,
// so that what their other tabs have under way is still answered.
func (m *Manager) retire(ctx context.Context, h handle, login *auth.Login) {
	for range maxTries {
		l, err := m.load(ctx, h)
		if err != nil {
			return
		}
		old := l.state.Login.Identity
		if !isOf(&old, login) {
			if err = m.revoke(ctx, l.entry.key, auth.Ended); err == nil {
				m.tell(ctx, slog.LevelInfo, "somebody else signed in in the same browser", because(about(event.SessionEnded, l.entry.key, &old), event.Replaced, nil))
			}
		} else {
			next := *l.state
			next.Retired, next.Seen = true, l.now
			_, err = m.save(ctx, l, next)
		}
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			m.cfg.Log.WarnContext(ctx, "the session before this sign-in could not be ended", "session", l.entry.key.Name(), "err", err)
		}
		return
	}
}

// End implements auth.Sessions. The handle need not be the current one: a
// sign-out is never too late.
func (m *Manager) End(header http.Header, r *http.Request) (*auth.Login, error) {
	host := hostOf(r)
	h, err := m.handleOf(r, host)
	var unavailable *auth.Unavailable
	if errors.As(err, &unavailable) {
		return nil, err
	}
	var login *auth.Login
	if err == nil {
		if login, err = m.endSession(context.WithoutCancel(r.Context()), h); err != nil {
			return nil, &auth.Unavailable{What: "the session store", Err: err}
		}
	}
	http.SetCookie(headerWriter{header}, m.clear(m.cfg.Cookie))
	http.SetCookie(headerWriter{header}, m.clear(m.cfg.Cookie+probeSuffix))
	return login, nil
}

func (m *Manager) endSession(ctx context.Context, h handle) (*auth.Login, error) {
	l, err := m.load(ctx, h)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrSeal):
		return nil, nil
	case err != nil:
		return nil, err
	}
	login := l.login()
	if err := m.revoke(ctx, l.entry.key, auth.Ended); err != nil {
		return nil, err
	}
	for _, key := range l.state.Replaced {
		if err := m.revoke(ctx, key, auth.Ended); err != nil {
			return nil, err
		}
	}
	m.tell(ctx, slog.LevelInfo, "signed out", because(about(event.SessionEnded, l.entry.key, &login.Identity), event.SignedOut, nil))
	m.revokeThere(login, l.entry.key)
	return login, nil
}

// headerWriter lets http.SetCookie write to a bare header.
type headerWriter struct{ h http.Header }

func (w headerWriter) Header() http.Header     { return w.h }
func (headerWriter) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (headerWriter) WriteHeader(int)           {}
