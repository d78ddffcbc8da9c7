package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

// Refresh implements auth.Refresher. It sends one grant and never a second, but where the
// first was not looked at (see postProven). The scope is not repeated: what was granted is
// what is renewed (RFC 6749 section 6).
func (m *Method) Refresh(ctx context.Context, login *auth.Login, resource string) (*auth.Login, error) {
	if login.RefreshToken.IsZero() {
		return nil, &auth.Refused{Reason: "there is no refresh token"}
	}
	session := sha256Text(fmt.Appendf(nil, "%q %q %d", login.Identity.Subject, login.SID, login.AuthTime.Unix()))
	probe, ok, wait := m.breaker.enter(m.cfg.Now())
	if !ok {
		u := m.unavailable(errOpen)
		u.RetryAfter = wait
		return nil, u
	}
	t, md, err := m.refresh(ctx, login, resource)
	m.report(ctx, session, probe, err)
	if err != nil {
		return nil, err
	}
	fresh := *login
	fresh.Key = t.key
	// First of all, and whatever else came: it may be the only one that is good.
	if t.RefreshToken != "" {
		fresh.RefreshToken = secret.New(t.RefreshToken)
	}
	if err := t.usable(); err != nil {
		if t.RefreshToken == "" {
			return nil, m.outage(ctx, err)
		}
		m.cfg.Log.ErrorContext(ctx, "a renewal gave no access token that can be used", "event", "provider.bad_renewal", "subject", login.Identity.User, "err", err)
		return &fresh, nil
	}
	if resource != "" {
		fresh.Resources = maps.Clone(login.Resources)
		if fresh.Resources == nil {
			fresh.Resources = map[string]auth.Token{}
		}
		fresh.Resources[resource] = t.access()
	} else {
		fresh.AccessToken = t.access()
	}
	if err := m.renewIdentity(ctx, &fresh, t, md, resource == ""); err != nil {
		m.giveBack(ctx, &fresh)
		return nil, err
	}
	return &fresh, nil
}

// giveBack revokes what came for a session that ends by it: nobody else knows of
// these tokens.
func (m *Method) giveBack(ctx context.Context, fresh *auth.Login) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	if err := m.Revoke(ctx, fresh); err != nil {
		m.cfg.Log.WarnContext(ctx, "tokens that came for an ended session could not be revoked", "event", "provider.revocation", "err", err)
	}
}

// giveBackTime bounds how long the end of a session waits for that.
const giveBackTime = 5 * time.Second

// renewIdentity reads the claims again (R8). Another subject ends the session, and
// so does losing what it takes to sign in at all; claims that cannot be read leave
// those of before. Userinfo is for the access token of no resource in particular.
func (m *Method) renewIdentity(ctx context.Context, fresh *auth.Login, t *tokens, md *metadata, userinfo bool) error {
	old := fresh.Identity
	said, read := tokenClaims(fresh.IDToken), false
	if t.IDToken != "" {
		renewed, err := m.idToken(ctx, t.IDToken, md, expected{accessToken: t.AccessToken, subject: old.Subject})
		switch {
		case err == nil:
			said, read = personal(renewed), true
			fresh.IDToken = secret.New(t.IDToken)
		case errors.Is(err, errSubject):
			return m.refuseSubject(ctx, fresh)
		default:
			m.cfg.Log.ErrorContext(ctx, "the ID token of a renewal is not valid; the claims of before are kept",
				"event", "provider.bad_id_token", "subject", old.User, "err", err)
		}
	}
	if m.cfg.Userinfo && userinfo {
		more, err := m.userinfo(ctx, t, old.Subject, md)
		switch {
		case err == nil:
			said, read = with(said, more), true
		case errors.Is(err, errSubject):
			return m.refuseSubject(ctx, fresh)
		default:
			// Half of what is known would look like the loss of the other half.
			m.cfg.Log.WarnContext(ctx, "userinfo could not be read at a renewal; the claims of before are kept",
				"event", "provider.userinfo", "subject", old.User, "err", err)
			return nil
		}
	}
	if !read || m.cfg.Userinfo && !userinfo {
		return nil
	}
	claims := m.renewedClaims(old.Claims, said)
	claims["sub"] = old.Subject
	fresh.Identity = m.identity(claims)
	if !old.GroupsUnread { // once for a session
		m.tellOfGroups(ctx, claims, &fresh.Identity)
	}
	if m.isHeader(&old) {
		m.tellOfUser(ctx, &fresh.Identity)
	}
	if err := m.allows(fresh); err != nil {
		return &auth.Refused{Reason: "may not sign in any more: " + err.Error()}
	}
	return nil
}

// tokenClaims are the claims of an ID token that was checked when it came.
func tokenClaims(idToken secret.Text) map[string]any {
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser(jwt.WithJSONNumber()).ParseUnverified(idToken.Reveal(), claims); err != nil {
		return nil
	}
	return personal(claims)
}

func (m *Method) refuseSubject(ctx context.Context, l *auth.Login) error {
	m.cfg.Log.ErrorContext(ctx, "a renewal answered for another subject", "event", "provider.subject_changed", "subject", l.Identity.User)
	return errSubject
}

// refresh sends the grant.
func (m *Method) refresh(ctx context.Context, login *auth.Login, resource string) (*tokens, *metadata, error) {
	md, err := m.metadata(ctx)
	if err != nil {
		return nil, nil, err
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {login.RefreshToken.Reveal()}}
	if resource != "" {
		form.Set("resource", resource)
	}
	// A session from before dpop was set has its key from now on: the refresh tokens of clients
	// that have a secret or key of their own are bound to that (RFC 9449 section 5).
	key, err := m.keyFor(login.Key)
	if err != nil {
		return nil, nil, err
	}
	t, err := m.grant(ctx, form, md, key)
	return t, md, err
}

// report tells the breaker how a renewal went.
func (m *Method) report(ctx context.Context, session string, probe bool, err error) {
	var opened bool
	switch u, down := errors.AsType[*auth.Unavailable](err); {
	case down && (ctx.Err() != nil || !isOutage(u.Err)):
		m.breaker.abandon(probe) // we went away, not the provider; or it is there and busy
	case down:
		opened = m.breaker.failure(m.cfg.Now(), session, isConnection(u.Err), probe)
	case err == nil:
		m.works()
	default:
		m.breaker.success() // it answered, be it no
	}
	if opened {
		m.cfg.Log.WarnContext(ctx, "the provider does not answer; renewals wait, sessions are kept", "event", "provider.breaker_open", "err", err)
	}
}
