package idp

import (
	"crypto/rand"
	"crypto/subtle"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// cookieName is that of the provider's own session. Browsers send cookies to all
// ports of a host, so it is not a name that anybody else there would choose.
const cookieName = "idp_session"

// ssoSession is what makes a second sign-in go straight through.
type ssoSession struct {
	sid, subject string
	authTime     time.Time
	acr          string
	clients      map[string]bool // that signed in from it
}

// session returns a copy of the browser's session, or nil. Its user still exists.
func (p *Provider) session(r *http.Request) *ssoSession {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.sessions[c.Value]
	if !ok {
		return nil
	}
	if _, ok := p.users[s.subject]; !ok {
		return nil
	}
	copied := *s
	copied.clients = maps.Clone(s.clients)
	return &copied
}

// signInPage is what the form shows.
type signInPage struct {
	Client, Request, Username, Note string
	Wrong                           bool
}

// underWay returns the request that a form belongs to.
func (p *Provider) underWay(id string) *request {
	p.mu.Lock()
	defer p.mu.Unlock()
	req, ok := p.requests[id]
	if !ok || p.cfg.Now().After(req.expires) {
		return nil
	}
	return req
}

func (p *Provider) serveLoginPage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("request")
	req := p.underWay(id)
	if req == nil {
		stale(w)
		return
	}
	writePage(w, http.StatusOK, "login", signInPage{Client: req.client, Request: id, Username: req.loginHint, Note: p.cfg.Note})
}

func stale(w http.ResponseWriter) {
	writePage(w, http.StatusBadRequest, "message", message{Title: "This sign-in is over", Text: "Go back to where you came from and begin again."})
}

// serveLogin takes the password.
func (p *Provider) serveLogin(w http.ResponseWriter, r *http.Request) {
	// A page elsewhere must not sign anybody in as somebody of its choosing.
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		writePage(w, http.StatusForbidden, "message", message{Title: "Not from here", Text: "This form was sent by another site."})
		return
	}
	f, fault := form(r)
	if fault != nil {
		fault.write(w)
		return
	}
	id := f.Get("request")
	req := p.underWay(id)
	if req == nil {
		stale(w)
		return
	}
	user, ok := p.byPassword(f.Get("username"), f.Get("password"))
	if !ok {
		writePage(w, http.StatusUnauthorized, "login",
			signInPage{Client: req.client, Request: id, Username: f.Get("username"), Note: p.cfg.Note, Wrong: true})
		return
	}
	acr := defaultACR
	if len(req.acr) > 0 {
		acr = req.acr[0]
	}
	session, cookie := p.signIn(r, user, acr)
	p.mu.Lock()
	delete(p.requests, id)
	p.mu.Unlock()
	http.SetCookie(w, cookie)
	p.sendBack(w, r, p.knobs.Load(), req, url.Values{"code": {p.issueCode(req, session)}})
}

// byPassword finds a user. The time it takes tells nothing of how much matched.
func (p *Provider) byPassword(username, password string) (User, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.users {
		if u.Username == username {
			return u, subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) == 1
		}
	}
	return User{}, false
}

// signIn begins a session. The same user's old one goes on under a new cookie, so
// that one sign-out still ends all of it; somebody else's is over.
func (p *Provider) signIn(r *http.Request, u User, acr string) (*ssoSession, *http.Cookie) {
	s := &ssoSession{sid: rand.Text(), subject: u.Subject, authTime: p.cfg.Now(), acr: acr, clients: map[string]bool{}}
	value := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, err := r.Cookie(cookieName); err == nil {
		if old, ok := p.sessions[c.Value]; ok && old.subject == u.Subject {
			s.sid, s.clients = old.sid, old.clients
		}
		delete(p.sessions, c.Value)
	}
	p.sessions[value] = s
	copied := *s
	copied.clients = maps.Clone(s.clients)
	return &copied, p.cookie(value, 0)
}

func (p *Provider) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: p.base + "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(p.cfg.Issuer, "https:"),
	}
}

// issueCode gives a code for what a user of a session was asked for.
func (p *Provider) issueCode(req *request, s *ssoSession) string {
	now := p.cfg.Now()
	c := &code{
		grant: &grant{
			client: req.client, subject: s.subject, sid: s.sid, nonce: req.nonce, scopes: slices.Clone(req.scopes),
			resources: slices.Clone(req.resources), authTime: s.authTime, acr: s.acr,
		},
		redirectURI: req.redirectURI, challenge: req.challenge, jkt: req.jkt, offline: req.offline(), expires: now.Add(codeTTL),
	}
	value := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	p.codes[value] = c
	for _, live := range p.sessions {
		if live.sid == s.sid {
			live.clients[req.client] = true
		}
	}
	return value
}
