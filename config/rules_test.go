package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// withRules is a config whose routes, and what comes before them, are text.
func withRules(text string) []byte {
	if !strings.Contains(text, "routes:") {
		text += "\nroutes:\n  - upstream: http://127.0.0.1:9000\n"
	}
	return []byte("public_url: https://apps.example.com\nidentity:\n  - local: { users_file: users.yaml }\n" + text)
}

// TestBadRules: each fault in the rules is told where it stands. Lines and columns are
// those of the text, whose first line is the fourth of the file.
func TestBadRules(t *testing.T) {
	const route = "routes:\n  - upstream: http://127.0.0.1:9000\n    " // what follows stands at 6:5
	for _, c := range []struct{ name, text, want string }{
		{"an empty rule", route + "deny: [{}]", "6:12: routes[0].deny[0]: the entry says nothing"},
		{"an empty list of refusals", route + "deny: []", "6:11: routes[0].deny: the list is empty, so it refuses nobody"},
		{"an empty list of groups that are refused", route + "deny: [{ groups: [] }]", "6:22: routes[0].deny[0].groups: the list is empty, so it refuses nobody"},
		{"an age that would refuse the fresh", route + "deny: [{ max_auth_age: 5m }]", "6:28: routes[0].deny[0].max_auth_age: it would refuse those who signed in lately"},
		{"an age below the skew of clocks", route + "allow: [{ max_auth_age: 30s }]", "6:29: routes[0].allow[0].max_auth_age: "},
		{"an age of more than a year", route + "allow: [{ max_auth_age: 9000h }]", "6:29: routes[0].allow[0].max_auth_age: "},
		{"an age without unit", route + "allow: [{ max_auth_age: 300 }]", "6:29: routes[0].allow[0].max_auth_age: "},
		{"two classes in one", route + `allow: [{ acr: ["gold silver"] }]`, `6:21: routes[0].allow[0].acr[0]: "gold silver" is not one name`},
		{"a class with a quote", route + `allow: [{ acr: ['go"ld'] }]`, "6:21: routes[0].allow[0].acr[0]: "},
		{"a method of sign-in outside ASCII", route + `allow: [{ amr: [ötp] }]`, "6:21: routes[0].allow[0].amr[0]: "},
		{"more classes than an address has room for", route + "allow: [{ acr: [" + strings.Repeat("a", 150) + ", " + strings.Repeat("b", 150) + ", " + strings.Repeat("c", 150) + "] }]",
			"6:20: routes[0].allow[0].acr: the names take 452 bytes, and 400 have room"},
		{"a method in lower case", route + "allow: [{ methods: [get] }]", "6:25: routes[0].allow[0].methods[0]: "},
		{"a network that is none", route + "allow: [{ networks: [10.0.0.0/33] }]", "6:26: routes[0].allow[0].networks[0]: want an address or a range"},
		{"a network with bits beyond its length", route + "allow: [{ networks: [10.0.0.1/8] }]", "6:26: routes[0].allow[0].networks[0]: the range 10.0.0.1/8 has bits"},
		{"IPv4 as IPv6", route + `deny: [{ networks: ["::ffff:10.0.0.0/104"] }]`, "6:25: routes[0].deny[0].networks[0]: \"::ffff:10.0.0.0/104\" is IPv4 in the clothes of IPv6"},
		{"an address with a zone", route + `deny: [{ networks: ["fe80::1%eth0"] }]`, "6:25: routes[0].deny[0].networks[0]: \"fe80::1%eth0\" names an interface"},
		{"no networks", route + "deny: [{ networks: [] }]", "6:24: routes[0].deny[0].networks: the list is empty, so it refuses nobody"},
		{"no claims", route + "allow: [{ claims: {} }]", "6:23: routes[0].allow[0].claims: there is none"},
		{"a claim of no values", route + "allow: [{ claims: { a: [] } }]", "6:28: routes[0].allow[0].claims.a: the list is empty, so it never holds"},
		{"a claim that says nothing", route + "allow: [{ claims: { a: {} } }]", "6:28: routes[0].allow[0].claims.a: it does not say what the claim has to be"},
		{"a claim that says two things", route + "allow: [{ claims: { a: { equals: x, exists: true } } }]", "6:28: routes[0].allow[0].claims.a: it says more than one thing"},
		{"a claim with an unknown word", route + "allow: [{ claims: { a: { equal: x } } }]", `6:30: unknown key "equal" under routes[0].allow[0].claims.a`},
		{"an empty pattern", route + `allow: [{ claims: { a: { glob: "" } } }]`, "6:36: routes[0].allow[0].claims.a.glob: the pattern is empty"},
		{"a provider that is not there", route + "allow: [{ providers: [corp] }]", "6:27: routes[0].allow[0].providers[0]: "},
		{"a day in full", route + `allow: [{ times: [{ days: [monday], from: "08:00", to: "18:00" }] }]`, "6:32: routes[0].allow[0].times[0].days[0]: "},
		{"no end", route + `allow: [{ times: [{ from: "08:00" }] }]`, "6:23: routes[0].allow[0].times[0]: to is missing"},
		{"an hour of one digit", route + `allow: [{ times: [{ from: "8:00", to: "18:00" }] }]`, "6:31: routes[0].allow[0].times[0].from: want a time such as 08:30"},
		{"an hour that no clock shows", route + `allow: [{ times: [{ from: "08:00", to: "25:00" }] }]`, "6:44: routes[0].allow[0].times[0].to: want a time such as 08:30"},
		{"a zone that is none", route + `allow: [{ times: [{ from: "08:00", to: "18:00", zone: Europe/Bärlin }] }]`, "6:59: routes[0].allow[0].times[0].zone: want a time zone"},
		{"no times", route + "allow: [{ times: [] }]", "6:22: routes[0].allow[0].times: the list is empty, so nobody could pass"},
		{"an empty expression", route + `allow: [{ when: "" }]`, "6:21: routes[0].allow[0].when: it is empty"},
		{"an unknown condition", route + "allow: [{ group: [staff] }]", `6:15: unknown key "group" under routes[0].allow[0]`},
		{"rules that are not there", route + "rules: [staff]", `6:13: routes[0].rules[0]: there are no rules named "staff"`},
		{"rules that are nearly there", "rules: { staff: { deny: [{ users: [a] }] } }\n" + strings.Replace(route, "6:", "7:", 1) + "rules: [staf]", `7:13: routes[0].rules[0]: there are no rules named "staf"`},
		{"rules twice", "rules: { staff: { deny: [{ users: [a] }] } }\n" + route + "rules: [staff, staff]", "7:20: routes[0].rules[1]: staff is there twice"},
		{"no rules", route + "rules: []", "6:12: routes[0].rules: the list is empty"},
		{"rules that say nothing", "rules: { staff: {} }", "4:17: rules.staff: it says nothing"},
		{"rules in an unknown mode", "rules: { staff: { mode: watch, deny: [{ users: [a] }] } }", "4:25: rules.staff.mode: "},
		{"rules whose name is none", "rules: { \"my staff\": { deny: [{ users: [a] }] } }", `"my staff" is no name for rules`},
		{"nobody by default", "default: { allow: [] }", "4:19: default.allow: the list is empty, so nobody could pass"},
		{"rules by default that are not there", "default: { rules: [x] }", `4:20: default.rules[0]: there are no rules named "x"`},
		{"public, and only for some", route + "public: true\n    allow: [{ users: [a] }]", "7:12: routes[0].allow: a public route lets everybody pass"},
		{"public, and only for some of a set", "rules: { staff: { allow: [{ users: [a] }] } }\n" + route + "public: true\n    rules: [staff]", "8:13: routes[0].rules[0]: a public route lets everybody pass, and staff has allow"},
	} {
		_, err := config.Parse("x", withRules(c.text), noEnv)
		if err == nil || !strings.Contains(err.Error(), "x:"+c.want) && !(strings.HasPrefix(c.want, `"`) && strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want x:%s", c.name, err, c.want)
		}
	}
	// Several faults come together, in the order of the file.
	_, err := config.Parse("x", withRules(route+"deny: [{}]\n    allow: [{ acr: [\"a b\"] }]\n    rules: [x]"), noEnv)
	var at []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		at = append(at, strings.Join(strings.SplitN(line, ":", 4)[1:3], ":"))
	}
	if want := []string{"6:12", "7:21", "8:13"}; !slices.Equal(at, want) {
		t.Errorf("got the places %v of %v, want %v", at, err, want)
	}
}

// TestSignInRules: who may sign in at a provider at all is no question of requests.
func TestSignInRules(t *testing.T) {
	for key, value := range map[string]string{"methods": "[GET]", "networks": "[10.0.0.0/8]", "times": `[{ from: "08:00", to: "18:00" }]`, "providers": "[oidc]", "max_auth_age": "5m"} {
		text := fmt.Sprintf("public_url: https://a.example\nidentity:\n  - oidc:\n      issuer: https://op.example\n      client_id: x\n      client_secret_file: s\n      allow: [{ groups: [staff], %s: %s }]\nroutes:\n  - upstream: http://127.0.0.1:9000\n", key, value)
		_, err := config.Parse("x", []byte(text), noEnv)
		if want := "identity[0].oidc.allow[0]." + key; err == nil || !strings.Contains(err.Error(), "x:7:") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a fault at %s", err, want)
		}
	}
}

// TestAccess: what counts for a route, of all that is said in the file.
func TestAccess(t *testing.T) {
	const sets = `
rules:
  staff: { allow: [{ groups: [staff] }], deny: [{ groups: [guests] }] }
  ban: { deny: [{ users: [mallory] }] }
  door: { allow: [{ networks: [10.0.0.0/8] }] }
  soon: { mode: observe, allow: [{ acr: [mfa] }] }
  soonban: { mode: observe, deny: [{ users: [eve] }] }
`
	for _, c := range []struct {
		name, text  string
		allow, deny string // where the rules stand; "-" is anyone signed in
		observed    string // "allow; deny" of what is observed, or ""
	}{
		{"nothing is said", "", "-", "", ""},
		{"the route itself", "allow: [{ users: [a] }, { users: [b] }]\n    deny: [{ users: [c] }]", "routes[0].allow[0] routes[0].allow[1]", "routes[0].deny[0]", ""},
		{"a set beside the route", "allow: [{ users: [a] }]\n    rules: [staff]", "routes[0].allow[0] rules.staff.allow[0]", "rules.staff.deny[0]", ""},
		{"two sets are alternatives", "rules: [staff, door]", "rules.staff.allow[0] rules.door.allow[0]", "rules.staff.deny[0]", ""},
		{"a set of refusals alone leaves it open to all who sign in", "rules: [ban]", "-", "rules.ban.deny[0]", ""},
		{"the default, where the route says nothing", "|default: { allow: [{ users: [d] }], deny: [{ users: [e] }] }", "default.allow[0]", "default.deny[0]", ""},
		{"the default allows nobody in beside the route's own", "allow: [{ users: [a] }]|default: { allow: [{ users: [d] }], deny: [{ users: [e] }] }", "routes[0].allow[0]", "default.deny[0]", ""},
		{"nor beside a set's", "rules: [door]|default: { allow: [{ users: [d] }] }", "rules.door.allow[0]", "", ""},
		{"but where the route refuses only", "rules: [ban]|default: { allow: [{ users: [d] }] }", "default.allow[0]", "rules.ban.deny[0]", ""},
		{"the default's sets as if they stood there", "|default: { rules: [staff] }", "rules.staff.allow[0]", "rules.staff.deny[0]", ""},
		{"their refusals count in any case", "allow: [{ users: [a] }]|default: { rules: [staff] }", "routes[0].allow[0]", "rules.staff.deny[0]", ""},
		{"public: refusals count", "public: true\n    deny: [{ users: [a] }]|default: { allow: [{ users: [d] }], rules: [staff] }", "-", "routes[0].deny[0] rules.staff.deny[0]", ""},
		{"an observed set stands in place of what allows", "allow: [{ users: [a] }]\n    rules: [soon]", "routes[0].allow[0]", "", "rules.soon.allow[0]; "},
		{"and beside what refuses", "deny: [{ users: [a] }]\n    rules: [soonban]", "-", "routes[0].deny[0]", "-; routes[0].deny[0] rules.soonban.deny[0]"},
		{"two observed sets together", "allow: [{ users: [a] }]\n    rules: [soon, soonban]", "routes[0].allow[0]", "", "rules.soon.allow[0]; rules.soonban.deny[0]"},
		{"an observed set by default, where the default would count", "|default: { rules: [soon] }", "-", "", "rules.soon.allow[0]; "},
		{"and where it would not", "allow: [{ users: [a] }]|default: { rules: [soon] }", "routes[0].allow[0]", "", ""},
		{"nor on a public route", "public: true|default: { rules: [soon, soonban] }", "-", "", "-; rules.soonban.deny[0]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			route, top, _ := strings.Cut(c.text, "|")
			cfg, err := config.Parse("x", withRules(sets+top+"\nroutes:\n  - upstream: http://127.0.0.1:9000\n    "+route+"\n"), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			places := func(rules []config.PlacedRule) string {
				if rules == nil {
					return ""
				}
				var at []string
				for _, r := range rules {
					at = append(at, r.At)
				}
				return strings.Join(at, " ")
			}
			allows := func(a *config.Access) string {
				if a.Allow == nil {
					return "-"
				}
				return places(a.Allow)
			}
			a := cfg.Access(0)
			if got := allows(&a); got != c.allow || places(a.Deny) != c.deny {
				t.Errorf("got allow %q and deny %q, want %q and %q", got, places(a.Deny), c.allow, c.deny)
			}
			observed := ""
			if a.Observed != nil {
				observed = allows(a.Observed) + "; " + places(a.Observed.Deny)
			}
			if observed != c.observed || a.Public != strings.Contains(route, "public") {
				t.Errorf("got observed %q, public %t, want %q", observed, a.Public, c.observed)
			}
			if a.Observed != nil && a.Observed.Public != a.Public {
				t.Errorf("got observed public %t", a.Observed.Public)
			}
		})
	}
}
