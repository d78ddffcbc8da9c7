package idp

import (
	"errors"
	"net/http"

	"github.com/evergate/evergate/internal/dpop/dpopcheck"
)

// proven checks the proof that comes with r, if one does, and returns the thumbprint of its
// key (RFC 9449). Token is the access token that it is for, "" at the token endpoint. Each
// answer tells the nonce that is wanted in the next proof.
func (p *Provider) proven(w http.ResponseWriter, r *http.Request, k *Knobs, token, nonce string) (jkt string, fault *oauthError) {
	lines := r.Header["Dpop"]
	if len(lines) == 0 || k.NoDPoP {
		return "", nil
	}
	if nonce != "" {
		w.Header().Set("DPoP-Nonce", nonce)
	}
	if len(lines) > 1 {
		return "", refuse("invalid_dpop_proof", "there are several")
	}
	now := p.cfg.Now()
	proof, err := dpopcheck.Verify(lines[0], dpopcheck.Want{Method: r.Method, URL: p.url(r.URL.Path[len(p.base):]), Token: token, Nonce: nonce, Time: now})
	switch {
	case errors.Is(err, dpopcheck.ErrNonce):
		return "", refuse("use_dpop_nonce", err.Error())
	case err != nil:
		return "", refuse("invalid_dpop_proof", err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := "proof " + proof.ID
	if _, again := p.assertions[id]; again {
		p.stats.ProofsRepeated++
		return "", refuse("invalid_dpop_proof", "it came before")
	}
	p.assertions[id] = now.Add(proofAge)
	p.stats.Proofs++
	return proof.Thumbprint, nil
}

// proofAge is how long a proof is remembered, so that none is taken twice.
const proofAge = 2 * dpopcheck.MaxAge

// dpopError answers a request with an access token as RFC 9449 section 7.1 has it.
func dpopError(w http.ResponseWriter, e *oauthError) {
	w.Header().Set("WWW-Authenticate", `DPoP error="`+e.code+`", algs="ES256"`)
	refused := *e
	refused.status = http.StatusUnauthorized
	refused.write(w)
}
