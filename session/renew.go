package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/evergate/evergate/auth"
)

// skewLeeway is the disagreement of clocks that must do no harm (R9).
const skewLeeway = 60 * time.Second

// due reports whether a token is to be renewed. A token from the future means
// that the clock was set back; its age is unknown, so it is renewed too.
func (m *Manager) due(t auth.Token, now time.Time) bool {
	life := t.Expires.Sub(t.Issued)
	return !now.Before(t.Expires.Add(-m.cfg.RenewBefore(life))) || now.Before(t.Issued.Add(-skewLeeway))
}

// tooOld reports whether a request must wait for the renewal rather than go up
// with the token at hand. An upstream whose clock is ahead would refuse a long
// token's last minute, so that does not go up either.
func (m *Manager) tooOld(t auth.Token, now time.Time) bool {
	guard := min(skewLeeway, t.Expires.Sub(t.Issued)/10)
	return !now.Before(t.Expires.Add(-guard))
}

// flight is one renewal that is under way.
type flight struct{ done chan struct{} }

// renew starts a renewal, or joins the one under way. It returns nil while the
// last failure asks to wait.
func (m *Manager) renew(e *entry, h handle) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.flight != nil:
		return e.flight
	case m.cfg.Now().Before(e.retryAt), m.ctx.Err() != nil:
		return nil
	}
	f := &flight{done: make(chan struct{})}
	e.flight = f
	m.wg.Go(func() {
		defer func() {
			e.mu.Lock()
			e.flight = nil
			e.wakeLocked()
			e.mu.Unlock()
			close(f.done)
		}()
		// The request that asked may go away; the renewal does not (R7).
		ctx, cancel := context.WithTimeout(m.ctx, renewTimeout)
		defer cancel()
		m.runRenewal(ctx, e, h)
	})
	return f
}

func (m *Manager) runRenewal(ctx context.Context, e *entry, h handle) {
	l, err := m.load(ctx, h)
	if err != nil {
		m.renewalFailed(ctx, e, &auth.Unavailable{What: "the session store", Err: err})
		return
	}
	old := l.login()
	if !m.due(old.AccessToken, m.cfg.Now()) {
		return // the request that asked had read an older record
	}
	method, ok := m.cfg.Methods[old.Identity.Provider]
	if !ok {
		m.renewalRefused(ctx, &l, &auth.Refused{Reason: "its provider is not configured any more"})
		return
	}
	fresh, err := method.Refresh(ctx, old)
	if refused, ok := errors.AsType[*auth.Refused](err); ok {
		m.renewalRefused(ctx, &l, refused)
		return
	}
	switch {
	case err != nil:
		m.renewalFailed(ctx, e, err)
		return
	case fresh.Identity.Subject != old.Identity.Subject:
		m.renewalRefused(ctx, &l, &auth.Refused{Reason: "the provider answered for another subject"})
		return
	}
	m.commit(ctx, l, h, storeLogin(fresh))
}

// commit stores a renewed login before anybody uses it. Where the store reads
// but does not write, it is used from memory and written when that works again.
func (m *Manager) commit(ctx context.Context, l loaded, h handle, fresh storedLogin) {
	had := l.state.Login.Token
	for range maxTries {
		if l.state.Login.Token != had {
			return // another replica was faster
		}
		next := *l.state
		next.Login = fresh
		saved, err := m.save(ctx, l, next)
		if err == nil {
			e := saved.entry
			e.mu.Lock()
			e.unsaved, e.failed, e.unclear, e.retryAt = nil, 0, time.Time{}, time.Time{}
			e.mu.Unlock()
			m.cfg.Log.DebugContext(ctx, "access token renewed", "event", "session.renewed",
				"session", e.key.Name(), "subject", fresh.Identity.User, "expires", fresh.Expires)
			return
		}
		if !errors.Is(err, ErrConflict) {
			m.keepUnsaved(ctx, l.entry, fresh, err)
			return
		}
		l, err = m.load(ctx, h)
		switch {
		case errors.Is(err, ErrNotFound):
			return // signed out meanwhile, and that is the last word (R6)
		case err != nil:
			m.keepUnsaved(ctx, l.entry, fresh, err)
			return
		}
	}
}

func (m *Manager) keepUnsaved(ctx context.Context, e *entry, fresh storedLogin, err error) {
	m.cfg.Log.WarnContext(ctx, "a renewed access token could not be stored; it is used from memory until it can",
		"event", "session.store_failed", "err", err)
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaved, e.failed, e.unclear, e.retryAt = &fresh, 0, time.Time{}, time.Time{}
}

func (m *Manager) renewalRefused(ctx context.Context, l *loaded, refused *auth.Refused) {
	m.cfg.Log.InfoContext(ctx, "renewal refused: the session ends", "event", "session.withdrawn",
		"session", l.entry.key.Name(), "subject", l.state.Login.Identity.User, "err", refused)
	if err := m.revoke(ctx, l.entry.key, auth.Withdrawn); err != nil {
		l.entry.end(auth.Withdrawn)
		m.cfg.Log.WarnContext(ctx, "an ended session could not be deleted; it stays ended", "session", l.entry.key.Name(), "err", err)
	}
}

// renewalFailed keeps the session and backs off, with jitter, so that a
// provider that comes back is not met by everybody at once.
func (m *Manager) renewalFailed(ctx context.Context, e *entry, err error) {
	if errors.Is(err, ErrNotFound) {
		return
	}
	e.mu.Lock()
	e.failed++
	wait := min(time.Second<<min(e.failed-1, 5), 30*time.Second)
	wait = wait/2 + rand.N(wait/2)
	if u, ok := errors.AsType[*auth.Unavailable](err); !ok && e.unclear.IsZero() {
		e.unclear = m.cfg.Now()
	} else if ok {
		e.unclear, wait = time.Time{}, max(wait, u.RetryAfter)
	}
	e.retryAt = m.cfg.Now().Add(wait)
	e.mu.Unlock()
	m.cfg.Log.WarnContext(ctx, "renewal did not work; the session is kept", "event", "session.renewal_failed",
		"session", e.key.Name(), "retry_in", wait, "err", err)
}

// renewed returns the login after a renewal was asked for: the new one, the
// old one while its token is valid, or the reason why there is none.
func (e *entry) renewed(m *Manager) (*auth.Login, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended != "" {
		return nil, &auth.Absent{Reason: e.ended}
	}
	stored := e.at.state.Login
	if e.unsaved != nil {
		stored = *e.unsaved
	}
	now := m.cfg.Now()
	switch {
	case now.Before(stored.Expires):
		return stored.login(), nil
	case !e.unclear.IsZero() && now.After(later(stored.Expires, e.unclear).Add(m.cfg.MaxStale)):
		return nil, &auth.Absent{Reason: auth.Stale}
	}
	return nil, &auth.Unavailable{What: "the renewal of your sign-in", RetryAfter: max(e.retryAt.Sub(now), time.Second)}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
