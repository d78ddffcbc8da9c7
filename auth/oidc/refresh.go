package oidc

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

// Refresh implements auth.Refresher. It sends one grant and never a second. The
// scope is not repeated: what was granted is what is renewed (RFC 6749 section 6).
func (m *Method) Refresh(ctx context.Context, login *auth.Login, resource string) (*auth.Login, error) {
	if login.RefreshToken.IsZero() {
		return nil, &auth.Refused{Reason: "there is no refresh token"}
	}
	session := sha256Text([]byte(login.Identity.Subject + "\x00" + login.SID + "\x00" + login.AuthTime.String()))
	if wait, ok := m.breaker.enter(m.cfg.Now()); !ok {
		u := m.unavailable(errOpen)
		u.RetryAfter = wait
		return nil, u
	}
	t, md, err := m.refresh(ctx, login, resource)
	m.report(ctx, session, err)
	if err != nil {
		return nil, err
	}
	fresh := *login
	// First of all, and whatever else came: it may be the only one that is good.
	if t.RefreshToken != "" {
		fresh.RefreshToken = secret.New(t.RefreshToken)
	}
	if err := t.usable(); err != nil {
		if t.RefreshToken == "" {
			return nil, m.outage(err)
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
		return &fresh, nil
	}
	fresh.AccessToken = t.access()
	if err := m.renewIdentity(ctx, &fresh, t, md); err != nil {
		return nil, err
	}
	return &fresh, nil
}

// renewIdentity reads the claims again (R8). Only another subject ends the
// session; claims that cannot be read leave those of before.
func (m *Method) renewIdentity(ctx context.Context, fresh *auth.Login, t *tokens, md *metadata) error {
	old := fresh.Identity
	claims := old.Claims
	if t.IDToken != "" {
		renewed, err := m.idToken(ctx, t.IDToken, md, expected{accessToken: t.AccessToken, subject: old.Subject})
		switch {
		case err == nil:
			claims = m.renewedClaims(old.Claims, personal(renewed))
			fresh.IDToken = secret.New(t.IDToken)
		case isOther(err):
			return m.refuseSubject(ctx, fresh)
		default:
			t.IDToken = "" // as if it had not come
			m.cfg.Log.ErrorContext(ctx, "the ID token of a renewal is not valid; the claims of before are kept",
				"event", "provider.bad_id_token", "subject", old.User, "err", err)
		}
	}
	if m.cfg.Userinfo {
		more, err := m.userinfo(ctx, t.AccessToken, old.Subject, md)
		switch {
		case err == nil:
			claims = m.renewedClaims(claims, with(claimsOf(t.IDToken, claims), more))
		case isRefused(err):
			return m.refuseSubject(ctx, fresh)
		default:
			m.cfg.Log.WarnContext(ctx, "userinfo could not be read at a renewal; the claims of before are kept",
				"event", "provider.userinfo", "subject", old.User, "err", err)
			return nil
		}
	}
	if t.IDToken == "" && !m.cfg.Userinfo {
		return nil // nothing new is known
	}
	claims = maps.Clone(claims)
	claims["sub"] = old.Subject
	fresh.Identity = m.identity(claims)
	return nil
}

// claimsOf are the claims that an ID token of this renewal brought, or none.
func claimsOf(idToken string, claims map[string]any) map[string]any {
	if idToken == "" {
		return nil
	}
	return claims
}

func (m *Method) refuseSubject(ctx context.Context, l *auth.Login) error {
	m.cfg.Log.ErrorContext(ctx, "a renewal answered for another subject", "event", "provider.subject_changed", "subject", l.Identity.User)
	return &auth.Refused{Reason: errSubject.Error()}
}

func isOther(err error) bool {
	refused, ok := errors.AsType[*auth.Refused](err)
	return ok && strings.HasSuffix(refused.Reason, errSubject.Error())
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*auth.Refused](err)
	return ok
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
	t, err := m.grant(ctx, form, md)
	return t, md, err
}

// report tells the breaker how a renewal went.
func (m *Method) report(ctx context.Context, session string, err error) {
	var opened bool
	switch u, down := errors.AsType[*auth.Unavailable](err); {
	case down && ctx.Err() != nil:
		m.breaker.abandon() // we went away, not the provider
	case down:
		opened = m.breaker.failure(m.cfg.Now(), session, isConnection(u.Err))
	default:
		m.breaker.success() // it answered, be it no
	}
	if opened {
		m.cfg.Log.WarnContext(ctx, "the provider does not answer; renewals wait, sessions are kept", "event", "provider.breaker_open", "err", err)
	}
}

// verifyUserinfo reads a signed answer of the userinfo endpoint, which need not
// expire (OIDC Core section 5.3.2).
func (m *Method) verifyUserinfo(ctx context.Context, raw string, md *metadata) (map[string]any, error) {
	algs := algsFor(md.UserinfoAlgs)
	if len(md.UserinfoAlgs) == 0 {
		algs = algsFor(md.IDTokenAlgs)
	}
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithValidMethods(algs), jwt.WithIssuer(m.cfg.Issuer), jwt.WithAudience(m.cfg.ClientID),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(m.cfg.Now), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
	).ParseWithClaims(strings.TrimSpace(raw), claims, func(t *jwt.Token) (any, error) {
		if _, crit := t.Header["crit"]; crit {
			return nil, errors.New("its header has crit, which nothing here understands")
		}
		kid, _ := t.Header["kid"].(string)
		return m.key(ctx, kid, t.Method.Alg())
	})
	if u, ok := errors.AsType[*auth.Unavailable](err); ok {
		return nil, u
	}
	if err != nil {
		return nil, &auth.Refused{Reason: "userinfo: " + err.Error()}
	}
	return claims, nil
}
