package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/evergate/evergate/auth"
)

// Begin implements auth.Redirector.
func (m *Method) Begin(ctx context.Context, f auth.Flow) (string, error) {
	md, err := m.metadata(ctx)
	if err != nil {
		return "", err
	}
	ask := m.request(f, md)
	if md.PAR != "" {
		if ask, err = m.push(ctx, ask, md); err != nil {
			return "", err
		}
	}
	to, err := url.Parse(md.Authorize)
	if err != nil {
		return "", m.outage(ctx, fmt.Errorf("authorization_endpoint: %w", err))
	}
	query := to.Query() // what is there stays (RFC 6749 section 3.1)
	for name, values := range ask {
		query[name] = values
	}
	to.RawQuery = query.Encode()
	return to.String(), nil
}

// request are the parameters of the authorization request. What Evergate sets is
// set last: no extra parameter takes its place.
func (m *Method) request(f auth.Flow, md *metadata) url.Values {
	q := url.Values{}
	if m.cfg.Kind == KindGoogle {
		q.Set("access_type", "offline") // Google's word for offline_access
		q.Set("prompt", "consent")      // and the only time it gives a refresh token
	}
	for name, value := range m.cfg.Extra {
		q.Set(name, value)
	}
	for name, value := range map[string]string{"prompt": m.cfg.Prompt, "login_hint": m.cfg.LoginHint,
		"acr_values": m.cfg.ACRValues, "ui_locales": m.cfg.UILocales} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Prompt != "" {
		q.Set("prompt", f.Prompt)
		q.Del("login_hint") // it would bring the same account back
	}
	if p := q.Get("prompt"); m.cfg.Kind == KindGoogle && p != "consent" && p != "none" {
		q.Set("prompt", "consent select_account") // it knows no login
	}
	if f.ACRValues != "" {
		q.Set("acr_values", f.ACRValues)
	}
	if m.cfg.MaxAge != nil {
		q.Set("max_age", strconv.Itoa(int(m.cfg.MaxAge.Seconds())))
	}
	if asked, err := strconv.Atoi(f.MaxAge); err == nil && (m.cfg.MaxAge == nil || float64(asked) < m.cfg.MaxAge.Seconds()) {
		q.Set("max_age", f.MaxAge)
	}
	if m.cfg.DPoP && f.Key != nil {
		q.Set("dpop_jkt", f.Key.Thumbprint()) // the code is of use with a proof of that key alone (RFC 9449 section 10)
	}
	if len(m.cfg.Resources) > 0 {
		q["resource"] = m.cfg.Resources
	}
	sum := sha256.Sum256([]byte(f.Verifier))
	for name, value := range map[string]string{
		"response_type": "code", "client_id": m.cfg.ClientID, "redirect_uri": f.RedirectURI, "scope": m.scopes(md),
		"state": f.State, "nonce": f.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	// query is the response_mode that code has by itself, and the others would
	// replace or give away what is above.
	for _, name := range []string{"response_mode", "request", "request_uri", "client_secret", "client_assertion", "code_verifier"} {
		q.Del(name)
	}
	return q
}

// push sends the request to the provider itself and returns what the browser
// takes there in its place (RFC 9126): it sees neither the parameters nor how
// long they are.
func (m *Method) push(ctx context.Context, ask url.Values, md *metadata) (url.Values, error) {
	a, err := m.post(ctx, md.PAR, ask, md)
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("pushed authorization request: %w", err))
	}
	if a.status != http.StatusCreated && a.status != http.StatusOK {
		err := m.refusal(ctx, a)
		if e, ok := err.(*Error); ok {
			return nil, &auth.Refused{Reason: "pushed authorization request: " + e.Error(), Code: orElse(e.Code, "invalid_request")}
		}
		return nil, err
	}
	var pushed struct {
		URI string `json:"request_uri"`
	}
	if err := a.decode(&pushed); err != nil || pushed.URI == "" {
		return nil, m.outage(ctx, fmt.Errorf("pushed authorization request: there is no request_uri in its answer"))
	}
	return url.Values{"client_id": {m.cfg.ClientID}, "request_uri": {pushed.URI}}, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func sha256Text(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
