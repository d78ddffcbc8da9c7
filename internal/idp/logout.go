package idp

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// revoke is RFC 7009: a refresh token ends its grant.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	if p.authenticated(w, r) == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Revocations++
	if rt := p.tokens[r.PostForm.Get("token")]; rt != nil {
		rt.grant.revoked = true
	}
	w.WriteHeader(http.StatusOK)
}

// endSession is OIDC RP-Initiated Logout 1.0.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	q := r.Form
	hint, _ := check(p.PublicKey(), q.Get("id_token_hint"))
	p.mu.Lock()
	p.stats.Logouts++
	c := p.client(q.Get("client_id"))
	if cookie, err := r.Cookie(cookieName); err == nil {
		delete(p.sessions, cookie.Value)
	}
	for id, s := range p.sessions {
		if s.sid == hint["sid"] {
			delete(p.sessions, id)
		}
	}
	p.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1})
	to := q.Get("post_logout_redirect_uri")
	u, err := url.Parse(to)
	if c == nil || err != nil || !slices.Contains(c.AfterLogout, to) {
		_, _ = fmt.Fprintln(w, "You are signed out of the demo provider.")
		return
	}
	if state := q.Get("state"); state != "" {
		u.RawQuery = url.Values{"state": {state}}.Encode()
	}
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// LogoutClaims are the claims of a logout token for a client (OIDC Back-Channel
// Logout 1.0 section 2.4).
func (p *Provider) LogoutClaims(client, subject, sid string) map[string]any {
	now := p.cfg.Now()
	claims := map[string]any{"iss": p.cfg.Issuer, "aud": client, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
	if subject != "" {
		claims["sub"] = subject
	}
	if sid != "" {
		claims["sid"] = sid
	}
	return claims
}

// SignOut ends a person's sessions here and tells their clients.
func (p *Provider) SignOut(ctx context.Context, subject string) error {
	type call struct{ to, token string }
	var calls []call
	p.mu.Lock()
	var ended []*session
	for id, s := range p.sessions {
		if s.subject == subject {
			ended = append(ended, s)
			delete(p.sessions, id)
		}
	}
	p.mu.Unlock()
	for _, s := range ended {
		for c := range s.clients {
			if c.BackchannelLogoutURI != "" {
				calls = append(calls, call{c.BackchannelLogoutURI, p.Sign(p.Header("logout+jwt"), p.LogoutClaims(c.ID, subject, s.sid))})
			}
		}
	}
	for _, c := range calls {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.to, strings.NewReader(url.Values{"logout_token": {c.token}}.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := p.cfg.HTTP.Do(req)
		if err != nil {
			return fmt.Errorf("back-channel logout: %w", err)
		}
		_ = res.Body.Close()
		p.count(func(s *Stats) { s.Backchannels++ })
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("back-channel logout: %s", res.Status)
		}
	}
	return nil
}
