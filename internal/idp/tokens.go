package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"
)

// stamp is a time as tokens have it, in seconds.
func (p *Provider) stamp(k *Knobs, t time.Time) int64 { return t.Add(k.ClockSkew).Unix() }

// sign signs, after mutate and unless replace does.
func (p *Provider) sign(typ string, claims map[string]any, mutate func(header, claims map[string]any), replace func(header, claims map[string]any) string) (string, error) {
	key := p.signingKey()
	header := map[string]any{"alg": key.alg, "kid": key.id, "typ": typ}
	if mutate != nil {
		mutate(header, claims)
	}
	if replace != nil {
		return replace(header, claims), nil
	}
	return signJSON(key, header, claims)
}

// oneOrMany is a claim that is a string where there is one value.
func oneOrMany(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	return values
}

// mintAccess makes an access token (RFC 9068).
func (p *Provider) mintAccess(k *Knobs, m *made) (string, error) {
	now := p.cfg.Now()
	audiences := m.resources
	if len(audiences) == 0 {
		audiences = []string{p.cfg.Issuer} // good for userinfo, and nowhere else
	}
	a := &accessToken{grant: m.grant, id: rand.Text(), jkt: m.jkt, scopes: m.scopes, audiences: audiences, issued: now, expires: now.Add(p.cfg.AccessTTL)}
	token := rand.Text()
	if !k.OpaqueAccessTokens {
		claims := map[string]any{
			"iss": p.cfg.Issuer, "sub": m.grant.subject, "aud": oneOrMany(audiences), "client_id": m.grant.client,
			"scope": strings.Join(m.scopes, " "), "jti": a.id, "sid": m.grant.sid,
			"iat": p.stamp(k, now), "exp": p.stamp(k, a.expires),
			"auth_time": p.stamp(k, m.grant.authTime), "acr": m.grant.acr,
		}
		if m.jkt != "" {
			claims["cnf"] = map[string]any{"jkt": m.jkt}
		}
		var err error
		if token, err = p.sign("at+jwt", claims, k.MutateAccessToken, k.SignAccessToken); err != nil {
			return "", err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.access[token] = a
	return token, nil
}

// mintID makes an ID token (OIDC Core section 2).
func (p *Provider) mintID(k *Knobs, m *made, accessToken string) (string, error) {
	now := p.cfg.Now()
	g := m.grant
	user, _ := p.User(g.subject)
	client, _ := p.Client(g.client)
	claims := claimsOf(user, m.scopes)
	sum := sha256.Sum256([]byte(accessToken))
	maps.Copy(claims, map[string]any{
		"iss": p.cfg.Issuer, "sub": g.subject, "aud": oneOrMany(append([]string{g.client}, client.Audiences...)),
		"iat": p.stamp(k, now), "exp": p.stamp(k, now.Add(p.cfg.IDTTL)), "auth_time": p.stamp(k, g.authTime),
		"at_hash": b64.EncodeToString(sum[:len(sum)/2]), "sid": g.sid, "acr": g.acr, "amr": []string{"pwd"},
	})
	if len(client.Audiences) > 0 {
		claims["azp"] = g.client
	}
	if m.nonce != "" {
		claims["nonce"] = m.nonce
	}
	if m.renewal && k.ChangedSubject != "" {
		claims["sub"] = k.ChangedSubject
	}
	return p.sign("JWT", claims, k.MutateIDToken, k.SignIDToken)
}

// claimsOf is what is told of a user (OIDC Core section 5.4). The caller may change
// the map.
func claimsOf(u User, scopes []string) map[string]any {
	c := map[string]any{}
	profile := slices.Contains(scopes, "profile")
	if profile {
		c["preferred_username"] = u.Username
		if u.Name != "" {
			c["name"] = u.Name
		}
	}
	if slices.Contains(scopes, "email") && u.Email != "" {
		c["email"], c["email_verified"] = u.Email, u.EmailVerified
	}
	if (profile || slices.Contains(scopes, "groups")) && u.Groups != nil {
		c["groups"] = slices.Clone(u.Groups)
	}
	maps.Copy(c, u.Claims)
	return c
}
