package attacks

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

func init() { sections = append(sections, paths) }

// pathsRoutes are the usual ones, and others beside them that a path could be taken for.
const pathsRoutes = usualRoutes + `  - { match: { path: /public }, public: true, upstream: %[1]q }
  - { match: { path: /api/ }, public: true, strip_prefix: /api, upstream: %[1]q }
  - { match: { path: /files/ }, public: true, rewrite: { path: "/files/(.*)", to: "/store/$1" }, upstream: %[1]q }
  - { match: { path: /odd/ }, public: true, path_chars: [encoded_slash, semicolon, double_slash], upstream: %[1]q }
  - { match: { path: /odd/admin/ }, allow: [ groups: [admin] ], upstream: %[1]q }
  - { match: { path: /things/, methods: [GET, POST] }, public: true, upstream: %[1]q }
  - { match: { path: /things/, methods: [DELETE] }, allow: [ groups: [admin] ], upstream: %[1]q }
`

// pathsPeople are the cookies of whoever is signed in while the section runs: alice is of
// staff, root of admin.
var pathsPeople struct{ alice, root string }

func TestPaths(t *testing.T) {
	t.Parallel()
	l := newLab(t, setup{routes: pathsRoutes})
	pathsPeople.alice, pathsPeople.root = l.signIn("alice"), l.signIn("root")
	paths.try(t, l)
}

// pathsTry is a target, and what becomes of it for three people.
type pathsTry struct {
	target               string
	nobody, alice, admin int
	up                   string // what the app gets where somebody may pass; "" is nothing
}

// pathsOf sends each target by three people over HTTP/1.1 and HTTP/2. Where the gateway
// lets one pass, the app gets that very path: what was decided on, and nothing else.
func pathsOf(all ...pathsTry) func(*testing.T, *lab) {
	return func(t *testing.T, l *lab) {
		var want []string
		for _, try := range all {
			for _, by := range []struct {
				who, cookie string
				status      int
			}{{"nobody", "", try.nobody}, {"alice", pathsPeople.alice, try.alice}, {"root", pathsPeople.root, try.admin}} {
				var lines []string
				if by.cookie != "" {
					lines = []string{by.cookie}
				}
				r := l.get(try.target, lines...)
				if r.StatusCode != by.status {
					t.Errorf("%.100q by %s: got %d %.200q, want %d", try.target, by.who, r.StatusCode, r.body, by.status)
				}
				if by.status == http.StatusUnauthorized {
					l.denied(r)
				}
				statuses := []string{fmt.Sprint(by.status)}
				if by.status == http.StatusBadRequest {
					statuses = append(statuses, "reset") // what is no request at all to HTTP/2
				}
				l.h2(l.h2Get(try.target, h2Fields(lines...)...)).is(t, fmt.Sprintf("%.100q by %s", try.target, by.who), statuses...)
				if by.status == http.StatusOK {
					want = append(want, try.up, try.up)
				}
			}
		}
		for i, g := range l.saw(traces{app: len(want)}) {
			if i < len(want) && g.RequestURI != want[i] {
				t.Errorf("the app got %q, want %q", g.RequestURI, want[i])
			}
		}
	}
}

// pathsRefused are targets that can be read in two ways.
func pathsRefused(targets ...string) func(*testing.T, *lab) {
	var all []pathsTry
	for _, target := range targets {
		all = append(all, pathsTry{target, 400, 400, 400, ""})
	}
	return pathsOf(all...)
}

// What has to come of most.
const (
	pathsNowhere = "400, whoever sends it, and nothing reaches the app"
	pathsAsOne   = "decided by the rule of the path that it means, and the app gets exactly that path"
)

// paths are requests whose path or method the gateway and an app could read differently.
var paths = &section{name: "Paths and methods that can be read in two ways", test: "TestPaths", attacks: slices.Concat(pathsSpelled, pathsRules)}

// pathsSpelled are spellings of a path. Each is sent without a session, by somebody who may
// not see /admin/ and by somebody who may, over HTTP/1.1 and over HTTP/2.
var pathsSpelled = []attack{
	{"P-01", "critical", "`/public/../admin/`", pathsNowhere, pathsRefused("/public/../admin/", "/public/..", "/public/./../admin/x")},
	{"P-03", "critical", "`/public/%2e%2e%2fadmin/`: dots and slash escaped", pathsNowhere,
		pathsRefused("/public/%2e%2e%2fadmin/", "/public/%2E%2E/admin/", "/public/.%2e/admin/", "/odd/%2e%2e%2fadmin/")},
	{"P-04", "critical", "`/public/..%2fadmin/`, also where a route takes `%2F`", pathsNowhere,
		pathsRefused("/public/..%2fadmin/", "/odd/..%2fadmin/", "/odd/x%2f..%2f..%2fadmin/", "/odd/admin%2fx")},
	{"P-05", "critical", "`/public/%252e%252e/admin/`: escaped twice, and thrice", pathsNowhere,
		pathsRefused("/public/%252e%252e/admin/", "/public/%25252e%25252e/admin/", "/%2561dmin/", "/odd/%252e%252e%252fadmin/")},
	{"P-06", "critical", "`/public/..;/admin/`, also where a route takes `;`", pathsNowhere,
		pathsRefused("/public/..;/admin/", "/public/..;x=y/admin/", "/public/..%3b/admin/", "/odd/..;/admin/", "/odd/admin;x/y")},
	{"P-07", "critical", "`/public;/../admin/`", pathsNowhere, pathsRefused("/public;/../admin/", "/public;x/admin/", "/odd;/../admin/")},
	{"P-08", "critical", "`/public/.;/../admin/`", pathsNowhere, pathsRefused("/public/.;/../admin/", "/public/.;/x", "/odd/.;/../admin/")},
	{"P-09", "critical", "`//admin/`: a host to some parsers", pathsNowhere, pathsRefused("//admin/", "//admin/public/x", "//gw.test/admin/")},
	{"P-10", "critical", "`/.//admin/`", pathsNowhere, pathsRefused("/.//admin/", "/./admin/", "/%2e//admin/")},
	{"P-11", "critical", "`///admin/`", pathsNowhere, pathsRefused("///admin/", "////admin/")},
	{"P-13", "critical", "`/public//../admin/`, also where a route takes `//`", pathsNowhere,
		pathsRefused("/public//../admin/", "/public//x", "/odd//../admin/", "/odd//admin/x")},
	{"P-14", "critical", "`/%2fadmin/`", pathsNowhere, pathsRefused("/%2fadmin/", "/%2Fadmin/", "/%252fadmin/")},
	{"P-16", "critical", "`/%61dmin/`: letters escaped", pathsAsOne,
		pathsOf(pathsTry{"/%61dmin/", 401, 403, 200, "/admin/"}, pathsTry{"/%61%64%6d%69%6E/x", 401, 403, 200, "/admin/x"})},
	{"P-18", "critical", "`/public\\..\\admin\\`: backslashes, bare and escaped", pathsNowhere,
		pathsRefused(`/public\..\admin\`, `/public\..\..\admin`, "/public/..%5cadmin%5c", "/public%5c..%5cadmin", "/odd/..%5cadmin")},
	{"P-20", "critical", "`/admin/#/public/`: a bare `#`", pathsNowhere, pathsRefused("/admin/#/public/", "/public/#/../admin/", "/public/x?y#/admin/")},
	{"P-21", "critical", "`/admin/%23/public/`: an escaped `#`, which a server could cut off at", pathsAsOne,
		pathsOf(pathsTry{"/admin/%23/public/", 401, 403, 200, "/admin/%23/public/"}, pathsTry{"/admin%23/x", 401, 200, 200, "/admin%23/x"},
			pathsTry{"/public/%23/../admin/", 400, 400, 400, ""}, pathsTry{"/odd/%23/x", 200, 200, 200, "/odd/%23/x"})},
	{"P-22", "critical", "`/admin/x?/public/`, and an escaped `?`", "the rule reads the path alone, and the query goes up byte for byte",
		pathsOf(pathsTry{"/admin/x?/public/", 401, 403, 200, "/admin/x?/public/"}, pathsTry{"/admin/?x=/../public/&y=%zz;", 401, 403, 200, "/admin/?x=/../public/&y=%zz;"},
			pathsTry{"/admin/%3f/public/", 401, 403, 200, "/admin/%3F/public/"}, pathsTry{"/public/x?/../admin/", 200, 200, 200, "/public/x?/../admin/"})},
	{"P-23", "critical", "`/admin%00/public/`, `/admin%0a`, `/admin%09`: control characters", pathsNowhere,
		pathsRefused("/admin%00/public/", "/public/%00/../admin/", "/admin%0a", "/admin%0d%0ax", "/admin%09", "/admin%7f", "/public/%2500", "/public/%c2%85")},
	{"P-24", "high", "`/public/%c0%ae%c0%ae/admin/`: dots in overlong UTF-8", pathsNowhere,
		pathsRefused("/public/%c0%ae%c0%ae/admin/", "/public/%c0%ae%c0%ae%c0%afadmin/", "/public/%e0%80%ae%e0%80%ae/admin/", "/public/%ff")},
	{"P-25", "high", "`/public/%u002e%u002e/admin/`: an escape that Microsoft's servers knew", pathsNowhere,
		pathsRefused("/public/%u002e%u002e/admin/", "/%u0061dmin/", "/public/%uff0e%uff0e%uff0fadmin/")},
	{"P-26", "high", "full-width dots and slashes, which some make ASCII of", pathsNowhere,
		pathsRefused("/public/\uff0e\uff0e/admin/", "/public/%EF%BC%8E%EF%BC%8E/admin/", "/public/\uff0e\uff0e\uff0fadmin/", "/public/%E2%80%A5/admin/", "/public/.\u2024/admin/")},
	{"P-27", "high", "`/admin.`, `/admin%20`, `/admin::$DATA`, `/ADMIN/`: what Windows takes for `/admin`", "these are other names: the rule that covers that very name decides, and the app gets it as it is. Nothing is open by it; where an app folds names, the rule of what lies around has to be as strict",
		pathsOf(pathsTry{"/admin.", 401, 200, 200, "/admin."}, pathsTry{"/admin%20", 401, 200, 200, "/admin%20"}, pathsTry{"/admin::$DATA", 401, 200, 200, "/admin::$DATA"},
			pathsTry{"/ADMIN/", 401, 200, 200, "/ADMIN/"}, pathsTry{"/public./x", 401, 200, 200, "/public./x"}, pathsTry{"/PUBLIC/x", 401, 200, 200, "/PUBLIC/x"})},
	{"P-28", "high", "a lone `%`, `%zz`", pathsNowhere, pathsRefused("/public/%", "/public/100%", "/public/%zz", "/public/%4", "/public/%%41")},
}
