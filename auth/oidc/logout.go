package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

const (
	// maxLogoutURL is beyond what servers take as an address; the hint is what
	// makes it long.
	maxLogoutURL = 4096
	// metadataWait bounds how long signing out waits for metadata.
	metadataWait = 2 * time.Second
	// oldestLogout is how long ago a logout token may have been signed.
	oldestLogout = time.Hour

	backchannelEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// Revoke implements auth.Revoker (RFC 7009). A provider without the endpoint lets
// tokens end by themselves.
func (m *Method) Revoke(ctx context.Context, login *auth.Login) error {
	md, err := m.metadata(ctx)
	if err != nil || md.Revocation == "" {
		return err
	}
	var all error
	for _, t := range []struct {
		hint  string
		token secret.Text
	}{{"refresh_token", login.RefreshToken}, {"access_token", login.AccessToken.Value}} {
		if t.token.IsZero() {
			continue
		}
		a, err := m.post(ctx, md.Revocation, url.Values{"token": {t.token.Reveal()}, "token_type_hint": {t.hint}}, md)
		switch {
		case err != nil:
			all = errors.Join(all, m.outage(ctx, fmt.Errorf("revocation: %w", err)))
		case a.status != http.StatusOK && a.status != http.StatusNoContent:
			err := m.refusal(ctx, a)
			if e, ok := errors.AsType[*Error](err); ok && e.Code == "unsupported_token_type" {
				continue // it ends by itself (RFC 7009 section 2.2.1)
			}
			all = errors.Join(all, fmt.Errorf("revoke the %s: %w", t.hint, err))
		}
	}
	return all
}

// LogoutURL implements auth.LogoutURLer.
func (m *Method) LogoutURL(ctx context.Context, login *auth.Login, returnTo, state string) (string, error) {
	md := m.meta.last()
	if md == nil {
		wait, cancel := context.WithTimeout(ctx, metadataWait)
		defer cancel()
		var err error
		if md, err = m.metadata(wait); err != nil {
			return "", err
		}
	}
	if md.EndSession == "" {
		return "", nil
	}
	to, err := url.Parse(md.EndSession)
	if err != nil {
		return "", m.outage(ctx, fmt.Errorf("end_session_endpoint: %w", err))
	}
	q := to.Query()
	q.Set("client_id", m.cfg.ClientID)
	q.Set("post_logout_redirect_uri", returnTo)
	if state != "" {
		q.Set("state", state)
	}
	without := *to
	without.RawQuery = q.Encode()
	if login.IDToken.IsZero() {
		return without.String(), nil
	}
	q.Set("id_token_hint", login.IDToken.Reveal())
	if to.RawQuery = q.Encode(); len(to.String()) > maxLogoutURL {
		return without.String(), nil // the provider asks in its place
	}
	return to.String(), nil
}

// LogoutToken implements auth.LogoutTokens (OIDC Back-Channel Logout 1.0
// section 2.6).
func (m *Method) LogoutToken(ctx context.Context, raw string) (subject, sid string, err error) {
	md, err := m.metadata(ctx)
	if err != nil {
		return "", "", err
	}
	v, err := m.verify(ctx, raw, algsFor(md.IDTokenAlgs))
	if err != nil {
		return "", "", err
	}
	c := v.claims
	refused := func(why string) (string, string, error) { return "", "", &auth.Refused{Reason: "logout token: " + why} }
	events, _ := c["events"].(map[string]any)
	_, isLogout := events[backchannelEvent].(map[string]any)
	_, hasNonce := c["nonce"]
	jti := text(c, "jti")
	subject, sid = text(c, "sub"), text(c, "sid")
	_, hasSub := c["sub"]
	_, hasSID := c["sid"]
	issued, _ := moment(c, "iat")
	expires, _ := moment(c, "exp")
	switch {
	case v.typ != "" && v.typ != "jwt" && v.typ != "logout+jwt":
		return refused(fmt.Sprintf("its typ is %.40q", v.typ))
	case !slices.Contains(list(c["aud"]), m.cfg.ClientID):
		return refused("it is for another client")
	case !isLogout:
		return refused("it does not say that a session is over")
	case hasNonce:
		return refused("it has a nonce, as ID tokens have") // or one would end sessions
	case !hasSub && !hasSID, hasSub && subject == "", hasSID && sid == "":
		return refused("it names neither a subject nor a session, or one that is no text")
	case jti == "":
		return refused("it has no jti")
	case m.cfg.Now().Sub(issued) > oldestLogout:
		return refused("it is old")
	case m.cfg.Once == nil:
		return refused("nothing here tells it from its repetition")
	}
	if soonest := issued.Add(oldestLogout); soonest.Before(expires) {
		expires = soonest
	}
	first, err := m.cfg.Once(ctx, "logout "+m.cfg.Name+" "+sha256Text([]byte(jti)), expires.Add(leeway))
	switch {
	case err != nil:
		if _, typed := errors.AsType[*auth.Unavailable](err); !typed {
			err = &auth.Unavailable{What: "the record of logout tokens", Err: err}
		}
		return "", "", err
	case !first:
		return refused("it came before")
	}
	return subject, sid, nil
}
