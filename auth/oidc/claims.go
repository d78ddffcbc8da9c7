package oidc

import (
	"maps"
	"slices"
	"strings"

	"github.com/evergate/evergate/auth"
)

// identity makes of claims who somebody is.
func (m *Method) identity(claims map[string]any) auth.Identity {
	id := auth.Identity{
		Provider: m.cfg.Name, Subject: text(claims, "sub"),
		User:              m.cfg.Prefix + m.userName(claims),
		PreferredUsername: text(claims, "preferred_username"),
		Name:              m.first(claims, m.cfg.Claims.Name),
		Email:             m.first(claims, m.cfg.Claims.Email),
	}
	id.Claims, _ = auth.PlainNumbers(personal(claims)).(map[string]any)
	if id.User == m.cfg.Prefix {
		id.User += id.Subject
	}
	id.UserUnread = m.isUnread(claims, m.cfg.Claims.User)
	id.EmailUnread = id.Email == "" && m.isUnread(claims, m.cfg.Claims.Email)
	g := m.groups(claims)
	id.Groups, id.GroupsOneText, id.GroupsUnread = g.names, g.oneText, g.unread != ""
	id.EmailVerified = id.Email != "" && (m.cfg.TrustEmail || m.vouched(claims, id.Email))
	id.GroupsOmitted = groupsOmitted(claims)
	return id
}

// vouched reports whether the provider vouches for an address. Its word is about
// the claim "email" alone (OIDC Core section 5.1), wherever else addresses may be.
func (m *Method) vouched(claims map[string]any, address string) bool {
	return address == text(claims, "email") && isTrue(claims["email_verified"])
}

// userName is what rules and apps know the person by. An address that anybody may
// have typed in at the provider is nobody's name.
func (m *Method) userName(claims map[string]any) string {
	for _, path := range m.cfg.Claims.User {
		name, _ := auth.Claim(claims, path).(string)
		isAddress := path == "email" || slices.Contains(m.cfg.Claims.Email, path)
		if name != "" && (!isAddress || m.cfg.TrustEmail || m.vouched(claims, name)) {
			return name
		}
	}
	return ""
}

func (m *Method) first(claims map[string]any, paths []string) string {
	for _, path := range paths {
		if s, ok := auth.Claim(claims, path).(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// isUnread reports whether a claim is there and no text, before one that is.
func (m *Method) isUnread(claims map[string]any, paths []string) bool {
	for _, path := range paths {
		switch v := auth.Claim(claims, path).(type) {
		case nil:
			if auth.Unreachable(claims, path) != "" {
				return true
			}
		case string:
			if v != "" {
				return false
			}
		default:
			return true
		}
	}
	return false
}

// isTrue also takes the text "true", which some providers write.
func isTrue(v any) bool { return v == true || v == "true" }

// groupsOmitted reports Entra's overage: more groups than go into a token, and a
// pointer to where they could be asked for.
func groupsOmitted(claims map[string]any) bool {
	if claims["groups"] != nil {
		return false
	}
	if isTrue(claims["hasgroups"]) {
		return true
	}
	names, _ := claims["_claim_names"].(map[string]any)
	_, there := names["groups"]
	return there
}

// with returns the claims of an ID token with those of userinfo added. What the
// ID token says stands: it is signed.
func with(claims, more map[string]any) map[string]any {
	out := make(map[string]any, len(claims)+len(more))
	maps.Copy(out, more)
	if email, named := claims["email"]; named && email != more["email"] {
		delete(out, "email_verified") // that was said of another address
	}
	for name, v := range claims {
		// Null says nothing; but what is said of an address is said of the one beside it.
		if _, said := more[name]; v != nil || !said || name == "email" {
			out[name] = v
		}
	}
	return out
}

// protocolClaims are about a token and not about a person.
var protocolClaims = []string{"iss", "aud", "exp", "iat", "nbf", "nonce", "azp", "jti", "at_hash", "c_hash", "s_hash", "sid", "auth_time"}

// personal leaves the claims about the person.
func personal(claims map[string]any) map[string]any {
	out := maps.Clone(claims)
	for _, name := range protocolClaims {
		delete(out, name)
	}
	return out
}

// renewedClaims are those of a renewal. A renewed ID token may say less than the
// first: what it leaves out is as it was. Groups are not, for leaving them out is
// how some providers say that there are none left, and an address is as verified
// as whoever names it says.
func (m *Method) renewedClaims(old, fresh map[string]any) map[string]any {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	for _, path := range m.cfg.Claims.Groups {
		name, _, _ := strings.Cut(path, ".")
		delete(out, path)
		delete(out, name)
	}
	delete(out, "hasgroups")
	delete(out, "_claim_names")
	if _, named := fresh["email"]; named {
		delete(out, "email_verified")
	}
	maps.Copy(out, fresh)
	return out
}
