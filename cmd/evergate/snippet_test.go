package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/snippet"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
)

// asking is a config that a front proxy could be made for, and what changes of it.
const asking = `public_url: https://apps.example.com
trusted_proxies: [127.0.0.1]
forward_auth: { listen: "127.0.0.1:9091", dialect: nginx }
identity: [ local: { users_file: users.yaml } ]
routes:
  - upstream: http://127.0.0.1:3000
`

// TestSnippetSaysWhatIsMissing: nothing is printed that would have to be filled in.
func TestSnippetSaysWhatIsMissing(t *testing.T) {
	withCert := []string{"--cert", "/etc/apps.pem", "--key", "/etc/apps.key"}
	for _, tt := range []struct {
		name, from, to string
		args           []string
		code           int
		says           string
	}{
		{"all is there", "", "", append([]string{"nginx"}, withCert...), exitOK, "nginx -t"},
		{"no forward_auth", "forward_auth: { listen: \"127.0.0.1:9091\", dialect: nginx }\n", "", append([]string{"nginx"}, withCert...), exitFailed, "add:  forward_auth: { listen:"},
		{"another dialect", "", "", append([]string{"caddy"}, withCert...), exitFailed, "evergate snippet nginx, or write dialect: caddy"},
		{"a dialect that nobody speaks", "", "", []string{"apache"}, exitMisuse, "apache"},
		{"no certificate", "", "", []string{"nginx"}, exitFailed, "add --cert FILE --key FILE"},
		{"half a certificate", "", "", []string{"nginx", "--cert", "/etc/apps.pem"}, exitFailed, "add both --cert FILE and --key FILE"},
		{"the gateway speaks TLS itself", "routes:", "tls: { cert_file: a.pem, key_file: a.key }\nroutes:", []string{"nginx"}, exitFailed, "remove tls from the config"},
		{"no upstream", "upstream: http://127.0.0.1:3000", "match: { path: / }", append([]string{"nginx"}, withCert...), exitFailed, "add an upstream to it, or --app URL"},
		{"no upstream, and a flag", "upstream: http://127.0.0.1:3000", "match: { path: / }", append([]string{"nginx", "--app", "http://127.0.0.1:3000"}, withCert...), exitOK, ""},
		{"an app for a host that is none", "", "", append([]string{"nginx", "--app", "wiki.example.com=http://127.0.0.1:3000"}, withCert...), exitMisuse, "no route is for the host wiki.example.com"},
		{"an app that is no address", "", "", append([]string{"nginx", "--app", "gopher://x"}, withCert...), exitMisuse, "gopher"},
		{"every address", "127.0.0.1:9091", "0.0.0.0:9091", append([]string{"nginx"}, withCert...), exitFailed, "add --gateway HOST"},
		{"every address, and a flag", "127.0.0.1:9091", "0.0.0.0:9091", append([]string{"nginx", "--gateway", "evergate"}, withCert...), exitOK, ""},
		{"any port", "127.0.0.1:9091", "127.0.0.1:0", append([]string{"nginx"}, withCert...), exitFailed, "no fixed address"},
		{"no address to listen on", "", "", append([]string{"nginx", "--listen", "443"}, withCert...), exitFailed, "write --listen"},
		{"a PROXY header", "routes:", "proxy_protocol: true\nroutes:", append([]string{"nginx"}, withCert...), exitFailed, "remove proxy_protocol"},
		{"another header for the client", "routes:", "forwarded_header: Forwarded\nroutes:", append([]string{"nginx"}, withCert...), exitFailed, "remove forwarded_header"},
		{"a path with an escape that proxies do not tell apart", "upstream:", "match: { path: \"/a%3ab/\" }\n    upstream:", append([]string{"nginx"}, withCert...), exitFailed, "write the character itself"},
		{"a path with an encoded slash", "upstream:", "match: { path: \"/a%2Fb\" }\n    path_chars: [encoded_slash]\n    upstream:", append([]string{"nginx"}, withCert...), exitFailed, ""},
		{"a config with a fault", "routes:", "routs:", append([]string{"nginx"}, withCert...), exitFailed, `did you mean "routes"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "evergate.yaml")
			if err := os.WriteFile(file, []byte(strings.Replace(asking, tt.from, tt.to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, said bytes.Buffer
			code := run(append(append([]string{"snippet"}, tt.args...), "--config", file), nil, &out, &said)
			if code != tt.code || !strings.Contains(said.String(), tt.says) {
				t.Errorf("got %d and\n%s\nwant %d and %q", code, said.String(), tt.code, tt.says)
			}
			if (out.Len() > 0) != (tt.code == exitOK) {
				t.Errorf("%d bytes were printed", out.Len())
			}
		})
	}
}

// TestSnippetLeadsWhereTheRouterLeads: a front proxy that goes by the order and the expressions
// of a snippet sends each request to the app of the route that decides about it, or to the gateway.
func TestSnippetLeadsWhereTheRouterLeads(t *testing.T) {
	hosts := []string{"", "apps.example.com", "wiki.example.com", "*.example.com", "*.wiki.example.com", "*.shop.example.org"}
	segments := []string{"a", "b", "*", "a%20b", "é", "~x", "v1.0"}
	rng := rand.New(rand.NewPCG(7, 7))
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	path := func(star string) string {
		p := ""
		for range rng.IntN(4) {
			p += "/" + strings.Replace(pick(segments), "*", star, 1)
		}
		if p == "" || rng.IntN(2) == 0 {
			p += "/"
		}
		return p
	}
	compared, byFront, byGateway := 0, 0, 0
	for n := range 300 {
		var routes strings.Builder
		seen := map[string]bool{}
		for i := range 1 + rng.IntN(8) {
			host, p := pick(hosts), strings.ReplaceAll((&url.URL{Path: mustUnescape(t, path("*"))}).EscapedPath(), "%2A", "*")
			match := "path: \"" + p + "\""
			if host != "" {
				match += ", host: \"" + host + "\""
			}
			if rng.IntN(6) == 0 {
				match += ", methods: [" + pick([]string{"GET", "POST"}) + "]"
			}
			if seen[match] {
				continue
			}
			seen[match] = true
			fmt.Fprintf(&routes, "  - { name: r%d, match: { %s }, upstream: \"http://127.0.0.1:%d\" }\n", i, match, 3000+i)
		}
		cfg, err := config.Parse("evergate.yaml", []byte(strings.Replace(asking, "  - upstream: http://127.0.0.1:3000\n", routes.String(), 1)), os.LookupEnv)
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		front, err := frontOf(cfg, &snippetFlags{cert: "/a", key: "/b"})
		if err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		router, _, err := buildRouter(cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			host := pick([]string{"apps.example.com", "wiki.example.com", "x.example.com", "deep.x.example.com", "x.wiki.example.com", "x.shop.example.org"})
			asked := path(pick([]string{"c", "*", "a"}))
			target, bad := proxy.Clean((&url.URL{Path: mustUnescape(t, asked)}).EscapedPath(), 0)
			if bad != nil {
				t.Fatal(bad)
			}
			method := pick([]string{"GET", "POST", "PUT"})
			app := leadsTo(t, front, host, mustUnescape(t, target.Path))
			route, err := router.Match(host, target.Path, method)
			compared++
			switch {
			case app == "": // the gateway decides and carries, whatever it decides
				byGateway++
			case err != nil:
				if _, other := err.(*proxy.MethodError); !other { // it says no, so that no app gets it
					t.Fatalf("%d: %s %s%s: the front proxy would go to %s, and no route knows it\n%s", n, method, host, target.Path, app, routes.String())
				}
			default:
				byFront++
				if want := cfg.Routes[route.Index()].Upstream.Targets[0].URL.Host; app != want {
					t.Fatalf("%d: %s %s%s: the front proxy goes to %s, and the route to %s\n%s", n, method, host, target.Path, app, want, routes.String())
				}
			}
		}
	}
	t.Logf("%d requests, %d carried by the front proxy, %d by the gateway", compared, byFront, byGateway)
	if byFront < 5000 || byGateway < 1000 {
		t.Errorf("too few of either kind")
	}
}

// leadsTo is the address of the app that a front proxy would carry a request to; "" is the
// gateway.
func leadsTo(t *testing.T, f *snippet.Front, host, path string) string {
	t.Helper()
	best := slices.IndexFunc(f.Sites, func(s snippet.Site) bool {
		above, wild := strings.CutPrefix(s.Host, "*")
		return s.Host == host || wild && strings.HasSuffix(host, above)
	})
	if best < 0 {
		return ""
	}
	for _, p := range f.Sites[best].Paths {
		if regexp.MustCompile(p.Regexp()).MatchString(path) {
			if p.App == nil {
				return ""
			}
			return p.App.Targets[0].Address
		}
	}
	t.Fatalf("no path of %s matches %s", host, path)
	return ""
}

func mustUnescape(t *testing.T, p string) string {
	t.Helper()
	s, err := url.PathUnescape(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExplainBehindAFront: what the app gets comes by the proxy in front, and only for hosts
// that somebody has named.
func TestExplainBehindAFront(t *testing.T) {
	file := filepath.Join(t.TempDir(), "evergate.yaml")
	text := strings.Replace(asking, "upstream: http://127.0.0.1:3000", "name: all", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url  string
		says []string
	}{
		{"https://apps.example.com/x?y", []string{"Decision  allowed\n", "App       GET /x?y\n", "X-Forwarded-User: alice\n", "by the proxy in front, which asks"}},
		{"https://other.example.com/x", []string{"Decision  refused", "match.host", "Browser   403 Forbidden\n", "App       nothing\n"}},
	} {
		var out, said bytes.Buffer
		run([]string{"explain", "--config", file, "--user", "alice", "GET", tt.url}, nil, &out, &said)
		for _, want := range tt.says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: want %q in\n%s%s", tt.url, want, out.String(), said.String())
			}
		}
	}
}
