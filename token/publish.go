package token

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Handlers are the issuer's public documents, by their path under the issuer:
// the key set (RFC 7517) and the metadata by which stock libraries find it
// (OpenID Connect Discovery 1.0 section 3).
func (i *Issuer) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"jwks.json":                        document("application/jwk-set+json", i.cfg.Keys.JWKS),
		".well-known/openid-configuration": document("application/json", i.metadata),
	}
}

// metadata says what is true: there are keys to verify with, and a page to
// sign in at. There is no token endpoint.
func (i *Issuer) metadata() []byte {
	b, err := json.Marshal(map[string]any{
		"issuer":                                i.cfg.Issuer,
		"jwks_uri":                              i.cfg.Issuer + "/jwks.json",
		"authorization_endpoint":                strings.TrimSuffix(i.cfg.Issuer, "/") + "/login",
		"response_types_supported":              []string{"none"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{ES256, RS256, EdDSA},
	})
	if err != nil { // strings alone cannot fail to encode
		return []byte("{}")
	}
	return b
}

// document serves a body, or says that there is none yet: who verifies asks again.
func document(kind string, body func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, b := w.Header(), body()
		if b == nil {
			h.Set("Retry-After", strconv.Itoa(int(lookAgain/time.Second)))
			h.Set("Cache-Control", "no-store")
			http.Error(w, "the keys are out of reach for the moment", http.StatusServiceUnavailable)
			return
		}
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*") // public by nature, and read by scripts that verify
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(b)
	})
}
