package idp

import (
	"crypto"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxAssertion is how far in the future an assertion may expire.
	maxAssertion = 10 * time.Minute
	// leeway is allowed to the clocks of clients.
	leeway = time.Minute
)

func invalidClient(description string) *oauthError {
	return &oauthError{status: http.StatusUnauthorized, code: "invalid_client", description: description}
}

// authenticate returns the client that sent a form, if it authenticated in the
// one way that it is registered for. methods are all the ways that it used.
func (p *Provider) authenticate(r *http.Request, f url.Values) (client Client, methods []string, fault *oauthError) {
	id, secret := f.Get("client_id"), f.Get("client_secret")
	if name, password, ok := r.BasicAuth(); ok {
		methods = append(methods, ClientSecretBasic)
		// Both halves are form-encoded first (RFC 6749 section 2.3.1).
		name, err1 := url.QueryUnescape(name)
		password, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil || id != "" && id != name {
			return Client{}, methods, invalidClient("the credentials in the header are not those of client_id")
		}
		id, secret = name, password
	}
	if f.Has("client_secret") {
		methods = append(methods, ClientSecretPost)
	}
	var assertion *jwt
	if f.Has("client_assertion") || f.Has("client_assertion_type") {
		methods = append(methods, PrivateKeyJWT)
		t, err := parse(f.Get("client_assertion"))
		if err != nil || f.Get("client_assertion_type") != assertionType {
			return Client{}, methods, invalidClient("that is no client assertion")
		}
		if assertion = t; id == "" {
			id = t.text("sub")
		}
	}
	if len(methods) > 1 {
		return Client{}, methods, refuse("invalid_request", "more than one way of client authentication")
	}
	client, ok := p.Client(id)
	switch {
	case !ok:
		return Client{}, methods, invalidClient("the client is not known")
	case len(methods) == 0 || methods[0] != client.Auth:
		return Client{}, methods, invalidClient("the client is registered for " + client.Auth)
	case assertion != nil:
		if err := p.checkAssertion(r, client, assertion); err != nil {
			return Client{}, methods, invalidClient("client assertion: " + err.Error())
		}
	case subtle.ConstantTimeCompare([]byte(secret), []byte(client.Secret)) != 1:
		return Client{}, methods, invalidClient("the secret is wrong")
	}
	return client, methods, nil
}

// checkAssertion checks a client assertion (RFC 7523 section 3).
func (p *Provider) checkAssertion(r *http.Request, c Client, t *jwt) error {
	kid, _ := t.header["kid"].(string)
	public, err := p.clientKey(r, c, kid)
	if err != nil {
		return err
	}
	if err := t.verify(public, c.AuthAlg); err != nil {
		return err
	}
	now := p.cfg.Now()
	exp, ok := t.claims["exp"].(float64)
	expires := time.Unix(int64(exp), 0)
	aud := t.audience()
	switch {
	case t.text("iss") != c.ID || t.text("sub") != c.ID:
		return errors.New("iss and sub have to be the client id")
	case !slices.Contains(aud, p.cfg.Issuer) && !slices.Contains(aud, p.url("/token")):
		return errors.New("aud has to be the issuer or the token endpoint")
	case !ok || !now.Before(expires.Add(leeway)):
		return errors.New("it is expired")
	case expires.After(now.Add(maxAssertion)):
		return errors.New("it is good for too long")
	case t.text("jti") == "":
		return errors.New("jti is missing")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := c.ID + " " + t.text("jti")
	if _, seen := p.assertions[id]; seen {
		return errors.New("it was used before")
	}
	p.assertions[id] = expires.Add(leeway)
	return nil
}

// clientKey finds the key of an assertion. One that names none is for the only
// key there is.
func (p *Provider) clientKey(r *http.Request, c Client, kid string) (crypto.PublicKey, error) {
	keys := c.Keys
	if _, ok := keys[kid]; !ok && c.JWKSURI != "" {
		var err error
		if keys, err = p.fetchKeys(r, c.JWKSURI); err != nil {
			return nil, err
		}
	}
	if key, ok := keys[kid]; ok {
		return key, nil
	}
	if kid == "" && len(keys) == 1 {
		for _, key := range keys {
			return key, nil
		}
	}
	return nil, errors.New("the key is not known")
}

func (p *Provider) fetchKeys(r *http.Request, uri string) (map[string]crypto.PublicKey, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, uri, nil)
	if err != nil {
		return nil, err
	}
	res, err := p.cfg.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxForm))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK || !json.Valid(text) {
		return nil, errors.New("the keys of the client cannot be fetched")
	}
	return readJWKS(text)
}
