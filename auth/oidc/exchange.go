package oidc

import (
	"context"
	"net/url"

	"github.com/evergate/evergate/auth"
)

const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

var _ auth.Exchanger = (*Method)(nil)

// Exchange implements auth.Exchanger (RFC 8693 section 2). What comes with the
// token beside it, a refresh token say, is not kept: the session has its own.
func (m *Method) Exchange(ctx context.Context, login *auth.Login, audience, scope string) (auth.Token, error) {
	md, err := m.metadata(ctx)
	if err != nil {
		return auth.Token{}, err
	}
	form := url.Values{"grant_type": {grantExchange}, "subject_token": {login.AccessToken.Value.Reveal()},
		"subject_token_type": {typeAccessToken}, "requested_token_type": {typeAccessToken}, "audience": {audience}}
	if scope != "" {
		form.Set("scope", scope)
	}
	key, err := m.keyFor(login.Key)
	if err != nil {
		return auth.Token{}, err
	}
	t, err := m.grant(ctx, form, md, key)
	if err == nil {
		err = t.usable()
	}
	if err != nil {
		m.cfg.Log.WarnContext(ctx, "the provider does not exchange the access token; check that it allows this client token exchange for the audience",
			"event", "provider.exchange_failed", "audience", audience, "subject", login.Identity.User, "err", err)
		return auth.Token{}, err
	}
	return t.access(), nil
}
