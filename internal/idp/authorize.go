package idp

import (
	"crypto/rand"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"
)

//go:embed login.html control.html
var pages embed.FS

var loginPage = template.Must(template.ParseFS(pages, "login.html"))

const cookieName = "idp-session"

// parameters are those of an authorization request, pushed or not.
func (p *Provider) parameters(q url.Values) url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	if uri := q.Get("request_uri"); uri != "" {
		pushed := p.pushed[uri]
		if pushed.Get("client_id") != q.Get("client_id") {
			return nil
		}
		return pushed
	}
	return q
}

func (p *Provider) push(w http.ResponseWriter, r *http.Request) {
	c := p.authenticated(w, r)
	if c == nil {
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	form := url.Values{}
	for name, values := range r.PostForm {
		if name != "client_secret" && name != "client_assertion" && name != "client_assertion_type" {
			form[name] = values
		}
	}
	form.Set("client_id", c.ID)
	p.mu.Lock()
	p.pushed[uri] = form
	p.stats.Pushed++
	p.mu.Unlock()
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": 60})
}

// authorize shows the form, or goes straight on where the browser is signed in.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := p.parameters(r.URL.Query())
	c := p.client(q.Get("client_id"))
	if c == nil || !slices.Contains(c.RedirectURIs, q.Get("redirect_uri")) {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}
	p.count(func(s *Stats) { s.Authorizations++; s.LastAuthorize = q })
	k := p.now()
	switch {
	case k.AuthorizeError != "":
		p.back(w, r, q, url.Values{"error": {k.AuthorizeError}, "error_description": {"<b>turned by a knob</b>"}})
		return
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("state") == "":
		p.back(w, r, q, url.Values{"error": {"invalid_request"}})
		return
	}
	if s := p.session(r); s != nil && q.Get("prompt") != "login" && q.Get("prompt") != "select_account" {
		p.approve(w, r, q, c, s)
		return
	}
	p.form(w, r.URL.RawQuery, c.ID, "")
}

func (p *Provider) form(w http.ResponseWriter, query, client, fault string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if fault != "" {
		w.WriteHeader(http.StatusUnauthorized)
	}
	_ = loginPage.Execute(w, map[string]string{"Action": p.base.Path + "/login?" + query, "Client": client, "Fault": fault})
}

// login takes the form.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	q := p.parameters(r.URL.Query())
	c := p.client(q.Get("client_id"))
	if r.Method != http.MethodPost || c == nil || !slices.Contains(c.RedirectURIs, q.Get("redirect_uri")) || r.ParseForm() != nil {
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	u := p.user(func(u *User) bool {
		return u.Username == r.PostForm.Get("username") && u.Password == r.PostForm.Get("password")
	})
	p.mu.Unlock()
	if u == nil {
		p.form(w, r.URL.RawQuery, c.ID, "That user and password do not match.")
		return
	}
	s := &session{sid: rand.Text(), subject: u.Subject, authTime: p.cfg.Now(), clients: map[*Client]bool{}}
	id := rand.Text()
	p.mu.Lock()
	p.sessions[id] = s
	p.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	p.approve(w, r, q, c, s)
}

func (p *Provider) session(r *http.Request) *session {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[c.Value]
}

// approve gives a code.
func (p *Provider) approve(w http.ResponseWriter, r *http.Request, q url.Values, c *Client, s *session) {
	id := rand.Text()
	p.mu.Lock()
	s.clients[c] = true
	g := &grant{client: c, subject: s.subject, sid: s.sid, scope: q.Get("scope"), nonce: q.Get("nonce"), authTime: s.authTime}
	p.grants = append(p.grants, g)
	p.codes[id] = &code{grant: g, redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), until: p.cfg.Now().Add(time.Minute)}
	p.mu.Unlock()
	p.back(w, r, q, url.Values{"code": {id}})
}

// back sends the browser back to the client.
func (p *Provider) back(w http.ResponseWriter, r *http.Request, q, answer url.Values) {
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "bad redirect_uri", http.StatusBadRequest)
		return
	}
	answer.Set("state", q.Get("state"))
	switch iss := p.now().Iss; iss {
	case "":
		answer.Set("iss", p.cfg.Issuer)
	case "none":
	default:
		answer.Set("iss", iss)
	}
	to.RawQuery = answer.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}
