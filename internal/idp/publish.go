package idp

import (
	"encoding/json"
	"net/http"
)

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := p.cfg.Issuer
	md := map[string]any{
		"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token", "jwks_uri": at + "/jwks",
		"userinfo_endpoint": at + "/userinfo", "revocation_endpoint": at + "/revoke", "end_session_endpoint": at + "/end_session",
		"pushed_authorization_request_endpoint": at + "/par",
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"response_types_supported":              []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported": []string{"authorization_code", "refresh_token"}, "subject_types_supported": []string{"public"},
		"code_challenge_methods_supported":                 []string{"S256"},
		"id_token_signing_alg_values_supported":            []string{"RS256"},
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "PS256", "ES256", "EdDSA"},
		"authorization_response_iss_parameter_supported":   true,
		"backchannel_logout_supported":                     true, "backchannel_logout_session_supported": true,
	}
	k := p.now()
	if k.Metadata != nil {
		k.Metadata(md)
	}
	p.count(func(s *Stats) { s.Discoveries++ })
	writeJSON(w, http.StatusOK, md)
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	p.count(func(s *Stats) { s.KeyFetches++ })
	k := p.now()
	if k.KeysStatus != 0 {
		w.WriteHeader(k.KeysStatus)
		return
	}
	set := p.published()
	if k.Keys != nil {
		k.Keys(set)
	}
	writeJSON(w, http.StatusOK, set)
}
