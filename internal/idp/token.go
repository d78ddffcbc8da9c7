package idp

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// made is what a grant request came to: what to put into the answer.
type made struct {
	grant             *grant
	scopes, resources []string
	nonce, refresh    string // "" leaves it out
	idToken, renewal  bool
	exchanged         bool   // by token exchange
	jkt               string // of the key that the access token is bound to; "" is none
}

// serveToken is the token endpoint (RFC 6749 section 3.2).
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	f, fault := form(r)
	if fault != nil {
		fault.write(w)
		return
	}
	renewal := f.Get("grant_type") == "refresh_token"
	_, _, basic := r.BasicAuth()
	p.count(func(s *Stats) {
		s.LastTokenForm, s.LastTokenAuthHeader = cloneValues(f), basic || r.Header.Get("Authorization") != ""
	})
	if renewal {
		defer p.enterRefresh(f.Get("refresh_token"))()
	}
	k := p.tokenKnobs(renewal)
	if k.AtToken != nil {
		k.AtToken(r)
	}
	if !p.wait(r.Context(), k.DelayBefore) || k.DropBefore {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	if !k.AfterGrant && p.spoil(w, r, k) {
		return
	}
	client, methods, fault := p.authenticate(r, f)
	p.count(func(s *Stats) { s.LastTokenAuthMethods = methods })
	if fault != nil {
		if basic {
			w.Header().Set("WWW-Authenticate", `Basic realm="idp"`)
		}
		fault.write(w)
		return
	}
	// Before anything is used up: whoever is told another nonce comes with the same grant.
	jkt, fault := p.proven(w, r, k, "", k.GrantNonce)
	if fault == nil && jkt == "" && client.DPoP && !k.NoDPoP {
		fault = refuse("invalid_dpop_proof", "this client's tokens are bound to a key, and there is no proof of one")
	}
	if fault != nil {
		fault.write(w)
		return
	}
	var m *made
	switch f.Get("grant_type") {
	case "authorization_code":
		m, fault = p.redeem(k, client, f, jkt)
	case "refresh_token":
		if m, fault = p.renew(k, client, f); fault != nil {
			p.count(func(s *Stats) { s.RefreshRefused++ })
		}
	case tokenExchange:
		m, fault = p.exchange(client, f)
	default:
		fault = refuse("unsupported_grant_type", "")
	}
	if fault != nil {
		fault.write(w)
		return
	}
	m.jkt = jkt
	p.give(w, r, k, m)
}

// enterRefresh counts a refresh request of a grant until what it returns is
// called.
func (p *Provider) enterRefresh(token string) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.refresh[token]
	if !ok {
		return func() {}
	}
	t.grant.refreshing++
	p.stats.MaxConcurrentRefreshPerGrant = max(p.stats.MaxConcurrentRefreshPerGrant, t.grant.refreshing)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		t.grant.refreshing--
	}
}

// redeem exchanges a code, once. A second time is somebody else's, and what the
// first one got is not to be trusted any more (RFC 6749 section 4.1.2).
func (p *Provider) redeem(k *Knobs, client Client, f url.Values, jkt string) (*made, *oauthError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.codes[f.Get("code")]
	if !ok || c.grant.client != client.ID {
		return nil, refuse("invalid_grant", "the code is not known")
	}
	if c.used {
		if !c.grant.dead {
			c.grant.dead = true
			p.stats.ReuseDetected++
		}
		return nil, refuse("invalid_grant", "the code was used before; what it gave is revoked")
	}
	if c.grant.dead {
		return nil, refuse("invalid_grant", "the grant is revoked")
	}
	c.used = true // also where the rest is wrong: nobody tries twice
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	challenge := b64.EncodeToString(sum[:])
	switch {
	case !p.cfg.Now().Before(c.expires):
		return nil, refuse("invalid_grant", "the code is expired")
	case !k.NoDPoP && c.jkt != "" && c.jkt != jkt:
		return nil, refuse("invalid_grant", "the code is bound to another key")
	case f.Get("redirect_uri") != c.redirectURI:
		return nil, refuse("invalid_grant", "the redirect_uri is not that of the request")
	case len(f.Get("code_verifier")) < 43 || subtle.ConstantTimeCompare([]byte(challenge), []byte(c.challenge)) != 1:
		return nil, refuse("invalid_grant", "the code_verifier is wrong")
	}
	resources, fault := narrow(f["resource"], c.grant.resources)
	if fault != nil {
		return nil, fault
	}
	p.grants[c.grant] = struct{}{}
	m := &made{grant: c.grant, scopes: c.grant.scopes, resources: resources, nonce: c.grant.nonce,
		idToken: slices.Contains(c.grant.scopes, "openid") && !k.OmitIDTokenAtLogin}
	if c.offline && !k.NoRefreshTokens {
		m.refresh = p.newRefresh(c.grant)
	}
	p.stats.CodeGrants++
	return m, nil
}

// renew exchanges a refresh token, once (RFC 9700 section 4.14.2).
func (p *Provider) renew(k *Knobs, client Client, f url.Values) (*made, *oauthError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.refresh[f.Get("refresh_token")]
	if !ok || t.grant.client != client.ID {
		return nil, refuse("invalid_grant", "the refresh token is not known")
	}
	now, g := p.cfg.Now(), t.grant
	_, known := p.users[g.subject]
	spent := !t.spent.IsZero() && (k.ReuseGrace <= 0 || now.Sub(t.spent) > k.ReuseGrace)
	switch {
	case g.dead || !known:
		return nil, refuse("invalid_grant", "the grant is revoked")
	case !now.Before(t.expires):
		return nil, refuse("invalid_grant", "the refresh token is expired")
	case spent:
		fault := refuse("invalid_grant", "the refresh token was used before")
		if k.ReuseError != "" {
			fault.code = k.ReuseError
		}
		if !k.NoReuseDetection {
			g.dead = true
			p.stats.ReuseDetected++
			fault.description += "; the grant is revoked"
		}
		return nil, fault
	}
	scopes := g.scopes
	if f.Has("scope") {
		if scopes = strings.Fields(f.Get("scope")); len(scopes) == 0 || !subset(scopes, g.scopes) {
			return nil, refuse("invalid_scope", "a refresh cannot ask for more than was granted")
		}
	}
	resources, fault := narrow(f["resource"], g.resources)
	if fault != nil {
		return nil, fault
	}
	m := &made{grant: g, scopes: scopes, resources: resources, renewal: true,
		idToken: slices.Contains(scopes, "openid") && !k.OmitIDToken}
	if !k.NoRotation {
		if t.spent.IsZero() {
			t.spent = now
		}
		m.refresh = p.newRefresh(g)
	}
	p.stats.RefreshGrants++
	return m, nil
}

// narrow returns the resources asked for, which must be among those granted; none
// asked for is all of them (RFC 8707 section 2.2).
func narrow(asked, granted []string) ([]string, *oauthError) {
	if len(asked) == 0 {
		return granted, nil
	}
	if !subset(asked, granted) {
		return nil, refuse("invalid_target", "a resource was not asked for at sign-in")
	}
	return asked, nil
}

// give makes the tokens and answers with them.
func (p *Provider) give(w http.ResponseWriter, r *http.Request, k *Knobs, m *made) {
	answer, fault := p.answer(k, m)
	if fault != nil {
		fault.write(w)
		return
	}
	if !p.wait(r.Context(), k.Delay) || k.Drop {
		panic(http.ErrAbortHandler)
	}
	if k.AfterGrant && p.spoil(w, r, k) {
		return
	}
	p.writeAnswer(w, k, answer)
}

// answer is the body of a good answer (OIDC Core section 3.1.3.3).
func (p *Provider) answer(k *Knobs, m *made) (map[string]any, *oauthError) {
	access, err := p.mintAccess(k, m)
	if err != nil {
		return nil, &oauthError{status: http.StatusInternalServerError, code: "server_error", description: err.Error()}
	}
	answer := map[string]any{
		"access_token": access, "token_type": "Bearer",
		"expires_in": int(p.cfg.AccessTTL / time.Second), "scope": strings.Join(m.scopes, " "),
	}
	if m.jkt != "" {
		answer["token_type"] = "DPoP"
	}
	if m.exchanged {
		answer["issued_token_type"] = accessTokenType
	}
	if m.refresh != "" && !k.OmitRefreshToken {
		answer["refresh_token"] = m.refresh
	}
	if m.idToken {
		id, err := p.mintID(k, m, access)
		if err != nil {
			return nil, &oauthError{status: http.StatusInternalServerError, code: "server_error", description: err.Error()}
		}
		answer["id_token"] = id
	}
	return answer, nil
}
