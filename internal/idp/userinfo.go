package idp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// serveUserinfo tells the claims that an access token is for (OIDC Core section
// 5.3). The token is taken from the header alone.
func (p *Provider) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	k := p.knobs.Load()
	if k.UserinfoStatus != 0 {
		bare(w, k, k.UserinfoStatus)
		return
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	jkt := ""
	if strings.EqualFold(scheme, "DPoP") {
		var fault *oauthError
		if jkt, fault = p.proven(w, r, k, token, k.UserinfoNonce); fault != nil {
			dpopError(w, fault)
			return
		}
	}
	if !strings.EqualFold(scheme, "Bearer") && jkt == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="idp"`)
		http.Error(w, "an access token is needed", http.StatusUnauthorized)
		return
	}
	a, ok := p.liveAccess(token)
	user, known := p.User(subjectOf(a))
	if !ok || !known || a.jkt != jkt { // a bound token is no Bearer token (RFC 9449 section 7.2)
		bearerError(w, &oauthError{status: http.StatusUnauthorized, code: "invalid_token"})
		return
	}
	if !slices.Contains(a.scopes, "openid") {
		bearerError(w, &oauthError{status: http.StatusForbidden, code: "insufficient_scope"})
		return
	}
	claims := claimsOf(user, a.scopes)
	claims["sub"] = user.Subject
	maps.Copy(claims, k.UserinfoClaims)
	for name, value := range k.UserinfoClaims {
		if value == nil {
			delete(claims, name)
		}
	}
	if !k.SignedUserinfo && k.SignUserinfo == nil {
		writeJSON(w, http.StatusOK, claims)
		return
	}
	// A claim that was replaced stays so, were it one of these.
	for name, value := range map[string]any{"iss": p.cfg.Issuer, "aud": a.grant.client} {
		if _, set := k.UserinfoClaims[name]; !set {
			claims[name] = value
		}
	}
	signed, err := p.sign("JWT", claims, nil, k.SignUserinfo)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(signed))
}

func subjectOf(a accessToken) string {
	if a.grant == nil {
		return ""
	}
	return a.grant.subject
}

// bearerError answers as RFC 6750 section 3 has it.
func bearerError(w http.ResponseWriter, e *oauthError) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="idp", error="`+e.code+`"`)
	e.write(w)
}
