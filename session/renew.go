package session

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/span"
)

// skewLeeway is the disagreement of clocks that must do no harm (R9).
const skewLeeway = 60 * time.Second

// window is how long before its expiry a token is renewed. Each session has its
// own, up to a quarter longer than asked, so that those who signed in together
// do not renew together for ever after.
func (m *Manager) window(key Key, life time.Duration) time.Duration {
	w := m.set().RenewBefore(life)
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
	span     span.Span
	// hurry is closed once somebody waits for it, and nil from then on; it is nil too where
	// somebody did from the start. mu of its session guards it.
	hurry chan struct{}
}

// answerTime is for how long at most a renewal that nobody waits for is put off.
const answerTime = 10 * time.Millisecond

// answered waits until the request that a renewal was found due by has its answer, so that the
// renewal does not take the processor from it, or until somebody is in a hurry. It reports false
// where the Manager closes meanwhile, and nothing has been begun.
func (m *Manager) answered(ctx context.Context, hurry <-chan struct{}) bool {
	enough := time.NewTimer(answerTime)
	defer enough.Stop()
	select {
	case <-ctx.Done():
	case <-enough.C:
	case <-hurry:
	case <-m.ctx.Done():
	}
	return m.ctx.Err() == nil
}

// trouble is how renewals for one resource fail.
type trouble struct {
	failed  int       // in a row
	unclear time.Time // since when for a reason that is no outage, or zero
	retryAt time.Time // when to try again
}

// renew starts a renewal for resource, or returns the one under way, which may
// be for another. It returns nil while the last failure asks to wait. Refused
// is the token that an upstream did not take, or "". Of ctx, which is the request's that
// asked, the trace alone goes with it. Ahead says that nobody waits for it, and then it
// begins once that request is answered.
func (m *Manager) renew(ctx context.Context, e *entry, h handle, resource, refused string, ahead bool) *flight {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.flight != nil:
		if f := e.flight; !ahead && f.hurry != nil {
			close(f.hurry)
			f.hurry = nil
		}
		return e.flight
	case m.cfg.Now().Before(e.trouble[resource].retryAt), m.ctx.Err() != nil:
		return nil
	}
	_, s := span.Start(ctx, span.Internal, "renew")
	f := &flight{resource: resource, done: make(chan struct{}), span: s}
	if ahead {
		f.hurry = make(chan struct{})
	}
	e.flight = f
	if refused != "" {
		e.forced, e.forceAt = refused, m.cfg.Now().Add(forceEvery)
	}
	hurry := f.hurry
	m.wg.Go(func() {
		defer func() {
			e.mu.Lock()
			e.flight = nil
			e.wakeLocked()
			e.mu.Unlock()
			close(f.done)
			s.End()
		}()
		if ahead && !m.answered(ctx, hurry) {
			return
		}
		// The request that asked may go away; the renewal does not (R7).
		m.runRenewal(span.Onto(m.grants, s), e, h, resource, refused)
	})
	return f
}

func (m *Manager) runRenewal(ctx context.Context, e *entry, h handle, resource, refused string) {
	// The request that asked had read an older record, maybe.
	need := func(l *loaded) bool {
		stored := l.stored()
		t := stored.of(resource)
		return m.due(e.key, t, m.cfg.Now()) || refused != "" && t.Token == refused
	}
	waiting, cancel := context.WithTimeout(ctx, renewTimeout)
	held, l, err := m.hold(waiting, e, h, need)
	cancel()
	if errors.Is(err, ErrNotFound) {
		m.reload(ctx, e) // which finds out whether it has ended
		e.pause(resource, m.cfg.Now().Add(time.Second))
		return
	}
	if err != nil {
		m.renewalFailed(ctx, e, e.identity(), resource, 0, &auth.Unavailable{What: "the session store", Err: err})
		return
	}
	if held == nil {
		return
	}
	// Its time begins now: a grant that is cut short may have been performed.
	ctx, cancel = context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	saved := m.grant(ctx, l, h, held, resource)
	// While the store does not have what came of it, nobody else is to try: the
	// lease runs out by itself.
	held.end(saved)
}

// grant asks the provider for a renewed login and commits it, under the lease. It
// reports false where an answer could not be stored.
func (m *Manager) grant(ctx context.Context, l loaded, h handle, held *hold, resource string) bool {
	stored := *l.stored()
	old := stored.login()
	method, ok := m.set().Methods[old.Identity.Provider]
	if !ok {
		m.renewalFailed(ctx, l.entry, &old.Identity, resource, 0, &auth.Unavailable{What: "the provider", Err: errNoMethod})
		return true
	}
	asked := m.cfg.Now()
	span.From(ctx).Text(span.Provider, old.Identity.Provider)
	fresh, err := method.Refresh(ctx, old, resource)
	took := m.cfg.Now().Sub(asked)
	if away := m.knownElsewhere(l.entry, err); away != nil {
		m.renewalFailed(ctx, l.entry, &old.Identity, resource, took, away)
		return true
	}
	if no, ok := errors.AsType[*auth.Refused](err); ok {
		switch now, err := held.look(ctx, h.key); {
		case err == nil && now.state.Login.grant() != l.state.Login.grant():
			return true // it was said of a grant that another process has replaced meanwhile
		case err != nil && !errors.Is(err, ErrNotFound):
			// Or is about to replace, where it has the lease by now.
			m.renewalFailed(ctx, l.entry, &old.Identity, resource, took, &auth.Unavailable{What: "the session store", Err: err})
			return true
		}
		m.renewalRefused(ctx, &l, no)
		return true
	}
	switch {
	case err != nil:
		m.renewalFailed(ctx, l.entry, &old.Identity, resource, took, err)
		return true
	case fresh.Identity.Subject != old.Identity.Subject:
		m.renewalRefused(ctx, &l, &auth.Refused{Reason: "the provider answered for another subject", Event: event.SubjectChanged})
		m.revokeThere(fresh, l.entry.key)
		return true
	}
	return m.commit(ctx, l, h, stored, storeLogin(fresh), resource, took)
}

// commit stores a renewed login before anybody uses it. Where the store reads
// but does not write, it is used from memory and written when that works again.
//
// It is stored whenever the stored grant is the one it was obtained with, sent,
// or the one that sent could not be stored over yet, and nothing else about the
// record matters. Where the session has ended meanwhile nothing brings it back,
// and the provider is told (R6).
func (m *Manager) commit(ctx context.Context, l loaded, h handle, sent, fresh storedLogin, resource string, took time.Duration) (saved bool) {
	had, e := l.state.Login.grant(), l.entry
	done := about(event.SessionRenewed, e.key, &fresh.Identity)
	done.Resource, done.Took = resource, took
	// The answer is here, and costs a sign-in if it is lost: ctx, which bounds the
	// wait for the provider, does not end the attempt to keep it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	next := *l.state
	for range maxTries {
		next = *l.state
		base := sent
		switch next.Login.grant() {
		case sent.grant():
			base = next.Login // it may have tokens for other resources by now
		case had:
		default:
			return true // another replica was faster
		}
		next.Login = base.renewed(fresh, resource)
		next.Renewals++
		_, err := m.save(ctx, l, next)
		if err == nil {
			e.settled(nil, resource)
			tellRenewal(ctx, renewalDone, nil)
			m.tell(ctx, slog.LevelDebug, "access token renewed", done, slog.Time("expires", next.Login.of(resource).Expires))
			return true
		}
		if errors.Is(err, ErrConflict) {
			if l, err = m.load(ctx, h); err == nil {
				continue
			}
		}
		if errors.Is(err, ErrNotFound) {
			m.revokeThere(fresh.login(), e.key)
			return true
		}
		m.tell(ctx, slog.LevelWarn, "a renewed access token could not be stored; it is used from memory until it can",
			because(about(event.StoreFailed, e.key, &fresh.Identity), "", err))
		m.tell(ctx, slog.LevelDebug, "access token renewed", done)
		break
	}
	e.settled(&unsavedLogin{next.Login, had, sent.grant()}, resource)
	tellRenewal(ctx, renewalUnsaved, nil)
	return false
}

// settled notes a renewal that worked; unsaved is what the store does not have.
func (e *entry) settled(unsaved *unsavedLogin, resource string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsaved = unsaved
	delete(e.trouble, resource)
	clear(e.minted) // the claims may have changed (R8)
}

func (m *Manager) renewalRefused(ctx context.Context, l *loaded, refused *auth.Refused) {
	tellRenewal(ctx, renewalRefused, nil)
	m.tell(ctx, slog.LevelInfo, "renewal refused: the session ends",
		because(about(event.SessionWithdrawn, l.entry.key, &l.state.Login.Identity), refusal(refused), refused))
	if err := m.revoke(ctx, l.entry.key, auth.Withdrawn); err != nil {
		l.entry.end(auth.Withdrawn, false)
		m.cfg.Log.WarnContext(ctx, "an ended session could not be deleted; it stays ended", "session", l.entry.key.Name(), "err", err)
	}
}

// renewalFailed keeps the session and backs off, with jitter, so that a
// provider that comes back is not met by everybody at once.
func (m *Manager) renewalFailed(ctx context.Context, e *entry, id *auth.Identity, resource string, took time.Duration, err error) {
	tellRenewal(ctx, renewalFailed, err)
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
	e.setTrouble(resource, t)
	e.mu.Unlock()
	failed := because(about(event.SessionRenewalFailed, e.key, id), failure(err), err)
	failed.Resource, failed.Took = resource, took
	m.tell(ctx, slog.LevelWarn, "renewal did not work; the session is kept", failed, slog.Duration("retry_in", wait))
}

// setTrouble notes how renewals fail. mu is held.
func (e *entry) setTrouble(resource string, t trouble) {
	if e.trouble == nil {
		e.trouble = map[string]trouble{}
	}
	e.trouble[resource] = t
}

// pause has nobody try before then.
func (e *entry) pause(resource string, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.trouble[resource]
	t.retryAt = until
	e.setTrouble(resource, t)
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
	case resource == "" && !t.unclear.IsZero() && now.After(later(expires, t.unclear).Add(m.set().MaxStale)):
		return nil, &auth.Absent{Reason: auth.Stale}
	}
	return nil, &auth.Unavailable{What: auth.TheRenewal, RetryAfter: max(t.retryAt.Sub(now), time.Second)}
}

// stored is the login as it is known here, saved or not. mu is held.
func (e *entry) stored() *storedLogin {
	if e.unsaved != nil {
		return &e.unsaved.storedLogin
	}
	return &e.at.state.Login
}

// identity is whose session it is, as far as that is known here.
func (e *entry) identity() *auth.Identity {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at.state == nil {
		return &auth.Identity{}
	}
	return &e.at.state.Login.Identity
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
