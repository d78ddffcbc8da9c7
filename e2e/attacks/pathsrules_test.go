package attacks

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// pathsRules are about what a rule covers: its path, its methods, its prefix.
var pathsRules = []attack{
	{"P-29", "critical", "`/publicity` and `/x/public` where `/public` is open", "a rule covers its own path, by whole segments from the first",
		pathsOf(pathsTry{"/public", 200, 200, 200, "/public"}, pathsTry{"/publicity", 401, 200, 200, "/publicity"},
			pathsTry{"/x/public", 401, 200, 200, "/x/public"}, pathsTry{"/x/public/y", 401, 200, 200, "/x/public/y"}, pathsTry{"/public%2f", 400, 400, 400, ""})},
	{"P-30", "critical", "rules with `.*` or without anchors in the config", "a route's path is no expression, and one that looks like it is refused at load; that of a rewrite holds for whole paths",
		func(t *testing.T, l *lab) {
			for _, route := range []string{`{ match: { path: "/public.*" }`, `{ match: { path: "^/public" }`, `{ match: { path: "~/public" }`,
				`{ match: { path: "/foo/.*/bar" }`, `{ match: { path: "/x*/y" }`, `{ match: { path: "/x?y" }`} {
				l.write("bad.yaml", fmt.Sprintf("public_url: https://%s\nidentity: [ local: { users_file: users.yaml } ]\nroutes:\n  - %s, public: true, upstream: \"http://127.0.0.1:1\" }\n", l.host, route))
				cmd := exec.Command(binary, "check", "bad.yaml")
				cmd.Dir = l.dir
				if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "bad.yaml:4:") {
					t.Errorf("%s: got %v, want exit code 1 and the line\n%s", route, err, out)
				}
			}
			// An expression that matched a part of a path would make /store/x/files/y of these.
			pathsOf(pathsTry{"/files/x", 200, 200, 200, "/store/x"}, pathsTry{"/x/files/y", 401, 200, 200, "/x/files/y"}, pathsTry{"/files/..", 400, 400, 400, ""},
				pathsTry{"/files/.evergate/login", 200, 200, 200, "/store/.evergate/login"})(t, l)
		}},
	{"P-31", "critical", "`/api../admin`, `/api%2f..%2fadmin`, `/apiadmin` where `strip_prefix: /api` is open", "the prefix is whole segments; what is left is looked at as if it had come like that",
		pathsOf(pathsTry{"/api/x", 200, 200, 200, "/x"}, pathsTry{"/api../admin", 401, 200, 200, "/api../admin"}, pathsTry{"/apiadmin", 401, 200, 200, "/apiadmin"},
			pathsTry{"/api%2f..%2fadmin", 400, 400, 400, ""}, pathsTry{"/api/../admin", 400, 400, 400, ""}, pathsTry{"/api//admin", 400, 400, 400, ""},
			pathsTry{"/api/%2fadmin", 400, 400, 400, ""}, pathsTry{"/api/.evergate/login", 400, 400, 400, ""})},
	{"P-32", "high", "`get /admin/`, `GETT`, and more that is no method", "501, whoever sends it, and nothing reaches the app", func(t *testing.T, l *lab) {
		for _, method := range []string{"get", "Get", "GETT", "ADMIN", "G", "GET2", "DEBUG", "PURGE", "M-SEARCH"} {
			for _, cookie := range []string{"X-Nobody: x", pathsPeople.alice, pathsPeople.root} {
				for _, target := range []string{"/admin/", "/public/x"} {
					l.one(l.request(method, target, cookie)).status(t, http.StatusNotImplemented)
				}
				l.h2(append([]string{":method", method, ":scheme", "https", ":authority", l.host, ":path", "/admin/"}, h2Fields(cookie)...)).is(t, method, "501")
			}
		}
		l.saw(traces{})
	}},
	{"P-33", "high", "`X-HTTP-Method-Override: DELETE` and `_method=DELETE` where GET and POST are open and DELETE is not", "the method is that of the request line. The header, in any spelling, does not reach the app; what a query or a form says does, as data of a request that it is told nobody is signed in for",
		func(t *testing.T, l *lab) {
			evil := []string{"X-HTTP-Method-Override: DELETE", "x-http-method-override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "X_HTTP_Method_Override: DELETE"}
			l.get("/things/1", evil...).status(t, 200)
			l.post("/things/1", "x=y", evil...).status(t, 200)
			l.get("/things/1?_method=DELETE").status(t, 200)
			l.post("/things/1", "_method=DELETE").status(t, 200)
			l.h2(l.h2Get("/things/1", h2Fields(evil...)...)).is(t, "the header", "200")
			l.denied(l.one(l.request("DELETE", "/things/1", evil...)))
			l.one(l.request("DELETE", "/things/1", pathsPeople.alice, "X-HTTP-Method-Override: GET")).status(t, http.StatusForbidden)
			l.one(l.request("PUT", "/things/1", pathsPeople.root)).status(t, http.StatusMethodNotAllowed)
			for _, g := range l.saw(traces{app: 5}) {
				g.without(t, "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X_HTTP_Method_Override", "X-Forwarded-User", "Authorization")
				if strings.Contains(strings.ToLower(g.head()), "override: ") || g.Method == "DELETE" {
					t.Errorf("the app got %q", g.head())
				}
			}
		}},
	{"P-34", "high", "`OPTIONS *`, and `PRI * HTTP/2.0` in the place of a request", "400, and nothing reaches the app", func(t *testing.T, l *lab) {
		l.one(l.request("OPTIONS", "*")).status(t, http.StatusBadRequest)
		l.one(l.request("GET", "*", pathsPeople.root)).status(t, http.StatusBadRequest)
		l.one(l.request("PRI", "*")).status(t, http.StatusBadRequest)
		for _, preface := range []string{"PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + l.request("GET", "/public/x")} {
			all, closed := l.sendFor(patience, preface)
			if len(all) != 1 || !closed {
				t.Fatalf("%.40q: got %d answers, closed: %v, want one and the end", preface, len(all), closed)
			}
			all[0].status(t, http.StatusBadRequest)
		}
		for _, fields := range [][]string{
			{":method", "OPTIONS", ":scheme", "https", ":authority", l.host, ":path", "*"},
			{":method", "PRI", ":scheme", "https", ":authority", l.host, ":path", "/public/x"},
		} {
			l.h2(fields).is(t, fields[1], "400", "reset")
		}
		l.saw(traces{})
	}},
	{"P-36", "high", "a path of 64 kB, 20,000 × `../`, and 2,700 of them", "414, or 400, by its length and before anybody takes it apart (`TestLongPathsAreRefused` counts what that takes)", func(t *testing.T, l *lab) {
		for _, path := range []string{"/" + strings.Repeat("a", 64<<10), "/" + strings.Repeat("../", 20000), "/public/" + strings.Repeat("%2e%2e%2f", 7000)} {
			l.get(path).status(t, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge)
		}
		l.get("/"+strings.Repeat("../", 2700)).status(t, http.StatusBadRequest)
		l.get("/odd/"+strings.Repeat("%252f;/", 1100)+"%252e%252e").status(t, http.StatusBadRequest)
		l.saw(traces{})
	}},
	{"P-37", "high", "`/.evergate%2fadmin`, `/%2eevergate/logout`, `/.EVERGATE/`: the gateway's own folder in other spellings", "404 or 400: neither a page of the gateway nor the app, which could take it for one of them; nobody is signed out",
		func(t *testing.T, l *lab) {
			for _, target := range []string{"/.evergate%2fadmin", "/.evergate%2flogout", "/%2eevergate/logout", "/%2Eevergate/login", "/.EVERGATE/", "/.EverGate/logout", "/.evergate", "/.evergate/%6cogout",
				"/.evergate;x/logout", "/.evergate/logout;x", "//.evergate/logout", "/.evergate//logout", "/public/..%2f.evergate/logout", "/odd/..%2f..%2f.evergate/logout",
				"/.evergate/x/../logout", "/.evergate/logout%00", "/.evergate/logout/", "/.evergate/logou%74"} {
				for _, method := range []string{"GET", "POST"} {
					r := l.one(l.request(method, target, pathsPeople.alice, "Origin: https://"+l.host, "Sec-Fetch-Site: same-origin", "Content-Length: 0"))
					r.status(t, http.StatusNotFound, http.StatusBadRequest)
					if len(r.Header["Set-Cookie"]) > 0 {
						t.Errorf("%s %s sets cookies: %q", method, target, r.Header["Set-Cookie"])
					}
				}
			}
			l.get("/.evergate/session", pathsPeople.alice).status(t, 200)
			l.saw(traces{})
		}},
}
