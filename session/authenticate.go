package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// Authenticate implements auth.Authenticator.
func (m *Manager) Authenticate(r *http.Request) (*auth.Login, error) {
	host := hostOf(r)
	o, probe, err := m.open(r, host)
	if err != nil {
		return nil, err
	}
	ctx, h := r.Context(), o.handle
	use := Use{
		Generation: h.generation, Child: h.child,
		Probed: probe && m.probed(r, host, h),
		Safe:   (r.Method == http.MethodGet || r.Method == http.MethodHead) && !web.IsUpgrade(r),
	}
	var l loaded // edited in place: it is large
	for range maxTries {
		if err := m.readInto(&l, ctx, o.key, h.key); err != nil {
			return m.unread(r, h, host, err)
		}
		if err := m.stands(ctx, &l); err != nil {
			return nil, err
		}
		if err := m.held(r, &l, host, use); err != nil {
			return nil, err
		}
		if l.state.unconfirmed(host, l.now, m.cfg.confirmBy) {
			if _, known := l.state.Families[host]; known {
				return nil, &auth.Absent{Reason: auth.Unconfirmed} // the cookie stays
			}
		}
		again, err := m.present(ctx, &l, h, use, host)
		if again {
			continue
		}
		if err == nil && (!l.entry.walk.isFrom(r) || l.state.Trail.Suspect != "") {
			if again, err = m.suspect(r, &l); again {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		return m.serve(ctx, &l, h, host)
	}
	return nil, &auth.Unavailable{What: "the session store", Err: ErrConflict}
}

// handleOf is the handle that r brings.
func (m *Manager) handleOf(r *http.Request, host string) (handle, error) {
	o, _, err := m.open(r, host)
	return o.handle, err
}

// open opens the cookie that r brings, and says whether it may bring one of a probe too.
func (m *Manager) open(r *http.Request, host string) (o opened, probe bool, err error) {
	value, probe := cookiesOf(r, m.cfg.Cookie, m.probe)
	if value != "" {
		if known, ok := m.handles.find(m.cfg.Ring, host, value); ok {
			return known, probe, nil
		}
	}
	o, err = m.openNew(r, host)
	return o, probe, err
}

// openNew is open for a cookie that was not seen before.
func (m *Manager) openNew(r *http.Request, host string) (opened, error) {
	switch cookies := r.CookiesNamed(m.cfg.Cookie); len(cookies) {
	case 0:
		return opened{}, &auth.Absent{Reason: auth.NoCookie}
	case 1:
		value := cookies[0].Value
		keys := m.cfg.Ring.keys.Load() // those that it is opened by, or older ones
		plain, err := m.cfg.Ring.Open(purposeHandle, host, value)
		if errors.Is(err, ErrUnknownKey) {
			return opened{}, &auth.Unavailable{What: "the key of this session", Err: err}
		}
		if err == nil {
			if h, err := decodeHandle(plain); err == nil {
				o := opened{h, h.session.Key()}
				m.handles.keep(keys, o, host, value)
				return o, nil
			}
		}
		return opened{}, &auth.Absent{Reason: auth.Damaged, Clear: []*http.Cookie{m.clear(m.cfg.Cookie)}}
	}
	// One of them was planted, and which cannot be told: a cookie that is merely
	// first must not win.
	return opened{}, &auth.Absent{Reason: auth.Duplicate, Clear: []*http.Cookie{m.clear(m.cfg.Cookie)}}
}

func (m *Manager) probed(r *http.Request, host string, h handle) bool {
	for _, c := range r.CookiesNamed(m.probe) {
		if named, err := m.cfg.Ring.Open(purposeProbe, host, c.Value); err == nil && bytes.Equal(named, h.probe()) {
			return true
		}
	}
	return false
}

// unread is the answer when the record could not be read.
func (m *Manager) unread(r *http.Request, h handle, host string, err error) (*auth.Login, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		// The cookie stays: this request may be a late one, and the jar may hold
		// the handle of a newer session under the same name by now.
		reason := auth.Ended
		e := m.lookup(h.session.Key())
		switch {
		case e != nil && e.why() != "":
			reason = e.why()
		case errors.Is(err, ErrDeleted):
			reason = auth.Elsewhere // a browser that signs out here has its cookie deleted
		case m.restedFor(r) >= m.set().IdleTimeout:
			reason = auth.Idle
		}
		return nil, &auth.Absent{Reason: reason}
	case errors.Is(err, ErrSeal):
		return nil, &auth.Absent{Reason: auth.Damaged}
	}
	if login := m.fromMemory(r, h, host); login != nil {
		return login, nil
	}
	return nil, &auth.Unavailable{What: "the session store", Err: err}
}

// restedFor is for how long the handle that r brings has lain in its jar: whoever uses a
// session gets new ones.
func (m *Manager) restedFor(r *http.Request) time.Duration {
	for _, c := range r.CookiesNamed(m.cfg.Cookie) {
		if made, ok := sealedAt(c.Value); ok {
			return m.cfg.Now().Sub(made)
		}
	}
	return 0
}

// fromMemory serves a session while the store is out of order, and never
// beyond the expiry of its access token. Nothing settles or rotates.
func (m *Manager) fromMemory(r *http.Request, h handle, host string) *auth.Login {
	e := m.lookup(h.session.Key())
	if e == nil {
		return nil
	}
	e.mu.Lock()
	l := loaded{version: e.at, entry: e}
	out := e.ended != "" || e.stale()
	e.mu.Unlock()
	if l.state == nil || out || l.dk != h.key {
		return nil
	}
	l.now = m.cfg.Now().Add(l.skew)
	login := l.own()
	if !m.cfg.Now().Before(login.AccessToken.Expires) || m.over(&l) != "" || m.check(login) != nil || m.suspected(l.state) != nil {
		return nil
	}
	fam, ok := l.state.family(host, h.generation)
	if !ok {
		return nil
	}
	if _, _, v := fam.Present(Use{Generation: h.generation, Child: h.child}, l.now, m.rules(l.state)); v != Serve {
		return nil
	}
	if auth.NeedsBinding(r.Context()) && !m.mayHold(r, &l, host) {
		return nil
	}
	if !auth.IsGlance(r.Context()) {
		e.use(l.now)
	}
	login.Session = &live{m: m, e: e, h: h, host: host, away: true}
	return login
}

// stands ends the session if it is over, or if its method withdraws it.
func (m *Manager) stands(ctx context.Context, l *loaded) error {
	reason := m.over(l)
	if reason == "" {
		err := m.check(l.login())
		if errors.Is(err, errNoMethod) && m.shared() {
			// Another gateway may have a newer config, and its sessions are not ours to end.
			return &auth.Absent{Reason: auth.Withdrawn}
		}
		if away := m.knownElsewhere(l.entry, err); away != nil {
			return away
		}
		if err != nil {
			reason = auth.Withdrawn
			if l.entry.endTold(true) {
				m.tell(ctx, slog.LevelInfo, "session withdrawn", because(about(event.SessionWithdrawn, l.entry.key, &l.state.Login.Identity), withdrawal(err), err))
			}
		}
	}
	if reason == "" {
		return nil
	}
	if over := timeOver(reason); over != "" && l.entry.endTold(true) {
		m.tell(ctx, slog.LevelInfo, "the time of a session is over", because(about(event.SessionEnded, l.entry.key, &l.state.Login.Identity), over, nil))
	}
	if err := m.revoke(context.WithoutCancel(ctx), l.entry.key, reason); err != nil {
		m.cfg.Log.WarnContext(ctx, "an ended session could not be deleted; it stays ended", "session", l.entry.key.Name(), "err", err)
		l.entry.endTold(false)
	}
	absent := &auth.Absent{Reason: reason}
	if s := l.state; reason == auth.Over && !s.Until.IsZero() && !l.now.Before(s.Until) && s.Login.RefreshToken == "" {
		absent.Silent = s.Login.Identity.Provider
	}
	return absent
}

// errNoMethod reports a session whose provider is not configured here.
var errNoMethod = errors.New("its provider is not configured")

func (m *Manager) check(login *auth.Login) error { return check(m.set().Methods, login) }

// check asks the method that a session came by whether it still stands.
func check(methods map[string]auth.Refresher, login *auth.Login) error {
	method, ok := methods[login.Identity.Provider]
	if !ok {
		return fmt.Errorf("provider %s: %w", login.Identity.Provider, errNoMethod)
	}
	if c, ok := method.(auth.Checker); ok {
		return c.Check(login)
	}
	return nil
}

// present judges the handle and stores what follows from it, which l is afterwards. Again says
// that somebody else wrote meanwhile.
func (m *Manager) present(ctx context.Context, l *loaded, h handle, use Use, host string) (again bool, err error) {
	fam, ok := l.state.family(host, h.generation)
	if !ok {
		return false, &auth.Absent{Reason: auth.Ended}
	}
	moved, changed, verdict := fam.Present(use, l.now, m.rules(l.state))
	id := &l.state.Login.Identity
	switch {
	case verdict == Reuse:
		if err := m.revoke(context.WithoutCancel(ctx), l.entry.key, auth.Theft); err != nil {
			return false, &auth.Unavailable{What: "the session store", Err: err}
		}
		m.tell(ctx, slog.LevelWarn, "a spent handle is in a cookie jar: the session is revoked", about(event.ReuseDetected, l.entry.key, id),
			slog.Uint64("generation", h.generation), slog.Uint64("current", fam.Generation))
		m.revokeThere(l.login(), l.entry.key)
		return false, &auth.Absent{Reason: auth.Theft}
	case verdict == Probe:
		spent := h.generation != fam.Generation || !fam.open()
		if spent {
			m.tell(ctx, slog.LevelInfo, "a spent handle came; asking the browser to come again", about(event.ReuseSuspected, l.entry.key, id),
				slog.Uint64("generation", h.generation), slog.Uint64("current", fam.Generation))
		}
		probe, err := m.probeCookie(h, host)
		if err != nil {
			return false, err
		}
		return false, &auth.Detour{Cookies: []*http.Cookie{probe}}
	case !changed || l.state.Retired || m.unrest() > 0:
		return false, nil
	}
	after := l.state.withRoom(host).withFamily(host, moved)
	if _, known := l.state.Families[host]; !known && host != l.state.Home {
		after = after.withHanded(host, l.now)
	}
	saved, err := m.save(ctx, *l, after)
	switch {
	case err == nil:
		*l = saved
		if moved.Generation > fam.Generation {
			m.tell(ctx, slog.LevelDebug, "the handle rotates", about(event.SessionRotated, l.entry.key, id), slog.Uint64("generation", moved.Generation))
		}
		return false, nil
	case errors.Is(err, ErrConflict):
		return true, nil
	}
	// A store that reads but does not write: nothing settles or rotates, and
	// nobody is kept from their work by that.
	m.cfg.Log.WarnContext(ctx, "the session store does not write; handles do not rotate", "session", l.entry.key.Name(), "err", err)
	return false, nil
}

// serve renews what is due and hands out the login.
func (m *Manager) serve(ctx context.Context, l *loaded, h handle, host string) (*auth.Login, error) {
	if m.shared() {
		l.entry.watch(m.cfg.Store)
	}
	if auth.IsGlance(ctx) {
		return l.signed(l.stored(), live{m: m, e: l.entry, h: h, host: host}), nil
	}
	l.entry.use(l.now)
	stored := l.stored()
	now := l.now.Add(-l.skew) // by the wall clock
	if stored.renewable() && m.due(l.entry.key, stored.storedToken, now) {
		must := m.tooOld(stored.storedToken, now)
		for f := m.renew(ctx, l.entry, h, "", "", !must); f != nil && must; f = m.renew(ctx, l.entry, h, "", "", false) {
			waits := f.waited(ctx)
			select {
			case <-f.done:
				waits.End()
			case <-ctx.Done():
				waits.End()
				return nil, &auth.Unavailable{What: auth.TheRenewal, Err: ctx.Err()}
			}
			if f.resource == "" {
				break
			}
		}
		login, err := l.entry.renewed(m)
		if err != nil {
			return nil, err
		}
		login.Session = &live{m: m, e: l.entry, h: h, host: host}
		return login, nil
	}
	return l.signed(stored, live{m: m, e: l.entry, h: h, host: host}), nil
}

// use moves the idle clock.
func (e *entry) use(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.After(e.seen) {
		e.seen = now
	}
}

// stored returns the login of the session, the one that could not be stored yet
// if there is one.
func (l *loaded) stored() *storedLogin {
	l.entry.mu.Lock()
	defer l.entry.mu.Unlock()
	if u := l.entry.unsaved; u != nil {
		return &u.storedLogin
	}
	return &l.state.Login
}

// hostOf is the host a cookie belongs to. Cookies know no ports.
func hostOf(r *http.Request) string {
	host := r.Host
	for i := range len(host) {
		switch c := host[i]; {
		case 'A' <= c && c <= 'Z', c == '[', c == ']', c >= utf8.RuneSelf, c == ':' && !isPort(host[i+1:]):
			return hostIn(host)
		case c == ':':
			return strings.TrimSuffix(host[:i], ".")
		}
	}
	return strings.TrimSuffix(host, ".")
}

// isPort reports whether s is digits.
func isPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// hostIn is hostOf for a Host header that is written otherwise than most are.
func hostIn(host string) string {
	if strings.IndexByte(host, ':') >= 0 { // for an error would be made of each name without
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
