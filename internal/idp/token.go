package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func fail(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": "as it says"})
}

// authenticated finds the client behind a POST, or answers invalid_client.
func (p *Provider) authenticated(w http.ResponseWriter, r *http.Request) *Client {
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		fail(w, http.StatusBadRequest, "invalid_request")
		return nil
	}
	user, password, basic := r.BasicAuth()
	f := r.PostForm
	ways := 0
	for _, there := range []bool{basic, f.Has("client_secret"), f.Has("client_assertion")} {
		if there {
			ways++
		}
	}
	id := f.Get("client_id")
	if basic {
		id, _ = url.QueryUnescape(user)
	}
	c, good := p.client(id), false
	if c != nil && ways == 1 {
		switch {
		case basic && c.Auth == "client_secret_basic":
			secret, _ := url.QueryUnescape(password)
			good = same(secret, c.Secret)
		case f.Has("client_secret") && c.Auth == "client_secret_post":
			good = same(f.Get("client_secret"), c.Secret)
		case f.Has("client_assertion") && c.Auth == "private_key_jwt":
			good = p.goodAssertion(c, f)
		}
	}
	if !good {
		fail(w, http.StatusUnauthorized, "invalid_client")
		return nil
	}
	return c
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// goodAssertion checks private_key_jwt, each assertion once.
func (p *Provider) goodAssertion(c *Client, f url.Values) bool {
	claims, err := check(c.Key, f.Get("client_assertion"))
	if err != nil || f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return false
	}
	jti, _ := claims["jti"].(string)
	exp, _ := claims["exp"].(float64)
	auds, isList := claims["aud"].([]any)
	aud := claims["aud"]
	if isList && len(auds) == 1 {
		aud = auds[0]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if jti == "" || p.used[jti] || claims["iss"] != c.ID || claims["sub"] != c.ID || aud != p.cfg.Issuer || float64(p.cfg.Now().Unix()) >= exp {
		return false
	}
	p.used[jti] = true
	return true
}

// token is the token endpoint.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	k := p.now()
	c := p.authenticated(w, r)
	if c == nil {
		return
	}
	f := r.PostForm
	_, _, basic := r.BasicAuth()
	p.count(func(s *Stats) { s.TokenRequests++; s.LastToken, s.LastBasic = f, basic })
	if k.OnlyRefresh && f.Get("grant_type") != "refresh_token" {
		k = Knobs{}
	}
	p.sleep(r, k.DelayBefore)
	switch {
	case k.Hang:
		select {
		case <-r.Context().Done():
		case <-p.ctx.Done():
		}
		return
	case k.DropBefore:
		panic(http.ErrAbortHandler)
	case k.Redirect != "":
		http.Redirect(w, r, k.Redirect, http.StatusTemporaryRedirect)
		return
	case k.TokenStatus != 0:
		if k.RetryAfter != "" {
			w.Header().Set("Retry-After", k.RetryAfter)
		}
		if k.TokenError == "" {
			w.WriteHeader(k.TokenStatus)
			return
		}
		fail(w, k.TokenStatus, k.TokenError)
		return
	}
	var answer map[string]any
	var status int
	var fault string
	switch f.Get("grant_type") {
	case "authorization_code":
		answer, fault = p.redeem(c, f, &k)
	case "refresh_token":
		done := p.running(f.Get("refresh_token"))
		defer done()
		answer, fault = p.renew(c, f, &k)
	default:
		fault = "unsupported_grant_type"
	}
	p.sleep(r, k.Delay)
	if status = http.StatusOK; fault != "" {
		fail(w, http.StatusBadRequest, fault)
		return
	}
	switch {
	case k.Drop:
		panic(http.ErrAbortHandler)
	case k.TokenBody != "":
		w.Header().Set("Content-Type", k.BodyType)
		_, _ = io.WriteString(w, k.TokenBody)
		return
	}
	for _, name := range k.Omit {
		delete(answer, name)
	}
	maps.Copy(answer, k.Set)
	writeJSON(w, status, answer)
}

func (p *Provider) sleep(r *http.Request, d time.Duration) {
	if d == 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.ctx.Done():
	}
	_ = r // the work goes on where the client went away
}

// running counts the refreshes of one grant that are under way.
func (p *Provider) running(token string) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rt := p.tokens[token]
	if rt == nil {
		return func() {}
	}
	rt.grant.running++
	p.stats.MostRefreshing = max(p.stats.MostRefreshing, rt.grant.running)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		rt.grant.running--
	}
}

// redeem takes a code, once: a second use ends what the first gave (RFC 6749
// section 4.1.2).
func (p *Provider) redeem(c *Client, f url.Values, k *Knobs) (map[string]any, string) {
	p.mu.Lock()
	cd := p.codes[f.Get("code")]
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	switch {
	case cd == nil || cd.grant.client != c || cd.redirectURI != f.Get("redirect_uri") || !p.cfg.Now().Before(cd.until) ||
		cd.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		p.stats.Refused++
		p.mu.Unlock()
		return nil, "invalid_grant"
	case cd.used:
		cd.grant.revoked = true
		p.stats.Reuses++
		p.mu.Unlock()
		return nil, "invalid_grant"
	}
	cd.used = true
	p.stats.Codes++
	p.mu.Unlock()
	return p.issue(cd.grant, f.Get("resource"), true, k), ""
}

// renew takes a refresh token, once: a second use ends the grant (RFC 9700
// section 4.14.2).
func (p *Provider) renew(c *Client, f url.Values, k *Knobs) (map[string]any, string) {
	p.mu.Lock()
	rt := p.tokens[f.Get("refresh_token")]
	switch {
	case rt == nil || rt.grant.client != c || rt.grant.revoked || !p.cfg.Now().Before(rt.until) || f.Has("scope"):
		p.stats.Refused++
		p.mu.Unlock()
		return nil, "invalid_grant"
	case rt.spent:
		rt.grant.revoked = true
		p.stats.Reuses++
		p.stats.Refused++
		p.mu.Unlock()
		return nil, "invalid_grant"
	}
	rt.spent = !k.NoRotation
	p.stats.Refreshes++
	p.mu.Unlock()
	answer := p.issue(rt.grant, f.Get("resource"), false, k)
	if k.NoRotation {
		delete(answer, "refresh_token")
	}
	return answer, ""
}

// issue makes the tokens of a grant.
func (p *Provider) issue(g *grant, resource string, first bool, k *Knobs) map[string]any {
	now := p.cfg.Now().Add(k.Skew)
	aud := resource
	if aud == "" {
		aud = p.cfg.Issuer + "/api"
	}
	access := p.Sign(p.Header("at+jwt"), map[string]any{
		"iss": p.cfg.Issuer, "sub": g.subject, "aud": aud, "client_id": g.client.ID, "scope": g.scope, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(p.cfg.AccessTTL).Unix(),
	})
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(p.cfg.AccessTTL.Seconds())}
	if !k.NoRefreshTokens && slices.Contains(strings.Fields(g.scope), "offline_access") {
		rt := rand.Text()
		p.mu.Lock()
		p.tokens[rt] = &refresh{grant: g, until: p.cfg.Now().Add(p.cfg.RefreshTTL)}
		p.mu.Unlock()
		answer["refresh_token"] = rt
	}
	answer["id_token"] = p.idToken(g, access, first, now, k)
	return answer
}

func (p *Provider) idToken(g *grant, access string, first bool, now time.Time, k *Knobs) string {
	p.mu.Lock()
	u := p.user(func(u *User) bool { return u.Subject == g.subject })
	p.mu.Unlock()
	claims := map[string]any{}
	if u != nil {
		maps.Copy(claims, u.Claims)
	}
	maps.Copy(claims, map[string]any{
		"iss": p.cfg.Issuer, "sub": g.subject, "aud": g.client.ID, "iat": now.Unix(), "exp": now.Add(p.cfg.IDTTL).Unix(),
		"auth_time": g.authTime.Add(k.Skew).Unix(), "at_hash": HalfHash(access), "sid": g.sid, "amr": []string{"pwd"},
	})
	if first {
		claims["nonce"] = g.nonce
	} else if k.Subject != "" {
		claims["sub"] = k.Subject
	}
	header := p.Header("JWT")
	if k.IDToken != nil {
		k.IDToken(header, claims)
	}
	if k.Sign != nil {
		return k.Sign(header, claims)
	}
	return p.Sign(header, claims)
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	k := p.now()
	p.count(func(s *Stats) { s.Userinfos++ })
	_, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims, err := check(p.PublicKey(), raw)
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if k.UserinfoStatus != 0 {
		w.WriteHeader(k.UserinfoStatus)
		return
	}
	p.mu.Lock()
	u := p.user(func(u *User) bool { return u.Subject == claims["sub"] })
	p.mu.Unlock()
	out := map[string]any{"sub": claims["sub"]}
	if u != nil {
		maps.Copy(out, u.Claims)
	}
	maps.Copy(out, k.Userinfo)
	if k.SignUserinfo {
		out["iss"], out["aud"] = p.cfg.Issuer, claims["client_id"]
		w.Header().Set("Content-Type", "application/jwt")
		_, _ = io.WriteString(w, p.Sign(p.Header("JWT"), out))
		return
	}
	writeJSON(w, http.StatusOK, out)
}
