package attacks

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func init() { sections = append(sections, forwardAuth) }

// forwardLabs are gateways that are asked in other dialects than the lab of the section; that
// of nginx has a real one in front.
var forwardLabs map[string]*lab

func TestForwardAuth(t *testing.T) {
	t.Parallel()
	forwardLabs = map[string]*lab{"caddy": newForwardLab(t, "caddy"), "nginx": newForwardNginx(t)}
	forwardAuth.try(t, newForwardLab(t, "traefik"))
}

func newForwardLab(t *testing.T, dialect string) *lab {
	t.Helper()
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	l := newLab(t, setup{more: fmt.Sprintf("trusted_proxies: [127.0.0.1]\nforward_auth: { listen: %q, dialect: %s }\n", at, dialect)})
	l.forward, l.dialect = at, dialect
	return l
}

// forwardAuth are questions of a proxy in front, as an attacker could make them be.
var forwardAuth = &section{name: "Forward auth", test: "TestForwardAuth", attacks: []attack{
	{"F-02", "critical", "each header that tells of the request missing, empty, there twice, in a list and unreadable, for a page that is open to all and with a session",
		"403: nothing is guessed", func(t *testing.T, l *lab) {
			for _, l := range []*lab{l, forwardLabs["caddy"].of(t), forwardLabs["nginx"].of(t)} {
				cookie := l.signedIn("alice")
				good := l.forwardAsk("GET", "/public/x", cookie)
				l.forwardAnswered(good, 200)
				for line := range strings.SplitSeq(good, "\r\n") {
					name, value, ok := strings.Cut(line, ": ")
					if !ok || !strings.HasPrefix(name, "X-") {
						continue
					}
					for _, now := range []string{"", name + ":\r\n", line + "\r\n" + line + "\r\n", line + "\r\n" + strings.ToLower(name) + ": " + value + "\r\n"} {
						l.forwardAnswered(strings.Replace(good, line+"\r\n", now, 1), 403)
					}
					if name != "X-Forwarded-For" { // of which a list is usual, and believed from its end
						l.forwardAnswered(strings.Replace(good, line, line+", "+value, 1), 403, 400, 501)
					}
				}
				for _, uri := range []string{"x", "public/x", "*", "https://" + l.host + "/public/x", "//evil.test/public/x", "/%zz", "/public/%", "/public/x y", "?", "\\public\\x", "/public/x#y"} {
					l.forwardAnswered(l.forwardAsk("GET", uri, cookie), 400, 403)
				}
				for _, host := range []string{"", "a b", "[", "gw.test:x", "https://gw.test", "gw.test/public", ".gw.test", "gw..test"} {
					if l.dialect != "nginx" || !strings.HasPrefix(host, "gw.test/") { // where it is the path that begins
						l.forwardAnswered(l.forwardAskFor(host, "GET", "/public/x", cookie), 400, 403)
					}
				}
				l.saw(traces{})
			}
		}},
	{"F-04", "high", "`X-Forwarded-Method: OPTIONS`, HEAD, lower case, unknown ones, TRACE, CONNECT; a preflight; `X-HTTP-Method-Override`, for pages that are not open",
		"the rules for everybody else: 401, 403 for who may not; what is no method is refused", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			flight := []string{"Origin: https://evil.test", "Access-Control-Request-Method: GET"}
			for _, method := range []string{"OPTIONS", "HEAD", "GET", "DELETE", "PROPFIND", "QUERY"} {
				l.forwardAnswered(l.forwardAsk(method, "/x"), 401)
				l.forwardAnswered(l.forwardAsk(method, "/x", flight...), 401)
				l.forwardAnswered(l.forwardAsk(method, "/admin/", append(flight, cookie)...), 403)
				l.forwardAnswered(l.forwardAsk(method, "/admin/", "X-HTTP-Method-Override: OPTIONS", "X-Original-Method: OPTIONS", cookie), 403)
			}
			for _, method := range []string{"options", "get", "GETT", "TRACE", "CONNECT", "PRI", "G T", "*"} {
				for _, at := range []string{"/x", "/public/x"} {
					l.forwardAnswered(l.forwardAsk(method, at, cookie), 403, 405, 501, 400)
				}
			}
			l.saw(traces{})
		}},
	{"F-05", "critical", "`X_Forwarded_Uri`, `X.Forwarded.Host`, `x-forwarded_method` and the like next to the real ones, or in their place",
		"403; the headers of another dialect are not looked at", func(t *testing.T, l *lab) {
			for _, l := range []*lab{l, forwardLabs["nginx"].of(t)} {
				cookie := l.signedIn("alice")
				good := l.forwardAsk("GET", "/admin/", cookie)
				for line := range strings.SplitSeq(good, "\r\n") {
					name, _, _ := strings.Cut(line, ": ")
					if !strings.HasPrefix(name, "X-") {
						continue
					}
					lie := map[string]string{"X-Forwarded-Uri": "/public/x", "X-Original-URL": "https://" + l.host + "/public/x", "X-Forwarded-Host": otherHost, "X-Forwarded-For": "127.0.0.1"}[name]
					for _, sep := range []string{"_", ".", "~"} {
						for _, alias := range []string{strings.ReplaceAll(name, "-", sep), strings.Replace(name, "-", sep, 1)} {
							l.forwardAnswered(strings.Replace(good, line, line+"\r\n"+alias+": "+lie, 1), 403)
							l.forwardAnswered(strings.Replace(good, line, alias+": "+lie, 1), 403)
							l.forwardAnswered(strings.Replace(l.forwardAsk("GET", "/public/x"), "\r\n\r\n", "\r\n"+alias+": "+lie+"\r\n\r\n", 1), 403)
						}
					}
				}
				other := []string{"X-Original-URL: https://" + l.host + "/public/x", "X-Original-Method: OPTIONS"}
				if l.dialect == "nginx" {
					other = []string{"X-Forwarded-Uri: /public/x", "X-Forwarded-Method: OPTIONS", "X-Forwarded-Host: other.test", "X-Rewrite-Url: /public/x"}
				}
				l.forwardAnswered(l.forwardAsk("GET", "/admin/", append(other, cookie)...), 403)
				l.forwardAnswered(l.forwardAsk("GET", "/x", other...), 401)
				l.saw(traces{})
			}
		}},
	{"F-06", "high", "`X-Forwarded-Host: evil.test` and names that look like ours, for a page, with `X-Forwarded-Proto: http` and without",
		"403 and no redirect; a host of ours in another spelling is sent to the sign-in page of that host, by https", func(t *testing.T, l *lab) {
			for _, l := range []*lab{l, forwardLabs["nginx"].of(t)} {
				for _, host := range []string{"evil.test", "evil.test:443", "gw.test.evil.test", "evilgw.test", "gw.test@evil.test", "evil.test#gw.test", "gw.test, evil.test", "evil.test\\gw.test", "127.0.0.1", "localhost", "gw.test%2eevil.test", "[::1]"} {
					r := l.forwardAnswered(l.forwardAskFor(host, "GET", "/x", "Accept: text/html"), 403, 400)
					if strings.Contains(fmt.Sprint(r.Header), "evil") || r.Header["Location"] != nil {
						t.Errorf("%s is answered with %v", host, r.Header)
					}
				}
				_, port, _ := strings.Cut(l.host, ":")
				for _, host := range []string{l.host, "GW.TEST:" + port, "gw.test.:" + port, "gw.test"} {
					for _, from := range []string{"https", "http"} {
						ask := strings.NewReplacer("Proto: https", "Proto: "+from, "URL: https", "URL: "+from).Replace(l.forwardAskFor(host, "GET", "/x?y=https://evil.test", "Accept: text/html", "Origin: https://evil.test", "Referer: https://evil.test/"))
						r := l.forwardAnswered(ask, 302, 303, 401)
						if to := r.Header.Get("Location"); !strings.HasPrefix(to, "https://"+l.host+"/.evergate/login?") {
							t.Errorf("%s by %s is sent to %q", host, from, to)
						}
					}
				}
				l.saw(traces{})
			}
		}},
	{"F-09", "critical", "without a session: User-Agents of health checks, paths that end in `/ping`, `/healthz`, `/.evergate/ping`, HEAD, preflights, ranges, prefetches, `X-Forwarded-For: 127.0.0.1`",
		"never 2xx; nor from a peer that is no proxy of ours, nor at the public listener", func(t *testing.T, l *lab) {
			for _, l := range []*lab{l, forwardLabs["nginx"].of(t)} {
				for _, more := range []string{"User-Agent: GoogleHC/1.0", "User-Agent: kube-probe/1.30", "User-Agent: ELB-HealthChecker/2.0", "User-Agent: ", "Origin: https://evil.test\r\nAccess-Control-Request-Method: GET",
					"Purpose: prefetch", "Sec-Purpose: prefetch", "Range: bytes=0-0", "If-None-Match: *", "Authorization: Bearer x", "Authorization: Basic YWxpY2U6YWxpY2U=", "Cookie: __Host-Http-evergate=", "Expect: 100-continue", "Upgrade: websocket\r\nConnection: Upgrade"} {
					l.forwardAnswered(l.forwardAsk("HEAD", "/ping", more), 400, 401, 403)
					l.forwardAnswered(l.forwardAsk("OPTIONS", "/ping", more), 400, 401, 403)
					for _, at := range []string{"/ping", "/x/ping", "/healthz", "/.evergate/ping", "/.evergate/auth", "/admin/.evergate/ping", "/favicon.ico", "/robots.txt", "/.well-known/acme-challenge/x"} {
						l.forwardAnswered(l.forwardAsk("GET", at, more), 400, 401, 403)
					}
				}
				l.forwardAnswered(strings.Replace(l.forwardAsk("GET", "/x"), "192.0.2.7", "127.0.0.1", 1), 401)
				cookie := l.signedIn("alice")
				for _, at := range []string{"/x", "/public/x"} {
					for _, r := range l.forwardToldFrom("127.0.0.2", l.forwardAsk("GET", at, cookie), 1) {
						if r.StatusCode != 403 || r.Header["Authorization"] != nil {
							t.Errorf("a peer that is no proxy of ours is answered %d %v", r.StatusCode, r.Header)
						}
					}
				}
				for _, at := range []string{"/.evergate/auth", "/.evergate/auth/x", "/.evergate/%61uth"} {
					ask := l.forwardAsk("GET", "/x", cookie)
					_, lines, _ := strings.Cut(strings.TrimSuffix(ask, "\r\n\r\n"), "\r\nHost: evergate\r\n")
					if r := l.get(at, strings.Split(lines, "\r\n")...); r.StatusCode < 400 || r.Header["Authorization"] != nil {
						t.Errorf("%s at the public listener: got %d %v", at, r.StatusCode, r.Header)
					}
				}
				l.saw(traces{})
			}
		}},
	{"F-10", "high", "pages, scripts and API clients without a session, asked about in the dialects of nginx, Traefik and Caddy",
		"nginx hears 401 or 403 and nothing else but a yes; the others get the way to the sign-in page for a person, and 401 for a script", func(t *testing.T, l *lab) {
			for dialect, l := range map[string]*lab{"traefik": l, "caddy": forwardLabs["caddy"].of(t), "nginx": forwardLabs["nginx"].of(t)} {
				page := 302
				if dialect == "nginx" {
					page = 401
				}
				l.forwardAnswered(l.forwardAsk("GET", "/x", "Accept: text/html"), page)
				l.forwardAnswered(l.forwardAsk("GET", "/x", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), page)
				for _, script := range []string{"Accept: application/json", "Sec-Fetch-Mode: cors\r\nAccept: text/html", "X-Requested-With: XMLHttpRequest\r\nAccept: text/html", "Accept: */*"} {
					r := l.forwardAnswered(l.forwardAsk("GET", "/x", script), 401)
					if r.Header["Location"] != nil || !strings.Contains(r.body, "login_url") {
						t.Errorf("%s: a script is answered with %v %s", dialect, r.Header, r.body)
					}
				}
				cookie := l.signedIn("alice")
				for at, want := range map[string]int{"/x": 200, "/public/x": 200, "/admin/": 403, "/a//b": 400, "/.evergate/login": 403} {
					if dialect == "nginx" && want == 400 {
						want = 403
					}
					l.forwardAnswered(l.forwardAsk("GET", at, cookie, "Accept: text/html"), want)
				}
				l.saw(traces{})
			}
		}},
	{"F-11", "high", "a handle that is due to rotate, behind a real nginx: a page, a script, and the store that hands out cookies with every answer",
		"no answer that nginx fetches from the app carries a handle; the page is handed to the gateway, which fetches it itself and gives the handle along. With `session.store: cookie` the config is refused", forwardRotates},
	{"F-12", "medium", "a question with the body and the `Content-Length` of the request that it is about, or chunked, which reads as a further question",
		"one answer, and the connection is closed: no body is read as a question", func(t *testing.T, l *lab) {
			cookie := l.signedIn("alice")
			further := l.forwardAsk("GET", "/admin/", "Cookie: x=smuggled")
			for _, framed := range []string{
				strings.Replace(l.forwardAsk("POST", "/x", cookie), "\r\n\r\n", fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(further)), 1) + further,
				strings.Replace(l.forwardAsk("POST", "/x", cookie), "\r\n\r\n", "\r\nContent-Length: 100000\r\n\r\n", 1) + further,
				strings.Replace(l.forwardAsk("POST", "/x", cookie), "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n", 1) + further,
			} {
				all := l.forwardTold(framed, 1)
				if len(all) == 0 || len(all) > 1 && all[1].StatusCode != 400 {
					t.Fatalf("got %d answers to %.300q", len(all), framed)
				}
				if !all[len(all)-1].Close {
					t.Errorf("the connection goes on behind a body: %v", all[len(all)-1].Header)
				}
				all[0].status(t, 200)
			}
			if all := l.forwardTold(l.forwardAsk("GET", "/x", cookie)+l.forwardAsk("GET", "/x")+l.forwardAsk("GET", "/x", cookie), 3); len(all) != 3 || all[0].StatusCode != 200 || all[1].StatusCode != 401 || all[2].StatusCode != 200 {
				t.Errorf("three questions on one connection got %d answers", len(all))
			}
			if said := l.out.from(l.before.log); strings.Contains(said, `"path":"/admin/"`) {
				t.Error("the log tells of the request in the body")
			}
			l.saw(traces{})
		}},
	{"F-13", "high", "a proxy that keeps answers: yes, no and the way to sign in, for alice and for nobody",
		"each says `no-store` and `Vary: Cookie`; `forwardAnswered` of these tests asks it of every answer", func(t *testing.T, l *lab) {
			for _, l := range []*lab{l, forwardLabs["caddy"].of(t), forwardLabs["nginx"].of(t)} {
				cookie := l.signedIn("alice")
				for _, at := range []string{"/x", "/public/x", "/admin/", "/a//b", "/.evergate/login", ""} {
					for _, as := range []string{cookie, "Cookie: a=1"} {
						l.forwardAnswered(l.forwardAsk("GET", at, as), 200, 400, 401, 403)
						l.forwardAnswered(l.forwardAsk("GET", at, as, "Accept: text/html"), 200, 302, 400, 401, 403)
						l.forwardAnswered(l.forwardAsk("GET", at, as, "If-None-Match: *", "Cache-Control: only-if-cached"), 200, 400, 401, 403)
					}
				}
				l.saw(traces{})
			}
		}},
	{"F-14", "medium", "1,000 questions at once about things on a page, by a session whose access token has just run out",
		"all are answered yes with a fresh token, and the provider is asked for one once", forwardStorm},
	{"F-15", "high", "what H-02 to H-17 send, and paths that servers read in two ways, through nginx with the configuration that `evergate snippet nginx` prints",
		"what comes of it without nginx. The same through Traefik, Caddy, HAProxy and Envoy: TestFrontTraefikIsNotFooled and the like (e2e)", forwardThroughNginx},
}}

// forwardRefusesCookieStore: there the cookie changes with answers, which are not the gateway's.
func forwardRefusesCookieStore(t *testing.T, l *lab) {
	t.Helper()
	l.write("cookie.yaml", fmt.Sprintf(`public_url: https://%s
trusted_proxies: [127.0.0.1]
forward_auth: { listen: 127.0.0.1:9091, dialect: nginx }
session: { store: cookie }
identity: [ oidc: { issuer: %q, client_id: evergate, client_secret_file: oidc.secret } ]
routes: [ upstream: %q ]
`, l.host, forwardOP.URL(), l.app.url()))
	out, err := exec.Command(binary, "check", filepath.Join(l.dir, "cookie.yaml")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "session.store") {
		t.Errorf("check of a config with forward_auth and session.store: cookie: %v\n%s", err, out)
	}
}
