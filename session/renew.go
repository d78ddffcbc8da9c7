package session

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/evergate/evergate/auth"
)

// skewLeeway is the disagreement of clocks that must do no harm (R9).
const skewLeeway = 60 * time.Second

// window is how long before its expiry a token is renewed. Each session has its
// own, up to a quarter longer than asked, so that those who signed in together
// do not renew together for ever after.
func (m *Manager) window(key Key, life time.Duration) time.Duration {
	w := m.cfg.RenewBefore(life)
	spread := time.Duration(float64(w/4) * float64(binary.BigEndian.Uint16(key[:])) / (1 << 16))
	return min(w+spread, max(w, life/10*9))
}

// due reports whether a token is to be renewed. A token from the future means
// that the clock was set back; its age is unknown, so it is renewed too.
func (m *Manager) due(key Key, t storedToken, now time.Time) bool {
	return !now.Before(t.Expires.Add(-m.window(key, t.Expires.Sub(t.Issued)))) || now.Before(t.Issued.Add(-skewLeeway))
}

// tooOld reports whether a request must wait for the renewal rather than go up
// with the token at hand. An upstream whose clock is ahead would refuse a long
// token's last minute, so that does not go up either.
func (m *Manager) tooOld(t storedToken, now time.Time) bool {
	guard := min(skewLeeway, t.Expires.Sub(t.Issued)/10)
	return !now.Before(t.Expires.Add(-guard))
}

// flight is one renewal that is under way. A session has one at a time, for
// whatever resource: each grant may replace the refresh token.
type flight struct {
	resource string
	done     chan struct{}
}

// trouble is how renewals for one resource fail.
type trouble struct {
	failed  int       // in a row
	unclear time.Time // since when for a reason that is no outage, or zero
	retryAt time.Time // when to try again
}

// renew starts a renewal for resource, or returns the one under way, which may
// be for another. It returns nil while the last failure asks to wait. Refused
// is the token that an upstream did not take, or "".
func (m *Manager) renew(e *entry, h handle, resource, refused string) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.flight != nil:
		return e.flight
	case m.cfg.Now().Before(e.trouble[resource].retryAt), m.ctx.Err() != nil:
		return nil
	}
	f := &flight{resource: resource, done: make(chan struct{})}
	e.flight = f
	if refused != "" {
		e.forced, e.forceAt = refused, m.cfg.Now().Add(forceEvery)
	}
	m.wg.Go(func() {
		defer func() {
			e.mu.Lock()
			e.flight = nil
			e.wakeLocked()
			e.mu.Unlock()
			close(f.done)
		}()
		// The request that asked may go away; the renewal does not (R7).
		ctx, cancel := context.WithTimeout(m.grants, renewTimeout)
		defer cancel()
		m.runRenewal(ctx, e, h, resource, refused)
	})
	return f
}

func (m *Manager) runRenewal(ctx context.Context, e *entry, h handle, resource, refused string) {
	l, err := m.load(ctx, h)
	if err != nil {
		m.renewalFailed(ctx, e, resource, &auth.Unavailable{What: "the session store", Err: err})
		return
	}
	stored := l.stored()
	if t := stored.of(resource); !m.due(e.key, t, m.cfg.Now()) && (refused == "" || t.Token != refused) {
		return // the request that asked had read an older record
	}
	old := stored.login()
	method, ok := m.cfg.Methods[old.Identity.Provider]
	if !ok {
		m.renewalRefused(ctx, &l, &auth.Refused{Reason: "its provider is not configured any more"})
		return
	}
	fresh, err := method.Refresh(ctx, old, resource)
	if no, ok := errors.AsType[*auth.Refused](err); ok {
		m.renewalRefused(ctx, &l, no)
		return
	}
	switch {
	case err != nil:
		m.renewalFailed(ctx, e, resource, err)
		return
	case fresh.Identity.Subject != old.Identity.Subject:
		m.renewalRefused(ctx, &l, &auth.Refused{Reason: "the provider answered for another subject"})
		m.revokeThere(fresh, l.entry.key)
		return
	}
	m.commit(ctx, l, h, stored, storeLogin(fresh), resource)
}

// commit stores a renewed login before anybody uses it. Where the store reads
// but does not write, it is used from memory and written when that works again.
//
// It is stored whenever the stored grant is the one it was obtained with, sent,
// or the one that sent could not be stored over yet, and nothing else about the
// record matters. Where the session has ended meanwhile nothing brings it back,
// and the provider is told (R6).
func (m *Manager) commit(ctx context.Context, l loaded, h handle, sent, fresh storedLogin, resource string) {
	had, e := l.state.Login.grant(), l.entry
	// The answer is here, and costs a sign-in if it is lost: ctx, which bounds the
	// wait for the provider, does not end the attempt to keep it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for range maxTries {
		next, base := *l.state, sent
		switch next.Login.grant() {
		case sent.grant():
			base = next.Login // it may have tokens for other resources by now
		case had:
		default:
			return // another replica was faster
		}
		next.Login = base.renewed(fresh, resource)
		_, err := m.save(ctx, l, next)
		if err == nil {
			e.settled(nil, resource)
			m.cfg.Log.DebugContext(ctx, "access token renewed", "event", "session.renewed", "session", e.key.Name(),
				"subject", fresh.Identity.User, "resource", resource, "expires", next.Login.of(resource).Expires)
			return
		}
		if errors.Is(err, ErrConflict) {
			if l, err = m.load(ctx, h); err == nil {
				continue
			}
		}
		if errors.Is(err, ErrNotFound) {
			m.revokeThere(fresh.login(), e.key)
			return
		}
		m.cfg.Log.WarnContext(ctx, "a renewed access token could not be stored; it is used from memory until it can",
			"event", "session.store_failed", "err", err)
		e.settled(&next.Login, resource)
		return
	}
}

// settled notes a renewal that worked; unsaved is what the store does not have.
func (e *entry) settled(unsaved *storedLogin, resource string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaved = unsaved
	delete(e.trouble, resource)
	clear(e.minted) // the claims may have changed (R8)
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
func (m *Manager) renewalFailed(ctx context.Context, e *entry, resource string, err error) {
	if errors.Is(err, ErrNotFound) {
		return
	}
	e.mu.Lock()
	t := e.trouble[resource]
	t.failed++
	wait := min(time.Second<<min(t.failed-1, 5), 30*time.Second)
	wait = wait/2 + rand.N(wait/2)
	if u, ok := errors.AsType[*auth.Unavailable](err); !ok && t.unclear.IsZero() {
		t.unclear = m.cfg.Now()
	} else if ok {
		t.unclear, wait = time.Time{}, max(wait, u.RetryAfter)
	}
	t.retryAt = m.cfg.Now().Add(wait)
	if e.trouble == nil {
		e.trouble = map[string]trouble{}
	}
	e.trouble[resource] = t
	e.mu.Unlock()
	m.cfg.Log.WarnContext(ctx, "renewal did not work; the session is kept", "event", "session.renewal_failed",
		"session", e.key.Name(), "resource", resource, "retry_in", wait, "err", err)
}

// renewed returns the login after a renewal was asked for: the new one, the
// old one while its token is valid, or the reason why there is none.
func (e *entry) renewed(m *Manager) (*auth.Login, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	stored, err := e.usable(m, "")
	if err != nil {
		return nil, err
	}
	return stored.login(), nil
}

// usable returns the login if its token for resource is valid, or the reason why
// there is none. mu is held.
func (e *entry) usable(m *Manager, resource string) (*storedLogin, error) {
	if e.ended != "" {
		return nil, &auth.Absent{Reason: e.ended}
	}
	stored := e.stored()
	now, t := m.cfg.Now(), e.trouble[resource]
	expires := stored.of(resource).Expires
	switch {
	case now.Before(expires):
		return stored, nil
	case resource == "" && !t.unclear.IsZero() && now.After(later(expires, t.unclear).Add(m.cfg.MaxStale)):
		return nil, &auth.Absent{Reason: auth.Stale}
	}
	return nil, &auth.Unavailable{What: "the renewal of your sign-in", RetryAfter: max(t.retryAt.Sub(now), time.Second)}
}

// stored is the login as it is known here, saved or not. mu is held.
func (e *entry) stored() *storedLogin {
	if e.unsaved != nil {
		return e.unsaved
	}
	return &e.at.state.Login
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
