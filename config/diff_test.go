package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

func TestDiff(t *testing.T) {
	const base = `public_url: https://apps.example.com
identity:
  - oidc: { issuer: https://login.example.com, client_id: evergate, client_secret: one }
routes:
  - upstream: http://127.0.0.1:9000
  - { match: { path: /b/ }, allow: [ { users: [alice] } ], upstream: { targets: [ https://127.0.0.1:9001 ], tls: { server_name: a } } }
`
	parse := func(text string) *config.Config {
		t.Helper()
		c, err := config.Parse("evergate.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	was := parse(base)
	for _, c := range []struct {
		name, old, new string
		want           []string
	}{
		{"nothing", "evergate", "evergate", nil},
		{"a comment", "identity:", "identity: # who", nil},
		{"a default that is written out", "identity:", "listen: 127.0.0.1:8080\nidentity:", nil},
		{"a secret", "one", "two", []string{"identity[0].oidc.client_secret"}},
		{"a URL", "9000", "9002", []string{"routes[0].upstream.targets[0].url"}},
		{"in a list", "alice", "bob", []string{"routes[1].allow[0].users[0]"}},
		{"a list that is longer", "[alice]", "[alice, bob]", []string{"routes[1].allow[0].users"}},
		{"a list that is gone", "allow: [ { users: [alice] } ], ", "", []string{"routes[1].allow"}},
		{"behind a pointer", "server_name: a", "server_name: b", []string{"routes[1].upstream.tls.server_name"}},
		{"a mapping that is gone", ", tls: { server_name: a }", "", []string{"routes[1].upstream.tls"}},
		{"two at once", "one }", "two, remember: true }", []string{"identity[0].oidc.client_secret", "identity[0].oidc.remember"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := config.Diff(was, parse(replaced(t, base, c.old, c.new))); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestKeyPaths(t *testing.T) {
	all := config.KeyPaths()
	for _, want := range []string{"listen", "session.redis.tls.ca_file", "routes[].upstream.targets[].url", "identity[].oidc.claims.groups", "routes[].allow[].users"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is not among the keys %v", want, all)
		}
	}
}

func replaced(t *testing.T, text, old, new string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in the config", old)
	}
	return strings.Replace(text, old, new, 1)
}
