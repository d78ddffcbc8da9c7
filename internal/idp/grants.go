package idp

import (
	"crypto/rand"
	"time"
)

const (
	// codeTTL is how long a code is good. One that is used up is remembered longer,
	// to notice that it comes again.
	codeTTL      = time.Minute
	rememberCode = 10 * time.Minute
)

// grant is what one sign-in allowed one client. All that came of it dies with it.
type grant struct {
	client, subject, sid, nonce string
	scopes, resources           []string
	authTime                    time.Time
	acr                         string
	dead                        bool
	refreshing                  int // refresh requests under way
}

type code struct {
	grant                  *grant
	redirectURI, challenge string
	jkt                    string // of the key that it is bound to (RFC 9449 section 10); "" is none
	offline, used          bool
	expires                time.Time
}

type refreshToken struct {
	grant   *grant
	spent   time.Time // zero while it is good
	expires time.Time
}

type accessToken struct {
	grant     *grant
	id        string
	jkt       string // of the key that it is bound to; "" is none
	scopes    []string
	audiences []string
	issued    time.Time
	expires   time.Time
}

// newRefresh gives the next refresh token of a grant. Called with mu held.
func (p *Provider) newRefresh(g *grant) string {
	value := rand.Text()
	p.refresh[value] = &refreshToken{grant: g, expires: p.cfg.Now().Add(p.cfg.RefreshTTL)}
	return value
}

// liveAccess returns what an access token stands for, if it still does.
func (p *Provider) liveAccess(token string) (accessToken, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.access[token]
	if !ok || a.grant.dead || !p.cfg.Now().Before(a.expires) {
		return accessToken{}, false
	}
	return *a, true
}

// liveRefresh returns what a refresh token stands for, if it still does.
func (p *Provider) liveRefresh(token string) (refreshToken, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.refresh[token]
	if !ok || t.grant.dead || !t.spent.IsZero() || !p.cfg.Now().Before(t.expires) {
		return refreshToken{}, false
	}
	return *t, true
}

// RevokeAll ends all grants: every refresh gets invalid_grant, and access tokens
// are good for nothing here.
func (p *Provider) RevokeAll() {
	p.revokeWhere(func(*grant) bool { return true })
}

// RevokeUser ends the grants of one user.
func (p *Provider) RevokeUser(subject string) {
	p.revokeWhere(func(g *grant) bool { return g.subject == subject })
}

// RevokeSession ends the grants of one session.
func (p *Provider) RevokeSession(sid string) {
	p.revokeWhere(func(g *grant) bool { return g.sid == sid })
}

func (p *Provider) revokeWhere(which func(*grant) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range p.grants {
		if which(g) {
			g.dead = true
		}
	}
	for _, c := range p.codes { // of which there may be no grant yet
		if which(c.grant) {
			c.grant.dead = true
		}
	}
}

// GrantAlive reports whether the grant that a refresh token belongs to lives,
// whether or not that token is spent. It is false for one that was never given.
func (p *Provider) GrantAlive(refreshToken string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.refresh[refreshToken]
	return ok && !t.grant.dead
}

// LiveGrants counts the grants of a user that live.
func (p *Provider) LiveGrants(subject string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for g := range p.grants {
		if g.subject == subject && !g.dead {
			n++
		}
	}
	return n
}

// sweep forgets what is over, once a minute at most. Called with mu held.
func (p *Provider) sweep(now time.Time) {
	if now.Sub(p.swept) < time.Minute && !p.swept.IsZero() {
		return
	}
	p.swept = now
	needed := map[*grant]bool{}
	for v, c := range p.codes {
		if now.After(c.expires.Add(rememberCode)) {
			delete(p.codes, v)
		} else {
			needed[c.grant] = true
		}
	}
	for v, t := range p.refresh {
		if now.After(t.expires) {
			delete(p.refresh, v)
		} else {
			needed[t.grant] = true
		}
	}
	for v, a := range p.access {
		if now.After(a.expires) {
			delete(p.access, v)
		} else {
			needed[a.grant] = true
		}
	}
	for g := range p.grants {
		if !needed[g] {
			delete(p.grants, g)
		}
	}
	for _, waiting := range []map[string]*request{p.requests, p.pushed} {
		for id, r := range waiting {
			if now.After(r.expires) {
				delete(waiting, id)
			}
		}
	}
	for id, until := range p.assertions {
		if now.After(until) {
			delete(p.assertions, id)
		}
	}
}
