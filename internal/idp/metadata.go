package idp

import (
	"encoding/json"
	"net/http"
)

func (p *Provider) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	k := p.knobs.Load()
	if k.DiscoveryStatus != 0 {
		bare(w, k, k.DiscoveryStatus)
		return
	}
	m := p.metadata(k)
	if k.MutateMetadata != nil {
		k.MutateMetadata(m)
	}
	publish(w, k, m, nil)
}

// metadata is what the provider says of itself (OIDC Discovery section 3).
func (p *Provider) metadata(k *Knobs) map[string]any {
	authMethods := []string{ClientSecretBasic, ClientSecretPost, PrivateKeyJWT}
	authAlgs := []string{"RS256", "PS256", "ES256", "EdDSA"}
	m := map[string]any{
		"issuer":                           p.cfg.Issuer,
		"authorization_endpoint":           p.url("/authorize"),
		"token_endpoint":                   p.url("/token"),
		"jwks_uri":                         p.url("/jwks"),
		"userinfo_endpoint":                p.url("/userinfo"),
		"scopes_supported":                 p.cfg.Scopes,
		"response_types_supported":         []string{"code"},
		"response_modes_supported":         []string{"query"},
		"grant_types_supported":            []string{"authorization_code", "refresh_token", tokenExchange},
		"subject_types_supported":          []string{"public"},
		"acr_values_supported":             []string{defaultACR},
		"prompt_values_supported":          []string{"none", "login", "select_account", "consent"},
		"code_challenge_methods_supported": []string{"S256"},
		"claims_supported": []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid", "azp", "acr", "amr",
			"name", "preferred_username", "email", "email_verified", "groups"},
		"authorization_response_iss_parameter_supported":   true,
		"claims_parameter_supported":                       false,
		"request_parameter_supported":                      false,
		"request_uri_parameter_supported":                  false,
		"id_token_signing_alg_values_supported":            []string{p.cfg.SigningAlg},
		"userinfo_signing_alg_values_supported":            []string{p.cfg.SigningAlg},
		"token_endpoint_auth_methods_supported":            authMethods,
		"token_endpoint_auth_signing_alg_values_supported": authAlgs,
		"backchannel_logout_supported":                     true,
		"backchannel_logout_session_supported":             true,
	}
	if !k.NoDPoP {
		m["dpop_signing_alg_values_supported"] = []string{"ES256"}
	}
	if !k.NoPAR {
		m["pushed_authorization_request_endpoint"] = p.url("/par")
	}
	if !k.NoEndSession {
		m["end_session_endpoint"] = p.url("/logout")
	}
	for name, path := range map[string]string{"revocation_endpoint": "/revoke", "introspection_endpoint": "/introspect"} {
		if k.NoRevocation && path == "/revoke" || k.NoIntrospection && path == "/introspect" {
			continue
		}
		m[name] = p.url(path)
		m[name+"_auth_methods_supported"] = authMethods
		m[name+"_auth_signing_alg_values_supported"] = authAlgs
	}
	return m
}

func (p *Provider) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	k := p.knobs.Load()
	if k.JWKSStatus != 0 {
		bare(w, k, k.JWKSStatus)
		return
	}
	p.mu.Lock()
	keys := []any{}
	for _, key := range p.published {
		keys = append(keys, PublicJWK(key.id, key.alg, key.private.Public()))
	}
	p.mu.Unlock()
	set := map[string]any{"keys": keys}
	if k.MutateJWKS != nil {
		k.MutateJWKS(set)
	}
	publish(w, k, set, k.RewriteJWKS)
}

// publish writes a document that clients may keep for a while.
func publish(w http.ResponseWriter, k *Knobs, document map[string]any, rewrite func([]byte) []byte) {
	caching := k.CacheControl
	if caching == "" {
		caching = "max-age=300"
	}
	w.Header().Set("Cache-Control", caching)
	if rewrite == nil {
		writeJSON(w, http.StatusOK, document)
		return
	}
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(rewrite(body))
}
