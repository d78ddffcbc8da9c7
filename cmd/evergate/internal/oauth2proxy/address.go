package oauth2proxy

import (
	"slices"
	"strings"
)

// who are conditions of one entry that go with each condition about groups.
type who struct {
	claims []string // of the mapping under claims
	lines  []string // keys of their own
}

// addressed is what oauth2-proxy demands of everybody's address where email_domains is "*":
// that there is one, and that the provider does not say that it is unverified. Evergate asks
// for neither by itself, since it knows people by their subject.
func (x *importer) addressed() (w who, why string) {
	provider := strings.ToLower(x.text("provider"))
	email := "email"
	for _, flag := range []string{"user-id-claim", "oidc-email-claim"} {
		if s := x.get(flag); s != nil && claim.MatchString(s.values[0]) && x.namesEmail() {
			email = s.values[0]
		}
	}
	// Those two take another name of the directory, which everybody there has.
	if provider != "azure" && provider != "adfs" {
		w.claims = append(w.claims, scalar(email)+`: { glob: "?*" }`)
		why = "oauth2-proxy lets nobody in without an address"
	}
	switch {
	case email != "email", x.trustsEmail():
		// oauth2-proxy does not ask whether it is verified.
	case x.mayOmitVerified():
		w.lines = append(w.lines, `when: identity.claims.email_verified in [nil, true, "true"]`)
		why = also(why, "nobody whose address the provider calls unverified; one of which it says nothing counts")
	default:
		w.claims = append(w.claims, "email_verified: true")
		why = also(why, "nobody whose address is not verified")
	}
	if why != "" && x.is("skip-jwt-bearer-tokens", false) {
		why += ". It is asked of tokens of API clients too: make an entry of its own for those that name no address"
	}
	return w, why
}

func also(why, more string) string {
	if why == "" {
		return "oauth2-proxy lets " + more + " in"
	}
	return why + ", and " + more
}

// namesEmail reports whether the provider of oauth2-proxy reads the address from the claim
// that its options name.
func (x *importer) namesEmail() bool {
	return !slices.Contains([]string{"", "google", "gitlab", "login.gov"}, strings.ToLower(x.text("provider")))
}

// trustsEmail reports whether addresses count that are not verified. Two providers of
// oauth2-proxy never take one.
func (x *importer) trustsEmail() bool {
	return x.is("insecure-oidc-allow-unverified-email", false) && !slices.Contains([]string{"", "google", "login.gov"}, strings.ToLower(x.text("provider")))
}

// mayOmitVerified reports whether email_verified may be missing: where oauth2-proxy takes
// that for a yes, and Evergate looks for it wherever oauth2-proxy does. Keycloak, Dex, Auth0
// and Google say it in each ID token, so that it is demanded there.
func (x *importer) mayOmitVerified() bool {
	switch strings.ToLower(x.text("provider")) {
	case "oidc", "adfs", "cidaas", "azure", "entra-id", "keycloak", "keycloak-oidc":
		return x.kind == "entra" || x.asksUserinfo() || x.is("skip-claims-from-profile-url", false)
	}
	return false
}

// asksUserinfo reports whether claims are looked for at the provider's userinfo endpoint.
func (x *importer) asksUserinfo() bool {
	if x.is("skip-claims-from-profile-url", false) {
		return false
	}
	return x.get("profile-url") != nil || x.get("skip-claims-from-profile-url") != nil || x.userinfoByItself()
}

// userinfoByItself is for providers whose ID tokens may say too little.
func (x *importer) userinfoByItself() bool {
	return slices.Contains([]string{"gitlab", "generic", "okta"}, x.kind)
}

// entriesOf makes alternatives: of each condition about groups, with what is asked of everybody.
func entriesOf(all who, groups []string, restrictsGroups bool) (entries []string) {
	if !restrictsGroups {
		groups = []string{""}
	}
	for _, g := range groups {
		claims, lines := slices.Clone(all.claims), slices.Clone(all.lines)
		if roles, ok := strings.CutPrefix(g, "claims: { "); ok {
			claims = append(claims, strings.TrimSuffix(roles, " }"))
		} else if g != "" {
			lines = append(lines, g)
		}
		if len(claims) > 0 {
			lines = append(lines, "claims: { "+strings.Join(claims, ", ")+" }")
		}
		for i, l := range lines {
			entries = append(entries, map[bool]string{true: "  - ", false: "    "}[i == 0]+l)
		}
	}
	return entries
}
