package proxy_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// routes makes routes out of "host path methods" lines; "-" is an empty field.
func routes(lines ...string) (out []*proxy.Route) {
	for _, line := range lines {
		f := strings.Fields(line)
		r := &proxy.Route{Name: line}
		if f[0] != "-" {
			r.Host = f[0]
		}
		if len(f) > 1 && f[1] != "-" {
			r.Path = f[1]
		}
		if len(f) > 2 {
			r.Methods = strings.Split(f[2], ",")
		}
		out = append(out, r)
	}
	return out
}

func TestMatch(t *testing.T) {
	all := routes(
		"gw.test /",
		"gw.test /w/",
		"gw.test /w",
		"gw.test /w/exact",
		"gw.test /w/*/edit",
		"gw.test /w/*/",
		"gw.test /public/",
		"gw.test /api/ GET,POST",
		"gw.test /api/ DELETE",
		"gw.test /büro/x",
		"*.gw.test /",
		"*.deep.gw.test /only",
		"[::1] /",
		"- /healthz",
		"- /w/exact",
	)
	reversed := make([]*proxy.Route, len(all))
	for i, line := range all {
		reversed[len(all)-1-i] = &proxy.Route{Name: line.Name, Host: line.Host, Path: line.Path, Methods: line.Methods}
	}
	for _, tt := range []struct {
		name, method, host, path, want string
	}{
		{"the root", "GET", "gw.test", "/", "gw.test /"},
		{"a prefix", "GET", "gw.test", "/w/x/y", "gw.test /w/*/"},
		{"a prefix itself", "GET", "gw.test", "/w/", "gw.test /w/"},
		{"an exact path is not its prefix", "GET", "gw.test", "/w", "gw.test /w"},
		{"an exact path before a star", "GET", "gw.test", "/w/exact", "gw.test /w/exact"},
		{"an exact path has nothing under it", "GET", "gw.test", "/w/exact/", "gw.test /w/*/"},
		{"a star is one segment", "GET", "gw.test", "/w/a/edit", "gw.test /w/*/edit"},
		{"a star is not two segments", "GET", "gw.test", "/w/a/b/edit", "gw.test /w/*/"},
		{"a star is not an empty segment", "GET", "gw.test", "/w//edit", "gw.test /w/"},
		{"a star in a request is a name", "GET", "gw.test", "/*", "gw.test /"},
		{"P-29 a name is not the start of another", "GET", "gw.test", "/publicity", "gw.test /"},
		{"P-29 a rule is anchored", "GET", "gw.test", "/x/public/", "gw.test /"},
		{"case counts in a path", "GET", "gw.test", "/Public/", "gw.test /"},
		{"a pattern is matched in canonical form", "GET", "gw.test", "/b%C3%BCro/x", "gw.test /büro/x"},
		{"a method", "POST", "gw.test", "/api/x", "gw.test /api/ GET,POST"},
		{"another method", "DELETE", "gw.test", "/api/x", "gw.test /api/ DELETE"},
		{"HEAD where GET is", "HEAD", "gw.test", "/api/x", "gw.test /api/ GET,POST"},
		{"no fall back to a wider rule", "PUT", "gw.test", "/api/x", "405 DELETE, GET, HEAD, POST"},
		{"H-20 a host in upper case", "GET", "GW.TEST", "/w", "gw.test /w"},
		{"H-20 a host with a dot", "GET", "gw.test.", "/w", "gw.test /w"},
		{"H-20 a host with a port", "GET", "gw.test:443", "/w", "gw.test /w"},
		{"H-20 all of them", "GET", "GW.TEST.:443", "/w", "gw.test /w"},
		{"H-20 a host with two dots", "GET", "gw.test..", "/w", "421"},
		{"H-20 a host with two dots and a port", "GET", "gw.test..:443", "/w", "421"},
		{"H-20 a host of dots", "GET", "..", "/w", "421"},
		{"an empty name in a host", "GET", "a..gw.test", "/x", "421"},
		{"an address", "GET", "[::1]:8080", "/x", "[::1] /"},
		{"a wildcard", "GET", "a.gw.test", "/x", "*.gw.test /"},
		{"a wildcard at any depth", "GET", "a.b.gw.test", "/x", "*.gw.test /"},
		{"the longest wildcard", "GET", "a.deep.gw.test", "/only", "*.deep.gw.test /only"},
		{"the next wildcard where a path is missing", "GET", "a.deep.gw.test", "/x", "*.gw.test /"},
		{"a wildcard needs its dot", "GET", "badgw.test", "/x", "404"},
		{"any host", "GET", "other.test", "/healthz", "- /healthz"},
		{"an exact host before any host", "GET", "gw.test", "/healthz", "gw.test /"},
		{"a known host, an unknown path", "GET", "other.test", "/x", "404"},
		{"a host with two ports", "GET", "gw.test:80:80", "/w", "421"},
		{"a host with a user", "GET", "x@gw.test", "/w", "421"},
		{"a host with a slash", "GET", "gw.test/", "/w", "421"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, rs := range [][]*proxy.Route{all, reversed} {
				if got := match(newRouter(t, rs...), tt.host, tt.path, tt.method); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
	if got := match(newRouter(t, routes("gw.test /")...), "other.test", "/", "GET"); got != "421" {
		t.Errorf("an unknown host: got %q, want 421", got)
	}
}

func match(router *proxy.Router, host, path, method string) string {
	route, err := router.Match(host, path, method)
	if e, ok := errors.AsType[*proxy.MethodError](err); ok {
		return "405 " + e.Allow
	}
	switch {
	case errors.Is(err, proxy.ErrNoHost):
		return "421"
	case errors.Is(err, proxy.ErrNoPath):
		return "404"
	}
	return route.String()
}

func TestRoutesThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		routes []*proxy.Route
		want   []string
	}{
		{"G-12 two alike", routes("a.test /w/", "b.test /w/", "a.test /w/"), []string{"routes[2].match: ties with routes[0].match"}},
		{"two alike but for case and dot", routes("a.test /w/", "A.test. /w/"), []string{"routes[1].match: ties with routes[0].match"}},
		{"two alike but for the spelling", routes("a.test /%61", "a.test /a"), []string{"routes[1].match: ties with routes[0].match"}},
		{"two that match everything", routes("-", "- /"), []string{"routes[1].match: ties with routes[0].match"}},
		{"a method in both", routes("- /a GET,POST", "- /a POST"), []string{"ties with routes[0].match", "method POST"}},
		{"every fault at once", routes("- a", "- /a//b", "a:80 /", "- /a get,CONNECT"), []string{
			"routes[0].match.path", "routes[1].match.path", "routes[2].match.host", "routes[3].match.methods[0]", "routes[3].match.methods[1]"}},
		{"dots in a path", routes("- /a/../b"), []string{"routes[0].match.path"}},
		{"P-30 a star within a segment", routes("- /a.*/b"), []string{"routes[0].match.path"}},
		{"a query", routes("- /a?b"), []string{"routes[0].match.path"}},
		{"a parameter", routes("- /a;b"), []string{"routes[0].match.path"}},
		{"the gateway's own paths", routes("- /.Evergate/x"), []string{"routes[0].match.path", "gateway's own"}},
		{"a scheme in a host", routes("http://a.test /"), []string{"routes[0].match.host"}},
		{"a host of umlauts", routes("bücher.test /"), []string{"routes[0].match.host", "xn--"}},
		{"a wildcard alone", routes("*. /"), []string{"routes[0].match.host"}},
		{"an origin with a path", []*proxy.Route{{Origins: []string{"https://a.test/", "https://a.test/x"}}}, []string{"routes[0].origins[1]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := proxy.NewRouter(tt.routes)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	router := newRouter(t, routes("gw.test /w/*/x", "*.gw.test /", "- /w/")...)
	for _, host := range []string{"gw.test", "a.gw.test:443", "other"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = router.Match(host, "/w/a/x", http.MethodHead) }); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", host, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000, 100_000} {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf("h%d.test /app/%d/", i%100, i))
		}
		router := newRouter(b, routes(lines...)...)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := router.Match("h7.test:443", "/app/7/some/page", "GET"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
