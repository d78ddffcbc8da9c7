package inject

import (
	"maps"
	"slices"
	"strings"
)

// class is what somebody could do who may say a protected header to an app that believes it:
// words that go on from "an app that believes it".
type class string

const (
	saysWho    class = "believes anybody who sends it, signed in or not"
	saysToken  class = "takes for a proxy's what any client hands it as a token"
	saysWhence class = "takes a client to be wherever and to have come however it says, limits and lists of addresses included"
	saysWhat   class = "serves another address, host or method than the rules were asked about"
	saysAs     class = "lets a client act as anybody whom the gateway's own token may act as"
	saysInside class = "takes a client for a part of itself or for the proxy in front, and leaves out what it asks of others"
)

// protectedNames are folded names that belong to the gateway: who somebody is,
// where they come from, what they asked for. Among them is what only a proxy, a gateway or another
// part of an app says to it, for the gateway's token or key in the same request would vouch for it: with that,
// Impersonate-User makes a client anybody's in Kubernetes. What an app made for its clients to say (Sudo
// of GitLab, which wants a token of the client's own there) is the app's, and stays.
var protectedNames = table(map[class]string{
	saysWho: `x-user x-username x-user-name x-user-id x-user-email x-email x-groups x-roles x-role x-preferred-username x-userinfo
		x-authenticated auth-user iv-user iv-groups sm-user eppn x-rh-identity x-jwt-assertion x-ms-client-principal
		client-cert client-cert-chain x-client-verify x-client-dn`,
	saysToken: `authorization x-access-token x-id-token x-credential-identifier`,
	saysWhence: `x-request-id forwarded x-real-ip x-client-ip x-cluster-client-ip true-client-ip client-ip proxy-client-ip http-client-ip
		cf-connecting-ip cf-connecting-ipv6 cf-pseudo-ipv4 fastly-client-ip fly-client-ip x-appengine-user-ip x-envoy-external-address
		x-azure-clientip x-scheme x-url-scheme front-end-https`,
	saysWhat: `x-rewrite-url x-http-method x-http-method-override x-method-override x-host x-http-host-override`,
	// httpoxy; an upgrade that is not carried; which file a proxy is to send
	saysInside: `x-envoy-internal proxy http2-settings x-sendfile-type x-accel-mapping`,
})

// protectedFamilies are prefixes of folded names, all of which belong to the
// gateway, members that nobody has thought of yet included.
var protectedFamilies = table(map[class]string{
	saysWho: `remote- x-remote- x-proxy-user x-proxy-remote- x-auth- x-authenticated- x-webauth- x-ssl- ssl-client- x-client-cert
		shib- x-shib- wl-proxy- x-goog-iap- x-goog-authenticated-user- x-amzn-oidc- x-consumer- x-ms-client-principal-
		x-authentik- x-vouch- x-pomerium- x-wonderwall- oidc- cf-access- tailscale-user-`,
	saysToken:  `x-ms-token-`,
	saysWhence: `x-forwarded`,
	saysWhat:   `x-original-`,
	saysAs:     `impersonate-`,
	saysInside: `x-middleware-subrequest secure-session- sec-secure-session- x-evergate-`,
})

// proofs are protected names that a client may have a reason to say itself, and that no app takes at
// its word: a password or token of the client's own, or what somebody signed whom the app knows.
var proofs = map[string]bool{"authorization": true, "x-auth-token": true, "cf-access-jwt-assertion": true, "x-goog-iap-jwt-assertion": true}

func table(names map[class]string) map[string]class {
	all := map[string]class{}
	for c, list := range names {
		for name := range strings.FieldsSeq(list) {
			all[name] = c
		}
	}
	return all
}

// families are protectedFamilies in an order, for isProtected is asked often.
var families = slices.Sorted(maps.Keys(protectedFamilies))

// ProtectedNames are the names that belong to the gateway, and the beginnings of such names, all folded.
func ProtectedNames() (names, beginnings []string) {
	return slices.Sorted(maps.Keys(protectedNames)), slices.Clone(families)
}

// Danger says what somebody could do by a header that an app believes, in words that go on from "an app that
// believes it", or "" where it is none of the protected names, or proves itself.
func Danger(name string) string {
	folded := Fold(name)
	if proofs[folded] {
		return ""
	}
	if c, ok := protectedNames[folded]; ok {
		return string(c)
	}
	for _, family := range families {
		if strings.HasPrefix(folded, family) {
			return string(protectedFamilies[family])
		}
	}
	return ""
}

// IsIdentity reports whether apps are known to take such a header for who somebody is.
func IsIdentity(name string) bool { return Danger(name) == string(saysWho) }

// IsProtected reports whether a header name belongs to the gateway, or is one of
// also, which holds folded names. It is asked for every header of every request
// and allocates nothing.
func IsProtected(name string, also map[string]bool) bool {
	var buf [MaxName]byte // longer than every name above; a family shows in its first bytes
	n := min(len(name), len(buf))
	for i := range n {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		buf[i] = c
	}
	if n == len(name) && (protectedNames[string(buf[:n])] != "" || also[string(buf[:n])]) {
		return true
	}
	for _, family := range families {
		if n >= len(family) && string(buf[:len(family)]) == family {
			return true
		}
	}
	return false
}
