package idp

import (
	"net/http"
	"strings"
)

// serveRevoke ends a token (RFC 7009): a refresh token with its whole grant, an
// access token by itself. Whether there was any is not told.
func (p *Provider) serveRevoke(w http.ResponseWriter, r *http.Request) {
	k := p.knobs.Load()
	if k.NoRevocation {
		http.NotFound(w, r)
		return
	}
	f, fault := form(r)
	if fault != nil {
		fault.write(w)
		return
	}
	p.count(func(s *Stats) { s.LastRevocation = cloneValues(f) })
	if k.RevocationStatus != 0 {
		bare(w, k, k.RevocationStatus)
		return
	}
	client, _, fault := p.authenticate(r, f)
	if fault == nil && f.Get("token") == "" {
		fault = refuse("invalid_request", "which token?")
	}
	if fault != nil {
		fault.write(w)
		return
	}
	p.mu.Lock()
	if t, ok := p.refresh[f.Get("token")]; ok && t.grant.client == client.ID {
		t.grant.dead = true
	}
	if a, ok := p.access[f.Get("token")]; ok && a.grant.client == client.ID {
		delete(p.access, f.Get("token"))
	}
	p.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// serveIntrospect tells what a token is (RFC 7662), to any client.
func (p *Provider) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	if p.knobs.Load().NoIntrospection {
		http.NotFound(w, r)
		return
	}
	f, fault := form(r)
	if fault == nil {
		_, _, fault = p.authenticate(r, f)
	}
	if fault != nil {
		fault.write(w)
		return
	}
	writeJSON(w, http.StatusOK, p.introspection(f.Get("token")))
}

func (p *Provider) introspection(token string) map[string]any {
	if a, ok := p.liveAccess(token); ok {
		about := p.describe(a.grant, a.scopes)
		about["token_type"], about["jti"], about["aud"] = "Bearer", a.id, oneOrMany(a.audiences)
		about["iat"], about["exp"] = a.issued.Unix(), a.expires.Unix()
		return about
	}
	if t, ok := p.liveRefresh(token); ok {
		about := p.describe(t.grant, t.grant.scopes)
		about["exp"] = t.expires.Unix()
		return about
	}
	return map[string]any{"active": false}
}

func (p *Provider) describe(g *grant, scopes []string) map[string]any {
	about := map[string]any{
		"active": true, "iss": p.cfg.Issuer, "sub": g.subject, "client_id": g.client,
		"scope": strings.Join(scopes, " "), "sid": g.sid,
	}
	if u, ok := p.User(g.subject); ok {
		about["username"] = u.Username
	}
	return about
}
