package idp

import (
	"net/url"
	"slices"
	"strings"
)

const (
	tokenExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// exchange gives an access token of the same user for another audience (RFC 8693),
// to whoever has one that was given to it or is meant for it. It comes without a
// refresh token, and dies with the grant.
func (p *Provider) exchange(client Client, f url.Values) (*made, *oauthError) {
	switch {
	case f.Get("subject_token") == "" || f.Get("subject_token_type") != accessTokenType:
		return nil, refuse("invalid_request", "the subject_token has to be an access token")
	case f.Has("requested_token_type") && f.Get("requested_token_type") != accessTokenType:
		return nil, refuse("invalid_request", "only access tokens are given")
	case f.Has("actor_token"):
		return nil, refuse("invalid_request", "there is no delegation here")
	}
	a, ok := p.liveAccess(f.Get("subject_token"))
	if !ok || a.grant.client != client.ID && !slices.Contains(a.audiences, client.ID) {
		return nil, refuse("invalid_request", "the subject_token is not good, or not for this client")
	}
	targets := slices.Concat(f["resource"], f["audience"])
	if len(targets) == 0 || slices.ContainsFunc(f["resource"], badResource) {
		return nil, refuse("invalid_target", "which audience or resource is the token for?")
	}
	scopes := a.scopes
	if f.Has("scope") {
		if scopes = strings.Fields(f.Get("scope")); !subset(scopes, a.scopes) {
			return nil, refuse("invalid_scope", "an exchange cannot ask for more than there is")
		}
	}
	p.count(func(s *Stats) { s.Exchanges++ })
	return &made{grant: a.grant, scopes: scopes, resources: targets, exchanged: true}, nil
}
