package snippet

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// everything is a Front with all that one can have, at one path of a site.
func everything(dialect, pattern string) *Front {
	app := &App{Name: "app1", Host: "inner.example.com", ConnectTimeout: 5, ResponseTimeout: 60, IdleTimeout: 90,
		Targets: []Target{{Address: "10.0.0.5:8443", Weight: 1}, {Address: "[fd00::5]:8443", Weight: 3}},
		TLS:     &AppTLS{ServerName: "inner.example.com", CAFile: "/etc/ca.pem", CertFile: "/etc/c.pem", KeyFile: "/etc/k.pem"}}
	plain := &App{Name: "app2", ConnectTimeout: 5, Targets: []Target{{Address: "app.internal:80", Weight: 1}}}
	return &Front{Dialect: dialect, Public: &url.URL{Scheme: "https", Host: "apps.example.com"}, Listen: ":443", TLS: &Certificate{"/etc/apps.pem", "/etc/apps.key"},
		Gateway: "127.0.0.1:4180", Auth: "127.0.0.1:9091", Cookies: []string{"__Host-Http-evergate"}, Told: []string{"Authorization", "X-Forwarded-User"},
		Names: []string{"authorization", "remote-user"}, Families: []string{"x-forwarded"}, HeaderBytes: 65536, BodyBytes: 1 << 20,
		Sites: []Site{{Host: "apps.example.com", Paths: []Path{{pattern, app}, {"/own/", nil}, {"/", plain}}}, {Host: "*.shop.example.com", Paths: []Path{{"/", plain}}}},
		Apps:  []*App{app, plain}}
}

func written(t *testing.T, f *Front) string {
	t.Helper()
	var out strings.Builder
	if err := Write(&out, f); err != nil {
		t.Fatalf("%s: %v", f.Dialect, err)
	}
	for _, part := range Parts(f.Dialect) {
		var more strings.Builder
		if err := PartWriter(part.Name)(&more, f); err != nil {
			t.Fatalf("%s %s: %v", f.Dialect, part.Name, err)
		}
	}
	return out.String()
}

// TestWhatADialectCannotHold is an error. Nothing that stands in the config becomes a
// directive.
func TestWhatADialectCannotHold(t *testing.T) {
	for _, tt := range []struct{ dialect, pattern, want string }{
		{"caddy", "/{env.HOME}/", "brace"},
		{"caddy", "/a`b/", "backquote"},
		{"caddy", "/a%0Ab/", "control character"},
		{"traefik", "/a`b/", "backquote"},
		{"traefik", "/a%0Ab/", "control character"},
	} {
		err := Write(&strings.Builder{}, everything(tt.dialect, tt.pattern))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %q: got %v, want an error about %q", tt.dialect, tt.pattern, err, tt.want)
		}
	}
	for _, tt := range []struct {
		dialect, want string
		spoil         func(*Front)
	}{
		{"traefik", "unix sockets", func(f *Front) { f.Apps[0].Targets = []Target{{Address: "/run/app.sock", Unix: true}} }},
		{"envoy", "unix socket", func(f *Front) {
			f.Apps[1].Targets = append(f.Apps[1].Targets, Target{Address: "/run/app.sock", Unix: true})
		}},
		{"envoy", "addresses alone", func(f *Front) { f.Listen = "localhost:443" }},
		{"caddy", "brace", func(f *Front) { f.Told = []string{"X-A {"} }},
		{"traefik", "control character", func(f *Front) { f.Told = []string{"X-A\n"} }},
		{"caddy", "folded", func(f *Front) { f.Families = []string{"x {"} }},
		{"traefik", "two braces", func(f *Front) { f.TLS.CertFile = `{{ env "HOME" }}` }},
		{"caddy", "brace", func(f *Front) { f.TLS.CertFile = "{$HOME}" }},
	} {
		f := everything(tt.dialect, "/x/")
		tt.spoil(f)
		if err := Write(&strings.Builder{}, f); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error about %q", tt.dialect, err, tt.want)
		}
	}
}

// TestOddPathsAreDataInYAML: what a dialect can hold comes out of its document as it went in.
func TestOddPathsAreDataInYAML(t *testing.T) {
	for _, dialect := range []string{"traefik", "envoy"} {
		for _, path := range []string{`/a"b\c/`, "/a: b #c/", "/'x'/", "/${x}%/", `/{{ env "HOME" }}/`, "/a, b]}/", "/ü/"} {
			pattern := (&url.URL{Path: path}).EscapedPath()
			text := written(t, everything(dialect, pattern))
			var document any
			if err := yaml.Unmarshal([]byte(text), &document); err != nil || dialect == "traefik" && strings.Contains(text, "{{") {
				t.Errorf("%s, %q: %v", dialect, path, err)
				continue
			}
			sent, found := pattern, false
			if dialect == "traefik" {
				sent = asTraefik(t, pattern)
			}
			for _, s := range texts(document) {
				expr := s
				if dialect == "traefik" {
					rule := regexp.MustCompile("PathRegexp\\(`([^`]*)`\\)$").FindStringSubmatch(s)
					if rule == nil {
						continue
					}
					expr = rule[1]
				}
				re, err := regexp.Compile(`^(?:` + expr + `)`)
				found = found || err == nil && strings.HasPrefix(strings.TrimPrefix(expr, "^"), "/") && re.MatchString(sent) && !re.MatchString("/other/")
			}
			if !found {
				t.Errorf("%s: no rule is for the path %q", dialect, path)
			}
		}
	}
}

// texts are the strings in a document.
func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		all = append(all, v)
	case map[string]any:
		for _, x := range v {
			all = append(all, texts(x)...)
		}
	case []any:
		for _, x := range v {
			all = append(all, texts(x)...)
		}
	}
	return all
}

// TestEveryDialectWritesEverything that a Front can say.
func TestEveryDialectWritesEverything(t *testing.T) {
	for dialect, want := range map[string][]string{
		"caddy":   {"lb_policy weighted_round_robin 1 3", "tls_client_auth `/etc/c.pem` `/etc/k.pem`", "header_up Host `inner.example.com`", "max_size 1048576", "http://:80 {"},
		"traefik": {`url: "https://[fd00::5]:8443"`, "weight: 3", `rootCAs: ["/etc/ca.pem"]`, `Host: "inner.example.com"`},
		"envoy":   {`address: "fd00::5", port_value: 8443`, "load_balancing_weight: 3", `sni: "inner.example.com"`, "https_redirect: true", "max_request_headers_kb: 64"},
	} {
		text := written(t, everything(dialect, "/x/"))
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: there is no %s in\n%s", dialect, w, text)
			}
		}
		if !strings.Contains(After(dialect), "config") && !strings.Contains(After(dialect), "-c ") {
			t.Errorf("%s: nothing tells what to do with it", dialect)
		}
	}
}
