package idp

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// farewell is a sign-out request that is valid.
type farewell struct {
	client   string // "" where the request names none
	sid      string // of the hint
	returnTo string // "" shows a page
}

// serveEndSession signs the browser out (OIDC RP-Initiated Logout 1.0) and tells
// the other clients of its session. Nobody is asked whether that is meant.
func (p *Provider) serveEndSession(w http.ResponseWriter, r *http.Request) {
	if p.knobs.Load().NoEndSession {
		http.NotFound(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		writePage(w, http.StatusBadRequest, "message", message{Title: "This request cannot be answered", Text: "It is no form."})
		return
	}
	f := r.Form
	p.count(func(s *Stats) { s.LastEndSession = cloneValues(f) })
	bye, err := p.readFarewell(f)
	if err != nil {
		writePage(w, http.StatusBadRequest, "message", message{Title: "You are not signed out", Text: "The request says: " + err.Error() + "."})
		return
	}
	sid := bye.sid
	if s := p.session(r); s != nil {
		sid = s.sid
	}
	http.SetCookie(w, p.cookie("", -1))
	if sid != "" {
		// A client that cannot be told is signed out when its tokens end; the
		// browser need not hear of it.
		_ = p.endSessions(r.Context(), func(s *ssoSession) bool { return s.sid == sid }, bye.client, false)
	}
	if bye.returnTo == "" {
		writePage(w, http.StatusOK, "message", message{Title: "You are signed out", Text: "Your session here is over."})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, bye.returnTo, http.StatusSeeOther)
}

// readFarewell checks a sign-out request (section 2).
func (p *Provider) readFarewell(f url.Values) (*farewell, error) {
	if fault := single(f); fault != nil {
		return nil, errors.New(fault.description)
	}
	bye := &farewell{client: f.Get("client_id")}
	if hint := f.Get("id_token_hint"); hint != "" {
		// It may be expired: it says who, and not that they may.
		t, err := p.ownToken(hint)
		if err != nil || t.text("iss") != p.cfg.Issuer || len(t.audience()) == 0 {
			return nil, errors.New("id_token_hint is no ID token from here")
		}
		if bye.client == "" {
			bye.client = t.audience()[0]
		}
		if !slices.Contains(t.audience(), bye.client) {
			return nil, errors.New("id_token_hint is another client's")
		}
		bye.sid = t.text("sid")
	}
	client, known := p.Client(bye.client)
	if bye.client != "" && !known {
		return nil, errors.New("the client is not known")
	}
	to := f.Get("post_logout_redirect_uri")
	if to == "" {
		return bye, nil
	}
	if !known || !slices.Contains(client.PostLogoutRedirectURIs, to) {
		return nil, errors.New("post_logout_redirect_uri is not one of the client's")
	}
	if state := f.Get("state"); state != "" {
		separator := "?"
		if strings.Contains(to, "?") {
			separator = "&"
		}
		to += separator + url.Values{"state": {state}}.Encode()
	}
	bye.returnTo = to
	return bye, nil
}

// takeSessions removes the sessions that match, and returns them.
func (p *Provider) takeSessions(which func(*ssoSession) bool) []*ssoSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	var taken []*ssoSession
	for cookie, s := range p.sessions {
		if which(s) {
			delete(p.sessions, cookie)
			taken = append(taken, &ssoSession{sid: s.sid, subject: s.subject, clients: maps.Clone(s.clients)})
		}
	}
	return taken
}

// logoutTimeout bounds how long one client may take for a logout token.
const logoutTimeout = 5 * time.Second
