package oidc

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/evergate/evergate/internal/dpop"
)

// keyFor is the key that a grant is to be bound to: had, a new one where there was none, and
// nil where the configuration asks for none.
func (m *Method) keyFor(had *dpop.Key) (*dpop.Key, error) {
	switch {
	case !m.cfg.DPoP:
		return nil, nil
	case had != nil:
		return had, nil
	}
	return dpop.NewKey()
}

// What a provider wants in proofs it wants at its token endpoint, or where it is a resource
// server; it need not be the same there (RFC 9449 section 9).
const (
	forGrants   = "grants "
	forUserinfo = "userinfo "
)

// prove makes a proof of key for one request, with the nonce that the provider last wanted.
func (m *Method) prove(key *dpop.Key, method, address, token, where string) (proof, nonce string, err error) {
	nonce = m.nonces.For(where + origin(address))
	proof, err = key.Prove(dpop.Request{Method: method, URL: address, Token: token, Nonce: nonce, Time: m.cfg.Now()})
	return proof, nonce, err
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Scheme + "://" + u.Host
}

// postProven is post with a proof of key, unless that is nil.
//
// A code or a refresh token that is good once must not be sent twice, and is where a provider
// wants a nonce: it says so by 400 use_dpop_nonce, before it has looked at the grant (RFC 9449
// section 8), and says which. Whatever else it answers was an answer to the grant, and so is a
// second challenge. The second request is another in all that is good once: the proof, and the
// assertion of the client.
func (m *Method) postProven(ctx context.Context, address string, form url.Values, md *metadata, key *dpop.Key) (*answer, error) {
	if key == nil {
		return m.post(ctx, address, form, md)
	}
	for challenged := false; ; challenged = true {
		proof, sent, err := m.prove(key, http.MethodPost, address, "", forGrants)
		if err != nil {
			return nil, err
		}
		a, err := m.postWith(ctx, address, form, md, proof)
		if err != nil {
			return nil, err
		}
		m.nonces.Learn(forGrants+origin(address), a.header)
		if challenged || !a.wantsNonce(sent) {
			return a, nil
		}
	}
}

// wantsNonce reports whether a token endpoint did not look at a grant, because its proof
// lacked a nonce that it now tells.
func (a *answer) wantsNonce(sent string) bool {
	var body struct {
		Code string `json:"error"`
	}
	nonce := dpop.NonceOf(a.header)
	return a.status == http.StatusBadRequest && nonce != "" && nonce != sent && a.decode(&body) == nil && body.Code == dpop.NonceWanted
}

// getWith asks for what an access token opens: as its bearer, or with a proof. To read is
// no harm, so whoever is told another nonce reads once more.
func (m *Method) getWith(ctx context.Context, address string, t *tokens) (*answer, error) {
	for challenged := false; ; challenged = true {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		if t.key == nil {
			req.Header.Set("Authorization", "Bearer "+t.AccessToken)
			return m.call(ctx, req)
		}
		proof, sent, err := m.prove(t.key, http.MethodGet, address, t.AccessToken, forUserinfo)
		if err != nil {
			return nil, fmt.Errorf("ask %s: %w", origin(address), err)
		}
		req.Header.Set("Authorization", "DPoP "+t.AccessToken)
		req.Header[dpop.Header] = []string{proof}
		a, err := m.call(ctx, req)
		if err != nil {
			return nil, err
		}
		m.nonces.Learn(forUserinfo+origin(address), a.header)
		if nonce := dpop.NonceOf(a.header); challenged || a.status != http.StatusUnauthorized || nonce == "" || nonce == sent {
			return a, nil
		}
	}
}
