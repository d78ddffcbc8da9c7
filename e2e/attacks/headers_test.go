package attacks

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/inject"
)

func init() { sections = append(sections, headers) }

func TestHeaders(t *testing.T) {
	t.Parallel()
	refuser := newHeadersRefuser(t)
	headersOP = oidctest.Start(t, oidctest.Config(headersPeople))
	l := newLab(t, setup{
		identity: "  - local: { users_file: users.yaml }\n" + headersProvider(headersOP.URL()),
		files:    map[string]string{"users.yaml": users(t), "oidc.secret": oidctest.ClientSecret},
		routes:   usualRoutes + strings.ReplaceAll(headersRoutes, "REFUSER", refuser.url()),
		more:     "trusted_proxies: [127.0.0.2]\nsession: { rotation_grace: 1s }\n",
	})
	headersAllow(l, headersOP)
	headers.try(t, l)
}

// headersRoutes are of apps that want something of the gateway, each in its own way.
const headersRoutes = `  - match: { path: /set/ }
    request_headers: { set: { x-wiki-reader: "{user}", x-wiki-name: "{claims.name}" } }
    upstream: %[1]q
  - match: { path: /bare/ }
    token: { type: none }
    upstream: %[1]q
  - match: { path: /own-token/ }
    public: true
    pass_headers: [Authorization]
    upstream: %[1]q
  - match: { path: /near/ }
    allow: [ networks: [127.0.0.0/8] ]
    upstream: %[1]q
  - match: { path: /refuses/ }
    public: true
    upstream: REFUSER
`

// evil is in every value that an attacker chooses.
const evil = "mallory"

// headers are what a client says about itself that only the gateway may say.
var headers = &section{name: "Headers that speak for the gateway", test: "TestHeaders", attacks: slices.Concat([]attack{
	{"H-02", "critical", "`X-Auth-User: admin` and its kin without a session: to a public path, as a preflight, and to the gateway's own pages",
		"nothing of it reaches the app", func(t *testing.T, l *lab) {
			evil := []string{"X-Auth-User: admin", "X-Forwarded-User: admin", "X-Forwarded-Groups: admin", "Remote-User: admin"}
			l.get("/public/x", evil...).status(t, 200)
			l.one(l.request("OPTIONS", "/public/x", append(evil, "Origin: https://evil.test", "Access-Control-Request-Method: GET")...)).status(t, 200)
			for _, own := range []string{"/.evergate/ping", "/.evergate/login", "/.evergate/callback/none?error=x", "/.evergate/nothing"} {
				l.get(own, evil...)
			}
			for _, g := range l.saw(traces{app: 2}) {
				g.without(t, "X-Auth-User", "X-Forwarded-User", "X-Forwarded-Groups", "Remote-User")
			}
		}},
	{"H-06", "critical", "the same names with `_`, `.` and other bytes in place of `-`, some of them only: `X-Auth_User`, `X.Forwarded!User`",
		"no spelling that an app could take for one of the gateway's gets up", func(t *testing.T, l *lab) {
			for _, sep := range []string{"_", ".", "!", "~", "'"} {
				var lines []string
				for _, name := range []string{"X-Auth-User", "X-Forwarded-User", "X-Forwarded-Groups", "X-Forwarded-For", "Remote-User", "X-Request-Id", "X-Real-Ip"} {
					lines = append(lines, strings.ReplaceAll(name, "-", sep)+": "+evil, strings.Replace(name, "-", sep, 1)+": "+evil)
				}
				l.spoof(append(lines, "User"+sep+"Agent: harmless")...)
			}
			for i, g := range l.spoofed(5) {
				if i%2 == 0 && !strings.Contains(g.head(), "harmless") {
					t.Errorf("a header that is nobody's got lost, so this shows nothing: %q", g.head())
				}
			}
		}},
	{"H-07", "critical", "`x-auth-user` and `X-AUTH-USER` side by side, and each identity header twice in two cases",
		"the app gets none of them, and the gateway's own once", func(t *testing.T, l *lab) {
			var lines []string
			for _, name := range []string{"X-Auth-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "Authorization", "X-Request-Id"} {
				lines = append(lines, strings.ToLower(name)+": "+evil, strings.ToUpper(name)+": "+evil, name+":"+evil)
			}
			l.spoof(lines...)
			l.spoofed(1)
		}},
	{"H-08", "critical", "`Connection` that names the identity headers, `Authorization`, `X-Forwarded-For` and `X-Request-Id`, in one line and in two",
		"the app gets what the gateway sets all the same", func(t *testing.T, l *lab) {
			const named = "x-forwarded-user, X-FORWARDED-GROUPS, Authorization, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Request-Id"
			l.spoof("Connection: " + named)
			for _, cookie := range []string{"Cookie: a=1", l.signedIn("alice")} {
				l.one(strings.Replace(l.request("GET", headersAt(cookie), cookie), "Connection: close", "Connection: close, "+named, 1)).status(t, 200)
			}
			l.spoofed(2)
		}},
	{"H-10", "high", "`Connection: Cookie, Host, Content-Type, Content-Length` on a POST with a session",
		"the session counts, and the app gets the whole request for its own host, with the identity", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			l.post("/x", "a=1&b=2", cookie, "Connection: Cookie, Host, Content-Type, Content-Length, Transfer-Encoding").status(t, 200)
			for _, g := range l.saw(traces{app: 1}) {
				g.speaksFor(t, l, "alice")
				if g.Host != l.host || string(g.body) != "a=1&b=2" || g.Method != "POST" {
					t.Errorf("the app got %s for %q with %q", g.Method, g.Host, g.body)
				}
			}
		}},
	{"H-11", "critical", "a client's own `Authorization`: Bearer and Basic, one line and several, beside a session and without",
		"with a session the app gets the gateway's token alone; without one there is no sign-in by it", func(t *testing.T, l *lab) {
			lines := [][]string{{"Authorization: Bearer " + evil}, {"Authorization: Basic " + evil}, {"authorization: bearer " + evil, "AUTHORIZATION: Basic " + evil}, {"Authorization: " + evil, "Authorization:"}}
			for _, own := range lines {
				l.spoof(own...)
				l.denied(l.get("/x", own...))
			}
			l.spoofed(len(lines))
		}},
	{"H-12", "high", "a client's own `Authorization` on routes that send no token up: `token: none`, a public one, and one with `pass_headers`",
		"it is removed, unless the route lets it pass; who is signed in is told by the gateway's token even there", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, own := range []string{"Authorization: Bearer " + evil, "Authorization: Basic " + evil, "authorization:" + evil} {
				l.get("/bare/x", own, cookie).status(t, 200)
				l.get("/public/x", own).status(t, 200)
			}
			l.get("/own-token/x", "Authorization: Basic its-own").status(t, 200)
			l.get("/own-token/x", "Authorization: Basic "+evil, cookie).status(t, 200)
			for i, g := range l.saw(traces{app: 8}) {
				g.clean(t)
				switch got := g.Header["Authorization"]; {
				case i < 6 && got != nil:
					t.Errorf("%s: the app got Authorization: %q", g.URL.Path, got)
				case i == 6 && !slices.Equal(got, []string{"Basic its-own"}):
					t.Errorf("a route with pass_headers: the app got Authorization: %q", got)
				case i == 7:
					g.speaksFor(t, l, "alice")
				}
			}
		}},
	{"H-13", "critical", "from a peer that is not trusted, each header that apps and frameworks are known to believe, " +
		"in three spellings: `X-Forwarded-*`, `Forwarded`, `X-Real-Ip`, `X-Original-Url`, `X-Rewrite-Url`, `X-HTTP-Method-Override`, `X-SSL-Client-*`, `Proxy`, …",
		"removed, or made anew by the gateway", func(t *testing.T, l *lab) {
			l.spoofKnown(append([]string{"X-Forwarded-Anything-New", "X-Original-Anything", "X-Auth-Anything", "X-Evergate-User"}, headersKnown...))
		}},
	{"H-15", "medium", "garbage in `X-Forwarded-For`, from a peer that is not trusted and from a proxy that is: `,`, `unknown`, zones, ports, two lines, 10 kB",
		"from the first the peer's address counts, whatever is said; from a proxy its own, and a rule by address lets nobody pass", headersGarbage},
	{"H-16", "medium", "a chunked POST that announces `Trailer: X-Auth-User, X_Forwarded_Groups` and sends them, and one more that it did not announce",
		"the app gets the body, and neither the announcement nor the values; a trailer that is nobody's passes", func(t *testing.T, l *lab) {
			r := l.one(fmt.Sprintf("POST /public/x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-User, X_Forwarded_Groups, X-Sum\r\nTrailer: Authorization\r\n\r\n"+
				"5\r\nhello\r\n0\r\nX-Auth-User: %[2]s\r\nX_Forwarded_Groups: %[2]s\r\nX-Sum: 42\r\nRemote-User: %[2]s\r\n\r\n", l.host, evil))
			r.status(t, 200)
			for _, g := range l.saw(traces{app: 1}) {
				raw := strings.ToLower(string(g.raw))
				for _, bad := range []string{evil, "x-auth-user", "groups", "remote-user", "authorization"} {
					if strings.Contains(raw, bad) {
						t.Errorf("the app got %q in %q", bad, g.raw)
					}
				}
				if string(g.body) != "hello" || !strings.Contains(raw, "x-sum: 42") {
					t.Errorf("the app got %q, want the body and the trailer that is nobody's", g.raw)
				}
			}
		}},
	{"H-17", "high", "two `Host` lines, the same and another", "400, and nothing at the app", func(t *testing.T, l *lab) {
		cookie := l.signedIn("alice")
		for _, second := range []string{l.host, otherHost, ""} {
			l.get("/x", cookie, "Host: "+second).status(t, 400)
			l.get("/public/x", "Host: "+second).status(t, 400)
		}
		l.saw(traces{})
	}},
	{"H-20", "high", "`Host: GW.TEST.`, `gw.test:443`, `GW.test` and the like for a path that is not open to the person",
		"the rules of gw.test, and the app is told of the host as it is matched; what is no host name is 400", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			as := func(host, target string, lines ...string) *reply {
				return l.one(strings.Replace(l.request("GET", target, lines...), "Host: "+l.host, "Host: "+host, 1))
			}
			_, port, _ := strings.Cut(l.host, ":")
			for _, host := range []string{"GW.TEST.:" + port, "gw.test:443", "GW.test", "gw.test.", "gW.tEsT.:443"} {
				as(host, "/admin/", cookie).status(t, 403)
				l.denied(as(host, "/x"))
				as(host, "/x", cookie).status(t, 200)
			}
			for _, host := range []string{"gw.test..", "gw.test@other.test", "gw.test:x", "gw.test:443:443", "gw.test/", "[gw.test]", "gw_test\x7f"} {
				as(host, "/x", cookie).status(t, 400, 421)
				as(host, "/public/x").status(t, 400, 421)
			}
			for _, g := range l.saw(traces{app: 5}) {
				if name, _, _ := strings.Cut(g.Host, ":"); name != gatewayHost || g.Header.Get("X-Forwarded-Host") != g.Host {
					t.Errorf("the app is asked for %q, and told of %q", g.Host, g.Header.Get("X-Forwarded-Host"))
				}
			}
		}},
	{"H-29", "critical", "`request_headers: { set: { x-wiki-reader: … } }` in the config, and `X-Wiki-Reader` from a client, in every spelling and on every route",
		"the name is one, however it is written: the app gets the gateway's once, and the client's nowhere", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			lines := []string{"X-Wiki-Reader: " + evil, "x-wiki-reader: " + evil, "X_Wiki_Reader: " + evil, "X-WIKI.READER: " + evil}
			l.get("/set/x", append(lines, cookie)...).status(t, 200)
			l.spoof(lines...)
			all := l.saw(traces{app: 3})
			for i, g := range all {
				g.clean(t)
				var told []string
				for name, values := range g.Header {
					if inject.Fold(name) == "x-wiki-reader" {
						told = append(told, values...)
					}
				}
				if want := i == 0; want != (len(told) == 1 && isUser(told[0], "alice")) || !want && told != nil {
					t.Errorf("%s: the app is told of %q", g.URL.Path, told)
				}
			}
		}},
}, headersBack, headersClaims)}

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
}

// spoof sends lines as nobody, to a public page, and as alice.
func (l *lab) spoof(lines ...string) {
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

// spoofKnown is a case of such names, in three spellings.
func (l *lab) spoofKnown(names []string) {
	l.t.Helper()
	calls := 0
	for _, sep := range []string{"-", "_", "."} {
		for some := range slices.Chunk(names, 40) {
			var lines []string
			for _, name := range some {
				lines = append(lines, strings.ReplaceAll(name, "-", sep)+": "+evil)
			}
			l.spoof(lines...)
			calls++
		}
	}
	l.spoofed(calls)
}

// spoofed ends a case of so many calls of spoof: the app got requests of nobody and of alice
// in turn, and nothing that the client said.
func (l *lab) spoofed(calls int) []*got {
	l.t.Helper()
	all := l.saw(traces{app: 2 * calls})
	for i, g := range all {
		g.clean(l.t)
		g.speaksFor(l.t, l, []string{"", "alice"}[i%2])
	}
	return all
}

// clean fails the case if anything of the attacker's is in the header.
func (g *got) clean(t *testing.T) {
	t.Helper()
	if head := strings.ToLower(g.head()); strings.Contains(head, evil) || strings.Contains(head, "__host-") {
		t.Errorf("the app got what the client said, or its cookie: %q", g.head())
	}
}

// speaksFor fails the case unless the gateway says of the request what it has to, once: who
// asks, "" for nobody, and from where.
func (g *got) speaksFor(t *testing.T, l *lab, user string) {
	t.Helper()
	want := map[string]func(string) bool{
		"X-Forwarded-User":   func(v string) bool { return isUser(v, user) },
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

// isUser reports whether a header names a local user, as where there are other providers too.
func isUser(value, user string) bool { return value == user || value == "local/"+user }

// without fails the case if the app got one of the headers.
func (g *got) without(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if v, ok := g.Header[http.CanonicalHeaderKey(name)]; ok {
			t.Errorf("the app got %s: %q", name, v)
		}
	}
}
