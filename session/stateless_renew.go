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

// window is how long before its expiry a token is renewed. Each session has its
// own, up to a quarter longer than asked, so that those who signed in together do
// not renew together for ever after.
func (s *Stateless) window(key Key, life time.Duration) time.Duration {
	w := s.set().RenewBefore(life)
	spread := time.Duration(float64(w/4) * float64(binary.BigEndian.Uint16(key[:])) / (1 << 16))
	return min(w+spread, max(w, life/10*9))
}

// due reports whether a token is to be renewed. A token from the future means that
// the clock was set back; its age is unknown, so it is renewed too.
func (s *Stateless) due(key Key, t storedToken, now time.Time) bool {
	return !now.Before(t.Expires.Add(-s.window(key, t.Expires.Sub(t.Issued)))) || now.Before(t.Issued.Add(-skewLeeway))
}

// mustWait reports whether a token is too old to go up: an upstream whose clock is
// ahead would refuse a long token's last minute.
func mustWait(t storedToken, now time.Time) bool {
	return !now.Before(t.Expires.Add(-min(skewLeeway, t.Expires.Sub(t.Issued)/10)))
}

// renew starts a renewal for resource, or returns the one under way, which may be
// for another: each grant may replace the refresh token, so a session has one at a
// time. It returns nil while the last failure asks to wait. Refused is the token
// that an upstream did not take, or "". Of ctx, which is the request's that asked, the
// trace alone goes with it.
func (s *Stateless) renew(ctx context.Context, k *kept, resource, refused string) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.flight != nil:
		return k.flight
	case k.hot == nil, s.cfg.Now().Before(k.trouble[resource].retryAt), s.ctx.Err() != nil:
		return nil
	}
	_, renewing := span.Start(ctx, span.Internal, "renew")
	f := &flight{resource: resource, done: make(chan struct{}), span: renewing}
	k.flight = f
	if refused != "" {
		k.forced, k.forceAt = refused, s.cfg.Now().Add(forceEvery)
	}
	s.wg.Go(func() {
		defer func() {
			k.mu.Lock()
			k.flight = nil
			k.wake()
			k.mu.Unlock()
			close(f.done)
			renewing.End()
		}()
		// The request that asked may go away; the renewal does not (R7).
		ctx, cancel := context.WithTimeout(span.Onto(s.grants, renewing), renewTimeout)
		defer cancel()
		s.runRenewal(ctx, k, resource, refused)
	})
	return f
}

func (s *Stateless) runRenewal(ctx context.Context, k *kept, resource, refused string) {
	k.mu.Lock()
	if k.ended != "" || k.hot == nil {
		k.mu.Unlock()
		return
	}
	sent := k.hot.Login
	k.mu.Unlock()
	if t := sent.of(resource); t.Token != "" && !s.due(k.key, t, s.cfg.Now()) && (refused == "" || t.Token != refused) {
		return // the request that asked had seen an older token
	}
	method, ok := s.set().Methods[sent.Identity.Provider]
	if !ok {
		s.renewalRefused(ctx, k, sent, &auth.Refused{Reason: "its provider is not configured any more", Event: event.ProviderGone})
		return
	}
	asked := s.cfg.Now()
	span.From(ctx).Text(span.Provider, sent.Identity.Provider)
	fresh, err := method.Refresh(ctx, sent.login(), resource)
	took := s.cfg.Now().Sub(asked)
	if no, ok := errors.AsType[*auth.Refused](err); ok {
		s.renewalRefused(ctx, k, sent, no)
		return
	}
	switch {
	case err != nil:
		s.renewalFailed(ctx, k, &sent.Identity, resource, took, err)
	case fresh.Identity.Subject != sent.Identity.Subject:
		s.renewalRefused(ctx, k, sent, &auth.Refused{Reason: "the provider answered for another subject", Event: event.SubjectChanged})
		s.revokeThere(fresh, k.key)
	default:
		s.commit(ctx, k, sent, storeLogin(fresh), resource, took)
	}
}

// commit makes what a renewal gave the session, and keeps it as the successor of
// the refresh token that it was obtained with. Where the session has ended meanwhile
// nothing brings it back, and the provider is told (R6).
func (s *Stateless) commit(ctx context.Context, k *kept, sent, fresh storedLogin, resource string, took time.Duration) {
	if fresh.RefreshToken == "" {
		fresh.RefreshToken = sent.RefreshToken
	}
	k.mu.Lock()
	switch {
	case k.ended != "":
		k.mu.Unlock()
		s.revokeThere(fresh.login(), k.key)
		return
	case k.hot.Login.RefreshToken != sent.RefreshToken:
		k.mu.Unlock()
		return // a cookie of a later generation came meanwhile: its token counts
	}
	p, now, fitted := k.hot.payload, s.cfg.Now(), k.hot
	p.Login = p.Login.renewed(fresh, resource)
	err := s.change(k, p)
	if fresh.RefreshToken != sent.RefreshToken && k.hot.set.digest != fitted.set.digest {
		k.leave(sent.RefreshToken, &k.hot.set, now)
	}
	delete(k.trouble, resource)
	clear(k.minted) // the claims may have changed (R8)
	generation, without := k.generation, fitted.idToken && !k.hot.idToken
	k.mu.Unlock()
	done := about(event.SessionRenewed, k.key, &fresh.Identity)
	done.Resource, done.Took = resource, took
	tellRenewal(ctx, renewalDone, nil)
	s.tell(ctx, slog.LevelDebug, "access token renewed", done, slog.Uint64("generation", generation), slog.Time("expires", p.Login.of(resource).Expires))
	switch {
	case err != nil:
		s.overgrown(ctx, k.key, fresh.Identity.User, err)
	case without:
		s.leftOut(ctx, k.key, fresh.Identity.User)
	}
}

// overgrown says that no cookie can carry a session any more.
func (s *Stateless) overgrown(ctx context.Context, key Key, subject string, err error) {
	s.cfg.Log.ErrorContext(ctx, "a session does not fit its cookie any more: it lives in this process alone and ends with it",
		"event", "session.too_large", "session", key.Name(), "subject", subject, "err", err)
}

// leftOut says that the ID token does not travel.
func (s *Stateless) leftOut(ctx context.Context, key Key, subject string) {
	s.cfg.Log.WarnContext(ctx, "the ID token does not fit the cookie and is left out: after a restart, signing out reaches the provider without a hint",
		"event", "session.id_token_left_out", "session", key.Name(), "subject", subject)
}

// renewalRefused ends the session: for the cookie whose token was refused, and those
// before. One of a later generation may have been handed out before a restart.
func (s *Stateless) renewalRefused(ctx context.Context, k *kept, sent storedLogin, refused *auth.Refused) {
	tellRenewal(ctx, renewalRefused, nil)
	k.mu.Lock()
	superseded := k.hot != nil && k.hot.Login.RefreshToken != sent.RefreshToken
	if !superseded {
		k.end(auth.Withdrawn, k.generation)
	}
	k.mu.Unlock()
	if !superseded {
		s.tell(ctx, slog.LevelInfo, "renewal refused: the session ends",
			because(about(event.SessionWithdrawn, k.key, &sent.Identity), refusal(refused), refused))
	}
}

// renewalFailed keeps the session and backs off, with jitter, so that a provider
// that comes back is not met by everybody at once.
func (s *Stateless) renewalFailed(ctx context.Context, k *kept, id *auth.Identity, resource string, took time.Duration, err error) {
	tellRenewal(ctx, renewalFailed, err)
	k.mu.Lock()
	t := k.trouble[resource]
	t.failed++
	wait := min(time.Second<<min(t.failed-1, 5), 30*time.Second)
	wait = wait/2 + rand.N(wait/2)
	if u, ok := errors.AsType[*auth.Unavailable](err); !ok && t.unclear.IsZero() {
		t.unclear = s.cfg.Now()
	} else if ok {
		t.unclear, wait = time.Time{}, max(wait, u.RetryAfter)
	}
	t.retryAt = s.cfg.Now().Add(wait)
	if k.trouble == nil {
		k.trouble = map[string]trouble{}
	}
	k.trouble[resource] = t
	k.mu.Unlock()
	failed := because(about(event.SessionRenewalFailed, k.key, id), failure(err), err)
	failed.Resource, failed.Took = resource, took
	s.tell(ctx, slog.LevelWarn, "renewal did not work; the session is kept", failed, slog.Duration("retry_in", wait))
}

// usable returns the session if its token for resource is valid, or the reason why
// there is none.
func (s *Stateless) usable(k *kept, resource string) (*storedLogin, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != "" || k.hot == nil {
		return nil, k.absent()
	}
	stored := &k.hot.Login
	now, t := s.cfg.Now(), k.trouble[resource]
	expires := stored.of(resource).Expires
	switch {
	case now.Before(expires):
		return stored, nil
	case resource == "" && !t.unclear.IsZero() && now.After(later(expires, t.unclear).Add(s.set().MaxStale)):
		return nil, &auth.Absent{Reason: auth.Stale}
	}
	return nil, &auth.Unavailable{What: auth.TheRenewal, RetryAfter: max(t.retryAt.Sub(now), time.Second)}
}

// revokeThere tells the provider that the tokens of an ended session are not needed
// any more. It does so beside: nobody waits for a provider to sign out.
func (s *Stateless) revokeThere(login *auth.Login, key Key) {
	method, ok := s.set().Methods[login.Identity.Provider].(auth.Revoker)
	if !ok || s.ctx.Err() != nil {
		return
	}
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.grants, renewTimeout)
		defer cancel()
		if err := method.Revoke(ctx, login); err != nil {
			s.tell(ctx, slog.LevelWarn, "the tokens of an ended session could not be revoked at the provider; they end by themselves",
				because(about(event.RevocationFailed, key, &login.Identity), "", err))
		}
	})
}
