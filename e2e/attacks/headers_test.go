package attacks

import (
	"fmt"
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
		files:    map[string]string{"users.yaml": usersFile, "oidc.secret": oidctest.ClientSecret},
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
const headersEvil = "mallory"

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
					lines = append(lines, strings.ReplaceAll(name, "-", sep)+": "+headersEvil, strings.Replace(name, "-", sep, 1)+": "+headersEvil)
				}
				l.headersSpoof(append(lines, "User"+sep+"Agent: harmless")...)
			}
			for i, g := range l.headersSpoofed(5) {
				if i%2 == 0 && !strings.Contains(g.head(), "harmless") {
					t.Errorf("a header that is nobody's got lost, so this shows nothing: %q", g.head())
				}
			}
		}},
	{"H-07", "critical", "`x-auth-user` and `X-AUTH-USER` side by side, and each identity header twice in two cases",
		"the app gets none of them, and the gateway's own once", func(t *testing.T, l *lab) {
			var lines []string
			for _, name := range []string{"X-Auth-User", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "Authorization", "X-Request-Id"} {
				lines = append(lines, strings.ToLower(name)+": "+headersEvil, strings.ToUpper(name)+": "+headersEvil, name+":"+headersEvil)
			}
			l.headersSpoof(lines...)
			l.headersSpoofed(1)
		}},
	{"H-08", "critical", "`Connection` that names the identity headers, `Authorization`, `X-Forwarded-For` and `X-Request-Id`, in one line and in two",
		"the app gets what the gateway sets all the same", func(t *testing.T, l *lab) {
			const named = "x-forwarded-user, X-FORWARDED-GROUPS, Authorization, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Request-Id"
			l.headersSpoof("Connection: " + named)
			for _, cookie := range []string{"Cookie: a=1", l.signedIn("alice")} {
				l.one(strings.Replace(l.request("GET", headersAt(cookie), cookie), "Connection: close", "Connection: close, "+named, 1)).status(t, 200)
			}
			l.headersSpoofed(2)
		}},
	{"H-10", "high", "`Connection: Cookie, Host, Content-Type, Content-Length` on a POST with a session",
		"the session counts, and the app gets the whole request for its own host, with the identity", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			l.post("/x", "a=1&b=2", cookie, "Connection: Cookie, Host, Content-Type, Content-Length, Transfer-Encoding").status(t, 200)
			for _, g := range l.saw(traces{app: 1}) {
				g.headersSpeaksFor(t, l, "alice")
				if g.Host != l.host || string(g.body) != "a=1&b=2" || g.Method != "POST" {
					t.Errorf("the app got %s for %q with %q", g.Method, g.Host, g.body)
				}
			}
		}},
	{"H-11", "critical", "a client's own `Authorization`: Bearer and Basic, one line and several, beside a session and without",
		"with a session the app gets the gateway's token alone; without one there is no sign-in by it", func(t *testing.T, l *lab) {
			lines := [][]string{{"Authorization: Bearer " + headersEvil}, {"Authorization: Basic " + headersEvil}, {"authorization: bearer " + headersEvil, "AUTHORIZATION: Basic " + headersEvil}, {"Authorization: " + headersEvil, "Authorization:"}}
			for _, own := range lines {
				l.headersSpoof(own...)
				l.denied(l.get("/x", own...))
			}
			l.headersSpoofed(len(lines))
		}},
	{"H-12", "high", "a client's own `Authorization` on routes that send no token up: `token: none`, a public one, and one with `pass_headers`",
		"it is removed, unless the route lets it pass; who is signed in is told by the gateway's token even there", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			for _, own := range []string{"Authorization: Bearer " + headersEvil, "Authorization: Basic " + headersEvil, "authorization:" + headersEvil} {
				l.get("/bare/x", own, cookie).status(t, 200)
				l.get("/public/x", own).status(t, 200)
			}
			l.get("/own-token/x", "Authorization: Basic its-own").status(t, 200)
			l.get("/own-token/x", "Authorization: Basic "+headersEvil, cookie).status(t, 200)
			for i, g := range l.saw(traces{app: 8}) {
				g.headersClean(t)
				switch got := g.Header["Authorization"]; {
				case i < 6 && got != nil:
					t.Errorf("%s: the app got Authorization: %q", g.URL.Path, got)
				case i == 6 && !slices.Equal(got, []string{"Basic its-own"}):
					t.Errorf("a route with pass_headers: the app got Authorization: %q", got)
				case i == 7:
					g.headersSpeaksFor(t, l, "alice")
				}
			}
		}},
	{"H-13", "critical", "from a peer that is not trusted, each header that apps and frameworks are known to believe, " +
		"in three spellings: `X-Forwarded-*`, `Forwarded`, `X-Real-Ip`, `X-Original-Url`, `X-Rewrite-Url`, `X-HTTP-Method-Override`, `X-SSL-Client-*`, `Proxy`, …",
		"removed, or made anew by the gateway", func(t *testing.T, l *lab) {
			l.headersSpoofKnown(append([]string{"X-Forwarded-Anything-New", "X-Original-Anything", "X-Auth-Anything", "X-Evergate-User"}, headersKnown...))
		}},
	{"H-15", "medium", "garbage in `X-Forwarded-For`, from a peer that is not trusted and from a proxy that is: `,`, `unknown`, zones, ports, two lines, 10 kB",
		"from the first the peer's address counts, whatever is said; from a proxy its own, and a rule by address lets nobody pass", headersGarbage},
	{"H-16", "medium", "a chunked POST that announces `Trailer: X-Auth-User, X_Forwarded_Groups` and sends them, and one more that it did not announce",
		"the app gets the body, and neither the announcement nor the values; a trailer that is nobody's passes", func(t *testing.T, l *lab) {
			r := l.one(fmt.Sprintf("POST /public/x HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-User, X_Forwarded_Groups, X-Sum\r\nTrailer: Authorization\r\n\r\n"+
				"5\r\nhello\r\n0\r\nX-Auth-User: %[2]s\r\nX_Forwarded_Groups: %[2]s\r\nX-Sum: 42\r\nRemote-User: %[2]s\r\n\r\n", l.host, headersEvil))
			r.status(t, 200)
			for _, g := range l.saw(traces{app: 1}) {
				raw := strings.ToLower(string(g.raw))
				for _, bad := range []string{headersEvil, "x-auth-user", "groups", "remote-user", "authorization"} {
					if strings.Contains(raw, bad) {
						t.Errorf("the app got %q in %q", bad, g.raw)
					}
				}
				if string(g.body) != "hello" || !strings.Contains(raw, "x-sum: 42") {
					t.Errorf("the app got %q, want the body and the trailer that is nobody's", g.raw)
				}
			}
		}},
	{"H-17", "high", "two `Host` lines, the same and another; an empty one; none, over HTTP/1.0 and HTTP/2", "400, and nothing at the app; `/.evergate/ping` answers health checks all the same", func(t *testing.T, l *lab) {
		cookie := l.signedIn("alice")
		none, ping := []int{400}, []int{200}
		if l.forward != "" { // nginx answers by itself what is for none of its hosts
			none, ping = append(none, 421), append(ping, 421)
		}
		for _, target := range []string{"/x", "/public/x", "/.evergate/session"} {
			for _, line := range []string{" HTTP/1.1\r\nHost:", " HTTP/1.1\r\nHost: :443", " HTTP/1.0\r\nHost:", " HTTP/1.0\r\nX-Forwarded-Host: " + l.host, " HTTP/1.0"} {
				l.one("GET "+target+line+"\r\n"+cookie+"\r\nConnection: close\r\n\r\n").status(t, none...)
			}
			for _, more := range [][]string{nil, {"host", ""}, {":authority", ""}, {":authority", ":443"}} {
				l.h2(append(append([]string{":method", "GET", ":scheme", "https", ":path", target}, more...), h2Fields(cookie)...)).is(t, "no host", "400", "reset")
			}
		}
		l.one("GET /.evergate/ping HTTP/1.0\r\n\r\n").status(t, ping...)
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
			lines := []string{"X-Wiki-Reader: " + headersEvil, "x-wiki-reader: " + headersEvil, "X_Wiki_Reader: " + headersEvil, "X-WIKI.READER: " + headersEvil}
			l.get("/set/x", append(lines, cookie)...).status(t, 200)
			l.headersSpoof(lines...)
			all := l.saw(traces{app: 3})
			for i, g := range all {
				g.headersClean(t)
				var told []string
				for name, values := range g.Header {
					if inject.Fold(name) == "x-wiki-reader" {
						told = append(told, values...)
					}
				}
				if want := i == 0; want != (len(told) == 1 && headersIsUser(told[0], "alice")) || !want && told != nil {
					t.Errorf("%s: the app is told of %q", g.URL.Path, told)
				}
			}
		}},
}, headersBack, headersClaims)}
