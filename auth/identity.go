package auth

import "strings"

// Identity is who somebody is, as the provider that signed them in says.
// The zero value is nobody. Its slices and map are never edited after the
// Identity is made: a renewal makes a new one.
type Identity struct {
	// Provider is the configured name of the provider, such as "local".
	Provider string
	// Subject is the provider's own stable name for the person (OIDC Core
	// section 2, "sub"). For a local user it is the user name.
	Subject string
	// User is the name that rules and upstreams know the person by. With more
	// than one provider it is "provider/name".
	User string
	// PreferredUsername is the short name the person goes by.
	PreferredUsername string
	// Name is the display name.
	Name string
	// Email is the mail address, or "".
	Email string
	// EmailVerified says that the provider vouches for Email. Rules that decide
	// by address pass no unverified one.
	EmailVerified bool
	// Groups are the groups the person is in.
	Groups []string
	// GroupsOmitted says that the provider left the groups out of its tokens
	// because there are too many (Entra's overage), so that Groups is not all.
	GroupsOmitted bool
	// GroupsUnread says that what the provider says of the groups is no list of names, in
	// part at least, so that Groups may not be all.
	GroupsUnread bool `json:",omitempty"`
	// GroupsOneText says that it is one text, which is a name here, and for others several.
	GroupsOneText bool `json:",omitempty"`
	// UserUnread and EmailUnread say that a claim that is to be User or Email is there and
	// is no text, so that they may not be what the provider means.
	UserUnread  bool `json:",omitempty"`
	EmailUnread bool `json:",omitempty"`
	// Claims are the provider's claims, for rules and pages. Its numbers are as PlainNumbers
	// has them.
	Claims map[string]any
}

// EmailDomain returns the lower-case domain of a plain mail address, or "" if
// the address is not exactly one local part, one "@" and one domain.
//
// Taking the part after the last "@" of anything longer let
// attacker@evil.example@company.example pass elsewhere (CVE-2026-40574).
func EmailDomain(email string) string {
	local, domain, ok := strings.Cut(email, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(domain, "@") {
		return ""
	}
	for _, r := range email {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`"(),:;<>[]\`, r) {
			return ""
		}
	}
	return strings.ToLower(domain)
}
