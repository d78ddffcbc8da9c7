package config_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestShadowedRules: a rule that changes nothing is warned of where it stands, and one
// that does something is not.
func TestShadowedRules(t *testing.T) {
	const intro = "public_url: https://a.example.com\nidentity: [ local: { users_file: u } ]\n"
	route := func(access string) string {
		return intro + "routes:\n  - upstream: http://127.0.0.1:1\n" + access
	}
	for _, c := range []struct{ name, text, want string }{
		{"the second of two that say the same", route("    allow:\n      - groups: [a]\n      - groups: [a]\n"),
			"x.yaml:7:9: routes[0].allow[1]: warning: it changes nothing: routes[0].allow[0] on line 6 holds wherever it does"},
		{"one that asks more than another", route("    allow:\n      - groups: [a]\n        users: [bob]\n      - groups: [b, a]\n"),
			"routes[0].allow[0]: warning: it changes nothing: routes[0].allow[1] on line 8"},
		{"an address of a domain", route("    allow:\n      - emails: [al@x.org]\n      - emails: [\"*@X.org\"]\n"), "routes[0].allow[0]: warning: it changes nothing"},
		{"a domain is no address", route("    allow:\n      - emails: [al@x.org, \"*@y.org\"]\n      - emails: [\"*@x.org\"]\n"), ""},
		{"a network inside another", route("    deny:\n      - networks: [10.0.0.0/8]\n      - networks: [10.1.0.0/16]\n"), "routes[0].deny[1]: warning: it changes nothing"},
		{"a fresher sign-in", route("    allow:\n      - max_auth_age: 1h\n      - max_auth_age: 5m\n"), "routes[0].allow[1]: warning: it changes nothing"},
		{"one that is refused all the same", route("    allow:\n      - groups: [a]\n        methods: [GET]\n      - groups: [b]\n    deny:\n      - methods: [GET, POST]\n"),
			"routes[0].allow[0]: warning: it never lets anybody pass: routes[0].deny[0] on line 10"},
		{"refused by default", intro + "default: { deny: [ { groups: [a] } ] }\nroutes: [ { upstream: \"http://127.0.0.1:1\", allow: [ { groups: [a] } ] } ]\n",
			"routes[0].allow[0]: warning: it never lets anybody pass: default.deny[0]"},
		{"other claims", route("    allow:\n      - claims: { a: x }\n      - claims: { a: y }\n"), ""},
		{"one claim more", route("    allow:\n      - claims: { a: x, b: y }\n      - claims: { a: x }\n"), "routes[0].allow[0]: warning: it changes nothing"},
		{"other conditions", route("    allow:\n      - groups: [a]\n        methods: [GET]\n      - groups: [a]\n        networks: [10.0.0.0/8]\n"), ""},
		{"another expression", route("    allow:\n      - when: \"true\"\n      - when: \"1 == 1\"\n"), ""},
		{"a class that local users have", route("    allow:\n      - acr: [mfa, high]\n"), ""},
		{"a class that they do not", route("    allow:\n      - acr: [high]\n"), "x.yaml:6:14: routes[0].allow[0].acr: warning: nobody can meet it"},
		{"a passkey that verifies its user", route("    allow:\n      - amr: [uv]\n"), ""},
		{"a method that is not theirs", route("    allow:\n      - amr: [sms]\n"), "routes[0].allow[0].amr: warning: nobody can meet it"},
		{"their method", route("    allow:\n      - amr: [otp, pwd]\n"), ""},
		{"a class that is refused", route("    deny:\n      - acr: [weak]\n"), ""},
		{"a set that nobody uses", intro + "rules: { lost: { deny: [ { groups: [a] } ] } }\nroutes: [ { upstream: \"http://127.0.0.1:1\" } ]\n",
			"x.yaml:3:16: rules.lost: warning: no route uses it, so it decides nothing"},
		{"a set whose stricter entry the route undoes", intro + "rules: { s: { allow: [ { groups: [a], max_auth_age: 5m } ], deny: [ { groups: [x] } ] } }\n" +
			"routes: [ { upstream: \"http://127.0.0.1:1\", rules: [s], allow: [ { groups: [a] } ] } ]\n", "rules.s.allow[0]: warning: it changes nothing: each route that uses it allows as much by itself, as routes[0].allow[0] on line 4 does"},
		{"the same while it is observed", intro + "rules: { s: { mode: observe, allow: [ { groups: [a], max_auth_age: 5m } ] } }\n" +
			"routes: [ { upstream: \"http://127.0.0.1:1\", rules: [s], allow: [ { groups: [a] } ] } ]\n", ""},
		{"a set that a route says more than is no mistake", intro + "rules: { s: { allow: [ { groups: [a], methods: [GET] } ] } }\n" +
			"routes: [ { upstream: \"http://127.0.0.1:1\", rules: [s], allow: [ { groups: [a] } ] }, { match: { path: /x }, upstream: \"http://127.0.0.1:1\", rules: [s] } ]\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := config.Parse("x.yaml", []byte(c.text), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, w := range cfg.Warnings() {
				if strings.Contains(w.Path, "allow") || strings.Contains(w.Path, "deny") || strings.HasPrefix(w.Path, "rules") {
					got += w.Error() + "\n"
				}
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Count(got, "\n") > 1 {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
