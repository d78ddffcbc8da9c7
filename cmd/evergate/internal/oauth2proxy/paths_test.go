package oauth2proxy_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/oauth2proxy"
	"github.com/evergate/evergate/config"
)

func TestPathsOfExpressions(t *testing.T) {
	for _, c := range []struct {
		name, expr string
		want       []string
		more       bool
	}{
		{"a whole path", "^/healthz$", []string{"/healthz"}, false},
		{"everything below a path", "^/static/", []string{"/static/"}, false},
		{"the same, said at length", "^/static/.*$", []string{"/static/"}, false},
		{"a beginning is a path and all below it, and not its namesakes", "^/metrics", []string{"/metrics", "/metrics/"}, true},
		{"alternatives", "^/(css|js)/", []string{"/css/", "/js/"}, false},
		{"what may be left out", "^/api(/v1)?$", []string{"/api", "/api/v1"}, false},
		{"any one segment", "^/users/[^/]+/avatar$", []string{"/users/*/avatar"}, false},
		{"a few letters", "^/v[12]/$|^/v[12]$", []string{"/v1", "/v2"}, true},
		{"a dot that means a dot", `^/favicon\.ico$`, []string{"/favicon.ico"}, false},
		{"a dot that means anything", "^/favicon.ico$", []string{"/favicon.ico"}, true},
		{"anywhere in a path", "/ping$", []string{"/ping"}, true},
		{"everything", "^/", []string{"/"}, false},
		{"no letters alike", "(?i)^/ping$", nil, true},
		{"an ending", `\.css$`, nil, true},
		{"numbers", `^/item/\d+$`, nil, true},
		{"the bare folder would be all below it", "^/static/$", nil, true},
		{"a part of a segment", "^/user-[^/]+$", nil, true},
		{"no expression", "^/(", nil, false},
		{"a dot segment", `^/a/\.\./b$`, nil, true},
	} {
		got, more, ok := oauth2proxy.PathsOf(c.expr)
		if !slices.Equal(got, c.want) || ok != (len(c.want) > 0) || ok && more != c.more {
			t.Errorf("%s, %s: got %q, more %v; want %q, %v", c.name, c.expr, got, more, c.want, c.more)
		}
	}
}

// TestPublicRoutes: which routes need no sign-in, by whole configs.
func TestPublicRoutes(t *testing.T) {
	const ups = "upstreams = [\"http://127.0.0.1:1/\", \"http://127.0.0.1:2/api/\"]\nemail_domains = \"*\"\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none by omission", "", nil},
		{"a method is one", "skip_auth_routes = [\"get=^/a$\"]", []string{"GET /a by :1"}},
		{"two methods are one route", "skip_auth_routes = [\"GET=^/a$\", \"POST=^/a$\"]", []string{"GET,POST /a by :1"}},
		{"any method", "skip_auth_routes = [\"=^/a$\"]", []string{" /a by :1"}},
		{"every path but one is no path", "skip_auth_routes = [\"!=^/a$\", \"GET!=^/a$\", \"GET=^/a!=b\"]", nil},
		{"a = in an expression is a method there, which no request has", "skip_auth_routes = [\"^/a=b$\"]", nil},
		{"in skip_auth_regex it is a =", "skip_auth_regex = [\"^/a=b$\"]", []string{" /a=b by :1"}},
		{"a path is its own upstream's", "skip_auth_routes = [\"^/api/hook$\"]", []string{" /api/hook by :2"}},
		{"an upstream below a path is public with it", "skip_auth_routes = [\"^/\"]", []string{" / by :1", " /api/ by :2"}},
		{"an upstream itself", "skip_auth_routes = [\"^/api/\"]", []string{" /api/ by :2"}},
		{"a method of an upstream below", "skip_auth_routes = [\"GET=^/\"]", []string{"GET / by :1", "GET /api/ by :2"}},
	} {
		var got []string
		for _, r := range imported(t, ups+c.text).Routes {
			if r.Public {
				path := r.Match.Path
				if path == "" {
					path = "/"
				}
				got = append(got, strings.Join(r.Match.Methods, ",")+" "+path+" by :"+r.Upstream.Targets[0].URL.Port())
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNothingIsPublicInAGap: what an upstream served that is left out, the one around it does
// not serve to strangers.
func TestNothingIsPublicInAGap(t *testing.T) {
	for _, c := range []struct {
		name, path, skip, rewrite string
		want                      []string
	}{
		{"all below", "^/foo/(.*)$", "^/foo/pub/", "/$1", nil},
		{"one page", "^/foo/(.*)$", "^/foo/pub$", "/$1", nil},
		{"around it", "^/foo/(.*)$", "^/", "/$1", nil},
		{"a segment of any name", "^/foo/(.*)$", "^/[^/]+/pub$", "/$1", nil},
		{"an expression that begins as a path", "/foo/(bar)/", "^/foo/bar/", "/$1", nil},
		{"one that may match anywhere", "foo", "^/x/", "/y", nil},
		{"a variable of the router", "/foo/{id}/", "^/foo/7/", "", nil},
		{"a page that it did not serve", "^/foo/([0-9]+)$", "^/foo/pub$", "/$1", []string{"/foo/pub"}},
		{"elsewhere", "^/foo/(.*)$", "^/bar/", "/$1", []string{"/bar/"}},
		{"beside one page", "/foo{id}", "^/bar$", "", []string{"/bar"}},
	} {
		alpha := "upstreamConfig:\n  upstreams:\n  - { id: a, path: /, uri: \"http://127.0.0.1:1\" }\n  - { id: b, path: \"" + c.path + "\", uri: \"http://127.0.0.1:2\""
		if c.rewrite != "" {
			alpha += ", rewriteTarget: \"" + c.rewrite + "\""
		}
		r, err := oauth2proxy.Import([]oauth2proxy.Source{{Name: "alpha.yaml", Data: []byte(alpha + " }\nproviders:\n- { provider: oidc, clientID: x, oidcConfig: { issuerURL: \"https://login.example.com\" } }\n")},
			{Name: "in", Data: []byte("email_domains = \"*\"\nredirect_url = \"https://apps.example.com/x\"\nskip_auth_routes = [\"" + c.skip + "\"]\n")}}, oauth2proxy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("out", r.Config, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range cfg.Routes {
			if r.Public {
				got = append(got, r.Match.Path)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q public, want %q, in\n%s", c.name, got, c.want, r.Config)
		}
		if said := strings.Contains(strings.Join(strings.Fields(string(r.Config)), " "), "is not public: the upstream on alpha.yaml:4"); said != (c.want == nil) {
			t.Errorf("%s: got that it is said %t, want %t, in\n%s", c.name, said, c.want == nil, r.Config)
		}
	}
}

// TestOtherMethodsStayGuarded: a path that is public for some methods is served for the
// others too, to whom its surroundings are.
func TestOtherMethodsStayGuarded(t *testing.T) {
	const ups = "upstreams = [\"http://127.0.0.1:1/\", \"http://127.0.0.1:2/api/\"]\nemail_domains = \"*\"\nskip_jwt_bearer_tokens = true\noidc_extra_audiences = [\"https://api.example.com\"]\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a beginning", "skip_auth_routes = [\"GET=^/metrics\"]", []string{"GET /metrics public", "/metrics/ by :1", "GET /metrics/ public", "/metrics by :1"}},
		{"a path of its own upstream's", "skip_auth_routes = [\"HEAD=^/api/h$\"]", []string{"HEAD /api/h public", "/api/h by :2"}},
		{"two methods have one rest", "skip_auth_routes = [\"GET=^/a$\", \"POST=^/a$\"]", []string{"GET,POST /a public", "/a by :1"}},
		{"an upstream is its own rest", "skip_auth_routes = [\"GET=^/\"]", []string{"GET / public", "GET /api/ public"}},
		{"a path that is public by another line", "skip_auth_routes = [\"GET=^/a$\", \"^/a$\"]", []string{"GET /a public", "/a public"}},
		{"a path below one that is public", "skip_auth_routes = [\"^/a/\", \"GET=^/a/x$\"]", []string{"/a/ public", "GET /a/x public", "/a/x public"}},
		{"a path beside one that is public", "skip_auth_routes = [\"^/a$\", \"GET=^/a/x$\"]", []string{"/a public", "GET /a/x public", "/a/x by :1"}},
		{"all methods leave none", "skip_auth_routes = [\"GET=^/a$\", \"HEAD=^/a$\", \"POST=^/a$\", \"PUT=^/a$\", \"PATCH=^/a$\", \"DELETE=^/a$\", \"OPTIONS=^/a$\"]",
			[]string{"GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS /a public"}},
	} {
		var got []string
		for _, r := range imported(t, ups+c.text).Routes {
			path := r.Match.Path
			if path == "" {
				path = "/"
			}
			if !r.Public && (path == "/" || path == "/api/") {
				continue
			}
			if !r.Public && !r.Bearer {
				t.Errorf("%s: %s takes no tokens, as the route around it does", c.name, path)
			}
			got = append(got, strings.TrimSpace(strings.Join(r.Match.Methods, ",")+" "+path+map[bool]string{true: " public", false: " by :" + r.Upstream.Targets[0].URL.Port()}[r.Public]))
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// below are what may follow a path that ends in a slash.
var below = []string{"", "x", "x/y", "index.html", "a/b/c", "-"}

// wider finds a path that is public by what was made of an expression, and was not by the
// expression.
func wider(expr string) string {
	paths, _, _ := oauth2proxy.PathsOf(expr)
	re, err := regexp.Compile(expr)
	if err != nil {
		return strings.Join(paths, "")
	}
	for _, p := range paths {
		for _, one := range []string{"x", "new-thing", "7", "a.b"} {
			try := []string{""}
			if strings.HasSuffix(p, "/") {
				try = below
			}
			for _, more := range try {
				if path := strings.ReplaceAll(p, "*", one) + more; !re.MatchString(path) {
					return path
				}
			}
		}
	}
	return ""
}

// FuzzPublicIsNoWider: whatever the expression, no path is public that was not.
func FuzzPublicIsNoWider(f *testing.F) {
	for _, expr := range []string{"^/a/", "^/a$", "^/a", "/a.*", "^/(a|b)/c?$", "^/[^/]+/x$", "^/x/[^/]+", "a$|^/b", "^/a(/.*)?$", `^/\x2e`, "^^/a", "^/a$$", "^/a.*b", "(^/a|/b)c", "^/a[^/]+/"} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if len(expr) > 200 || strings.ContainsRune(expr, '*') && strings.Count(expr, "*") > 8 {
			t.Skip("longer than people write")
		}
		if path := wider(expr); path != "" {
			t.Errorf("%q makes %q public", expr, path)
		}
	})
}
