package idp

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// pushedTTL is how long a pushed request waits for its browser.
	pushedTTL = time.Minute
	// signInTTL is how long somebody may take to type a password.
	signInTTL = 10 * time.Minute
	// defaultACR is the acr of a sign-in for which no other was asked.
	defaultACR = "1"
)

// request is an authorization request that is valid (OIDC Core section 3.1.2.1).
type request struct {
	client, redirectURI     string
	state, nonce, challenge string
	jkt                     string // of the key that the code is bound to; "" is none
	scopes, resources       []string
	loginHint               string
	prompt, acr             []string
	maxAge                  time.Duration // negative means any
	expires                 time.Time
	form                    url.Values
}

func (r *request) offline() bool { return slices.Contains(r.scopes, "offline_access") }

// serveAuthorize takes a request, its own or one that was pushed.
func (p *Provider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	k := p.knobs.Load()
	query := r.URL.Query()
	req, back, fault := p.readAuthorize(query)
	if fault != nil {
		if back == nil {
			writePage(w, http.StatusBadRequest, "message", message{Title: "This request cannot be answered", Text: fault.code + ": " + fault.description})
			return
		}
		p.sendBack(w, r, k, back, url.Values{"error": {fault.code}, "error_description": {fault.description}})
		return
	}
	p.count(func(s *Stats) { s.LastAuthorize, s.LastAuthorizeQuery = req.form, query })
	if k.RefuseAuthorize != "" {
		p.sendBack(w, r, k, req, url.Values{"error": {k.RefuseAuthorize}})
		return
	}
	session := p.session(r)
	if session != nil && p.goesThrough(req, session) {
		p.sendBack(w, r, k, req, url.Values{"code": {p.issueCode(req, session)}})
		return
	}
	if slices.Contains(req.prompt, "none") {
		p.sendBack(w, r, k, req, url.Values{"error": {"login_required"}})
		return
	}
	// The form has an address of its own, so that it can be loaded again after a
	// pushed request is used up.
	id := rand.Text()
	p.mu.Lock()
	req.expires = p.cfg.Now().Add(signInTTL)
	p.requests[id] = req
	p.mu.Unlock()
	http.Redirect(w, r, p.url("/login?request="+id), http.StatusSeeOther)
}

// goesThrough reports whether a session is good enough without a new sign-in.
func (p *Provider) goesThrough(req *request, s *ssoSession) bool {
	switch {
	case slices.Contains(req.prompt, "login"), slices.Contains(req.prompt, "select_account"):
		return false
	case req.maxAge >= 0 && (req.maxAge == 0 || p.cfg.Now().Sub(s.authTime) > req.maxAge):
		return false
	}
	return len(req.acr) == 0 || slices.Contains(req.acr, s.acr)
}

// readAuthorize returns the request that a query stands for. With a fault, back
// says where to send it, and nil means nowhere: the redirect URI is not one to
// believe (RFC 6749 section 4.1.2.1).
func (p *Provider) readAuthorize(query url.Values) (req, back *request, fault *oauthError) {
	uri := query.Get("request_uri")
	if uri == "" {
		return p.readRequest(query)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	req, ok := p.pushed[uri]
	if !ok || len(query["request_uri"]) > 1 || query.Get("client_id") != req.client || p.cfg.Now().After(req.expires) {
		return nil, nil, refuse("invalid_request_uri", "no such request was pushed by this client, or it is used up")
	}
	delete(p.pushed, uri)
	return req, nil, nil
}

// readRequest checks the parameters of an authorization request.
func (p *Provider) readRequest(f url.Values) (req, back *request, fault *oauthError) {
	client, ok := p.Client(f.Get("client_id"))
	redirect := f.Get("redirect_uri")
	switch {
	case !ok || len(f["client_id"]) > 1:
		return nil, nil, refuse("invalid_request", "the client is not known")
	case len(f["redirect_uri"]) > 1 || !slices.Contains(client.RedirectURIs, redirect):
		return nil, nil, refuse("invalid_request", "the redirect_uri is not one of the client's")
	}
	req = &request{
		client: client.ID, redirectURI: redirect, state: f.Get("state"), nonce: f.Get("nonce"), challenge: f.Get("code_challenge"), jkt: f.Get("dpop_jkt"),
		scopes: strings.Fields(f.Get("scope")), resources: f["resource"], loginHint: f.Get("login_hint"),
		prompt: strings.Fields(f.Get("prompt")), acr: strings.Fields(f.Get("acr_values")), maxAge: -1, form: cloneValues(f),
	}
	if fault := single(f); fault != nil {
		return nil, req, fault
	}
	if text, there := f["max_age"]; there {
		seconds, err := strconv.ParseUint(text[0], 10, 31)
		if err != nil {
			return nil, req, refuse("invalid_request", "max_age is no number of seconds")
		}
		req.maxAge = time.Duration(seconds) * time.Second
	}
	openid := slices.Contains(req.scopes, "openid")
	switch {
	case f.Has("request"):
		fault = refuse("request_not_supported", "")
	case f.Get("response_type") != "code":
		fault = refuse("unsupported_response_type", "only code is given")
	case f.Has("response_mode") && f.Get("response_mode") != "query":
		fault = refuse("invalid_request", "only the response mode query is there")
	case f.Get("code_challenge_method") != "S256" || len(req.challenge) != 43:
		fault = refuse("invalid_request", "PKCE with S256 is required")
	case req.state == "":
		fault = refuse("invalid_request", "state is required")
	case openid && req.nonce == "":
		fault = refuse("invalid_request", "nonce is required")
	case len(req.scopes) == 0 || !subset(req.scopes, p.cfg.Scopes):
		fault = refuse("invalid_scope", "a scope is not known, or there is none")
	case !subset(req.prompt, []string{"none", "login", "select_account", "consent"}):
		fault = refuse("invalid_request", "prompt has a value that is not known")
	case slices.Contains(req.prompt, "none") && len(req.prompt) > 1:
		fault = refuse("invalid_request", "prompt=none goes with no other")
	case slices.ContainsFunc(req.resources, badResource):
		fault = refuse("invalid_target", "a resource is an absolute URI without fragment")
	}
	if fault != nil {
		return nil, req, fault
	}
	return req, nil, nil
}

// badResource is for RFC 8707 section 2.
func badResource(s string) bool {
	u, err := url.Parse(s)
	return err != nil || !u.IsAbs() || strings.Contains(s, "#")
}

// sendBack returns the browser to the client.
func (p *Provider) sendBack(w http.ResponseWriter, r *http.Request, k *Knobs, req *request, answer url.Values) {
	if answer.Get("error_description") == "" {
		answer.Del("error_description")
	}
	if req.state != "" {
		answer.Set("state", req.state)
	}
	switch {
	case k.OmitIss:
	case k.WrongIss != "":
		answer.Set("iss", k.WrongIss)
	default:
		answer.Set("iss", p.cfg.Issuer) // RFC 9207
	}
	if k.MutateCallback != nil {
		k.MutateCallback(answer)
	}
	separator := "?"
	if strings.Contains(req.redirectURI, "?") {
		separator = "&"
	}
	w.Header().Set("Cache-Control", "no-store")
	// See Other: a password that was just posted must not be sent on (RFC 9700
	// section 4.12).
	http.Redirect(w, r, req.redirectURI+separator+answer.Encode(), http.StatusSeeOther)
}

// servePAR keeps a request for the browser that will name it (RFC 9126).
func (p *Provider) servePAR(w http.ResponseWriter, r *http.Request) {
	k := p.knobs.Load()
	if k.NoPAR {
		http.NotFound(w, r)
		return
	}
	if k.PARStatus != 0 {
		bare(w, k, k.PARStatus)
		return
	}
	f, fault := form(r)
	if fault != nil {
		fault.write(w)
		return
	}
	client, _, fault := p.authenticate(r, f)
	if fault != nil {
		fault.write(w)
		return
	}
	p.count(func(s *Stats) { s.LastPAR = cloneValues(f) })
	ask := cloneValues(f)
	for _, secret := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		ask.Del(secret)
	}
	switch named := ask.Get("client_id"); {
	case ask.Has("request_uri"):
		fault = refuse("invalid_request", "a pushed request cannot name another one")
	case named != "" && named != client.ID:
		fault = refuse("invalid_request", "the client_id is another client's")
	}
	if fault != nil {
		fault.write(w)
		return
	}
	ask.Set("client_id", client.ID)
	req, _, fault := p.readRequest(ask)
	if fault != nil {
		fault.write(w)
		return
	}
	uri := "urn:ietf:params:oauth:request_uri:" + rand.Text()
	p.mu.Lock()
	req.expires = p.cfg.Now().Add(pushedTTL)
	p.pushed[uri] = req
	p.mu.Unlock()
	writeJSON(w, http.StatusCreated, map[string]any{"request_uri": uri, "expires_in": int(pushedTTL.Seconds())})
}
