package attacks

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// headersKnown are headers by which somebody is told who asks, from where and for what.
var headersKnown = []string{
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Server",
	"X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Forwarded-Preferred-Username",
	"X-Forwarded-Client-Cert", "Forwarded", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "True-Client-Ip", "CF-Connecting-Ip", "Fastly-Client-Ip", "X-Cluster-Client-Ip",
	"X-Original-Url", "X-Original-Uri", "X-Original-Method", "X-Original-Host", "X-Rewrite-Url", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Host",
	"X-Remote-User", "X-Remote-Group", "Remote-User", "Remote-Groups", "Remote-Email", "Remote-Name", "X-WEBAUTH-USER", "X-WebAuth-Role", "X-Auth-User", "X-Auth-Request-User", "X-Auth-Request-Groups",
	"X-Auth-Token", "X-Authenticated-User", "X-Authenticated-Userid", "X-Proxy-User", "X-SSL-Client-Cert", "X-SSL-Client-S-Dn", "X-SSL-Client-Verify", "SSL-Client-S-Dn", "X-Client-Cert",
	"X-User", "X-User-Id", "X-Username", "X-Email", "X-Roles", "X-Consumer-Username", "X-Goog-Authenticated-User-Email", "X-Amzn-Oidc-Identity", "X-Ms-Client-Principal-Name", "X-Authentik-Username",
	"OIDC-Claim-Sub", "Cf-Access-Authenticated-User-Email", "Tailscale-User-Login", "Proxy", "X-Request-Id", "X-Jwt-Assertion", "X-Accel-Mapping", "X-Sendfile-Type",
	"Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scopes", "Client-Cert", "Client-Cert-Chain", "X-Shib-User", "Shib-Session-Id", "Eppn", "X-Rh-Identity",
	"WL-Proxy-Client-IP", "WL-Proxy-SSL", "Proxy-Client-IP", "HTTP-Client-IP", "X-Middleware-Subrequest", "X-Envoy-Internal", "X-Envoy-External-Address",
}

// headersSpoof sends lines as nobody, to a public page, and as alice.
func (l *lab) headersSpoof(lines ...string) {
	l.t.Helper()
	for _, cookie := range []string{"Cookie: a=1", l.signedIn("alice")} {
		l.get(headersAt(cookie), append([]string{cookie}, lines...)...).status(l.t, 200)
	}
}

func headersAt(cookie string) string {
	if cookie == "Cookie: a=1" {
		return "/public/x"
	}
	return "/x"
}

// headersSpoofKnown is a case of such names, in three spellings.
func (l *lab) headersSpoofKnown(names []string) {
	l.t.Helper()
	calls := 0
	for _, sep := range []string{"-", "_", "."} {
		for some := range slices.Chunk(names, 40) {
			var lines []string
			for _, name := range some {
				lines = append(lines, strings.ReplaceAll(name, "-", sep)+": "+headersEvil)
			}
			l.headersSpoof(lines...)
			calls++
		}
	}
	l.headersSpoofed(calls)
}

// headersSpoofed ends a case of so many calls of headersSpoof: the app got requests of nobody and of alice
// in turn, and nothing that the client said.
func (l *lab) headersSpoofed(calls int) []*got {
	l.t.Helper()
	all := l.saw(traces{app: 2 * calls})
	for i, g := range all {
		g.headersClean(l.t)
		g.headersSpeaksFor(l.t, l, []string{"", "alice"}[i%2])
	}
	return all
}

// headersClean fails the case if anything of the attacker's is in the header.
func (g *got) headersClean(t *testing.T) {
	t.Helper()
	if head := strings.ToLower(g.head()); strings.Contains(head, headersEvil) || strings.Contains(head, "__host-") {
		t.Errorf("the app got what the client said, or its cookie: %q", g.head())
	}
}

// headersSpeaksFor fails the case unless the gateway says of the request what it has to, once: who
// asks, "" for nobody, and from where.
func (g *got) headersSpeaksFor(t *testing.T, l *lab, user string) {
	t.Helper()
	want := map[string]func(string) bool{
		"X-Forwarded-User":   func(v string) bool { return headersIsUser(v, user) },
		"X-Forwarded-Groups": func(v string) bool { return v == "staff" },
		"X-Forwarded-Email":  func(v string) bool { return v == user+"@example.com" },
		"Authorization":      func(v string) bool { return strings.HasPrefix(v, "Bearer ey") },
	}
	if user == "" {
		for name := range want {
			g.without(t, name)
		}
		clear(want)
	}
	want["X-Forwarded-For"] = func(v string) bool { return v == "127.0.0.1" }
	want["X-Forwarded-Host"] = func(v string) bool { return v == l.host }
	want["X-Forwarded-Proto"] = func(v string) bool { return v == "https" }
	want["X-Request-Id"] = func(v string) bool { return len(v) > 20 }
	for name, ok := range want {
		if got := g.Header[name]; len(got) != 1 || !ok(got[0]) {
			t.Errorf("%s: the app got %s: %q", g.URL.Path, name, got)
		}
	}
}

// headersIsUser reports whether a header names a local user, as where there are other providers too.
func headersIsUser(value, user string) bool { return value == user || value == "local/"+user }

// without fails the case if the app got one of the headers.
func (g *got) without(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if v, ok := g.Header[http.CanonicalHeaderKey(name)]; ok {
			t.Errorf("the app got %s: %q", name, v)
		}
	}
}
