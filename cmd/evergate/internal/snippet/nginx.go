package snippet

import (
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/evergate/evergate/internal/inject"
)

func init() {
	dialects["nginx"] = dialect{
		title: "nginx",
		funcs: template.FuncMap{"quote": quoteNginx, "regex": quoteNginxRegex, "cookies": nginxCookies, "last": func(steps []nginxStep) nginxStep { return steps[len(steps)-1] }, "variable": nginxVariable,
			"told": nginxTold, "cleared": nginxCleared, "listen": nginxListen, "redirects": redirectsHTTP, "kilobytes": kilobytes},
		after: `Put it at /etc/nginx/conf.d/evergate.conf, which nginx reads inside http { }. Then
  nginx -t && systemctl reload nginx
Remove the server blocks that you have for these hosts: of two for one name nginx takes the
first, and only warns. Locations of your own go into /etc/nginx/evergate.d/*.conf. Then see
whether it asks:  evergate doctor`,
	}
}

// quoteNginx writes a value as one argument of a directive. A dollar sign would begin a
// variable, and nginx knows no escape for it.
func quoteNginx(s string) (string, error) {
	if strings.Contains(s, "$") {
		return "", fmt.Errorf("nginx cannot hold %q: it has a dollar sign", s)
	}
	return quoteNginxRegex(s)
}

// quoteNginxRegex is quoteNginx where no variables are read.
func quoteNginxRegex(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("nginx cannot hold %q: it has a control character", s)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`, nil
}

// nginxCookiesMost is how many cookies of the gateway are taken out of a request. With
// more than that none is passed on.
const nginxCookiesMost = 8

// nginxStep takes one cookie of the gateway out of From.
type nginxStep struct {
	From, To          string
	Last, Middle, All string // expressions: where it is the last cookie, another one, the only one
	Any               string // where there is still one
}

// anyOf is an expression for one of some names.
func anyOf(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return "(?:" + strings.Join(quoted, "|") + ")"
}

// nginxCookies are the steps that take the cookies of some names and their helpers out. A
// piece is the gateway's by what any reader could take for its name: see stripCookies in
// package proxy. The possessive parts keep the work in proportion to the header.
func nginxCookies(names []string) (steps []nginxStep, err error) {
	own := `[=\x22 \t]*+` + anyOf(names) + `(?:-[^;]*|[ \t\x22]*+(?:=[^;]*)?)`
	for i := range nginxCookiesMost {
		steps = append(steps, nginxStep{From: fmt.Sprintf("$evergate_cookie%d", i), To: fmt.Sprintf("$evergate_cookie%d", i+1),
			Last: `~*^(?<evergate_a>.*);` + own + `$`, Middle: `~*^(?<evergate_a>(?:.*;[ \t]*+)?)` + own + `;[ \t]*+(?<evergate_b>.*)$`,
			All: `~*^` + own + `$`, Any: `~*(?:^|;)` + own + `(?:;|$)`})
	}
	steps[0].From = "$http_cookie"
	return steps, nil
}

// nginxVariable is the variable for a header of an answer.
func nginxVariable(header string) (string, error) {
	for i := range len(header) {
		if c := inject.Fold(header)[i]; c == '-' && header[i] != '-' {
			return "", fmt.Errorf("nginx has no variable for the header %q", header)
		}
	}
	return strings.ReplaceAll(inject.Fold(header), "-", "_"), nil
}

// told is a header that the app gets from the gateway.
type told struct{ Header, Variable string }

func nginxTold(f *Front) (all []told, err error) {
	for _, name := range f.Told {
		v, err := nginxVariable(name)
		if err != nil {
			return nil, err
		}
		all = append(all, told{name, v})
	}
	return all, nil
}

// known are the members of families that proxies set and apps are known to trust. nginx
// cannot take headers away by an expression, so each has to be named.
var known = []string{
	"X-Forwarded", "X-Forwarded-By", "X-Forwarded-Client-Cert", "X-Forwarded-Path", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Protocol", "X-Forwarded-Method",
	"X-Forwarded-Query", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-Tls-Client-Cert",
	"X-Forwarded-Tls-Client-Cert-Info", "X-Forwarded-Uri", "X-Forwarded-Url", "X-Forwarded-Access-Token", "X-Forwarded-Id-Token",
	"X-Forwarded-Groups", "X-Forwarded-Roles", "X-Forwarded-Name", "X-Forwarded-Username", "X-Forwarded-User-Id", "X-Forwarded-Login",
	"X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Original-Method", "X-Original-Forwarded-For", "X-Original-Proto", "X-Original-Remote-Addr",
	"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups", "Remote-Addr", "Remote-Host", "Remote-Ident",
	"X-Remote-User", "X-Remote-Name", "X-Remote-Email", "X-Remote-Group", "X-Remote-Groups", "X-Remote-Addr", "X-Remote-Ip", "X-Remote-Host", "X-Remote-Uid",
	"X-Proxy-User", "X-Proxy-Remote-User", "X-Authenticated-User", "X-Authenticated-Email", "X-Authenticated-Groups", "X-Authenticated-Userid",
	"X-Auth-User", "X-Auth-Username", "X-Auth-Email", "X-Auth-Name", "X-Auth-Groups", "X-Auth-Roles", "X-Auth-Token",
	"X-Auth-Request-User", "X-Auth-Request-Email", "X-Auth-Request-Groups", "X-Auth-Request-Preferred-Username", "X-Auth-Request-Access-Token", "X-Auth-Request-Redirect",
	"X-WebAuth-User", "X-WebAuth-Name", "X-WebAuth-Email", "X-WebAuth-Groups", "X-WebAuth-Role",
	"X-SSL-Client-Cert", "X-SSL-Client-DN", "X-SSL-Client-S-DN", "X-SSL-Client-I-DN", "X-SSL-Client-CN", "X-SSL-Client-Verify", "X-SSL-Client-Serial", "X-SSL-Issuer", "X-SSL-Cert",
	"SSL-Client-Cert", "SSL-Client-DN", "SSL-Client-S-DN", "SSL-Client-Verify", "X-Client-Cert", "X-Client-Cert-DN", "X-Client-Cert-Subject", "X-Client-Cert-Chain", "X-Client-Certificate",
	"Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scopes", "X-Shib-User", "X-Shib-Session-Id", "Shib-Session-Id", "Shib-Identity-Provider", "Shib-Application-Id",
	"WL-Proxy-Client-IP", "WL-Proxy-SSL", "WL-Proxy-Client-Cert", "WL-Proxy-Client-Keysize", "X-Middleware-Subrequest", "X-Middleware-Subrequest-Id",
	"X-Evergate-Decision", "X-Goog-IAP-JWT-Assertion", "X-Goog-Authenticated-User-Email", "X-Goog-Authenticated-User-Id",
	"X-Amzn-Oidc-Identity", "X-Amzn-Oidc-Data", "X-Amzn-Oidc-Accesstoken", "X-Consumer-Id", "X-Consumer-Username", "X-Consumer-Custom-Id", "X-Consumer-Groups",
	"X-Ms-Client-Principal-Id", "X-Ms-Client-Principal-Name", "X-Ms-Client-Principal-Idp", "X-Ms-Token-Aad-Access-Token", "X-Ms-Token-Aad-Id-Token",
	"X-Authentik-Username", "X-Authentik-Email", "X-Authentik-Groups", "X-Authentik-Name", "X-Authentik-Uid", "X-Authentik-Jwt",
	"X-Vouch-User", "X-Vouch-Idp-Claims-Groups", "X-Vouch-Idp-Claims-Email", "X-Pomerium-Jwt-Assertion", "X-Pomerium-Claim-Email", "X-Pomerium-Claim-User", "X-Pomerium-Claim-Groups",
	"X-Wonderwall-Id-Token", "X-Wonderwall-Forward-Auth-Token", "OIDC-Claim-Sub", "OIDC-Claim-Email", "OIDC-Claim-Preferred-Username", "OIDC-Claim-Groups", "OIDC-Access-Token",
	"Cf-Access-Jwt-Assertion", "Cf-Access-Authenticated-User-Email", "Tailscale-User-Login", "Tailscale-User-Name", "Tailscale-User-Profile-Pic",
	"Secure-Session-Response", "Secure-Session-Skipped", "Sec-Secure-Session-Id",
}

// nginxCleared are the names that no client may say and that nothing else sets.
func nginxCleared(f *Front) []string {
	set := map[string]bool{"x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true}
	for _, name := range f.Told {
		set[inject.Fold(name)] = true
	}
	var all []string
	for _, name := range slices.Concat(f.Names, known, []string{"Proxy-Authorization", "Trailer", "TE", "Keep-Alive"}) {
		if folded := inject.Fold(name); !set[folded] {
			set[folded] = true
			all = append(all, textproto.CanonicalMIMEHeaderKey(name))
		}
	}
	slices.Sort(all)
	return all
}

// nginxListen are the arguments of listen directives: one for each kind of address.
func nginxListen(at string) ([]string, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	if host == "" {
		return []string{port, "[::]:" + port}, nil
	}
	return []string{net.JoinHostPort(host, port)}, nil
}

// redirectsHTTP reports whether plain http on port 80 is there to be sent on to https.
func redirectsHTTP(f *Front) bool {
	return f.TLS != nil && strings.HasSuffix(f.Listen, ":443") && (f.Public.Port() == "" || f.Public.Port() == "443")
}

func kilobytes(n int64) int64 { return (n + 1023) / 1024 }
