package config_test

import (
	"strings"
	"testing"
)

// TestRulesThatOnlyWatch: where nothing says who may pass but what is observed, it is said that
// anyone may.
func TestRulesThatOnlyWatch(t *testing.T) {
	const sets = head0 + "rules:\n  next: { mode: observe, allow: [ groups: [staff] ] }\n  out: { mode: observe, deny: [ groups: [guests] ] }\n  now: { allow: [ groups: [all] ] }\n  no-guests: { deny: [ groups: [guests] ] }\n"
	for _, row := range []struct{ name, text, want string }{
		{"a route", "routes: [ { redirect: /x, rules: [next] } ]\n", "routes[0].rules: warning: what next says is only observed, and no allow is in force: anyone passes who is signed in. Add allow with who may pass until mode: observe goes"},
		{"a route with two", "routes: [ { redirect: /x, rules: [next, out] } ]\n", "what next and out says is only observed"},
		{"a route that only would refuse", "routes: [ { redirect: /x, rules: [out] } ]\n", "what out says is only observed"},
		{"somebody is refused", "routes: [ { redirect: /x, rules: [next, no-guests] } ]\n", "anyone passes who is signed in, but for whom deny refuses"},
		{"somebody is refused, and another would be", "routes: [ { redirect: /x, rules: [out, no-guests] } ]\n", ""},
		{"an allow beside it", "routes: [ { redirect: /x, rules: [next], allow: [ groups: [all] ] } ]\n", ""},
		{"anyone is meant", "routes: [ { redirect: /x, rules: [next], allow: [ when: 'true' ] } ]\n", ""},
		{"a set in force beside it", "routes: [ { redirect: /x, rules: [next, now] } ]\n", ""},
		{"an allow by default", "default: { allow: [ groups: [all] ] }\nroutes: [ { redirect: /x, rules: [next] } ]\n", ""},
		{"a public route", "routes: [ { redirect: /x, rules: [next], public: true } ]\n", ""},
		{"by default", "default: { rules: [next] }\nroutes: [ { redirect: /x }, { match: { path: /a }, redirect: /x } ]\n", "default.rules: warning: what next says is only observed"},
		{"by default, and each route says who", "default: { rules: [next] }\nroutes: [ { redirect: /x, allow: [ groups: [all] ] } ]\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := onlyOf(warned(t, t.TempDir(), sets+row.text), "rules")
			if !strings.Contains(got, row.want) || row.want == "" && got != "" || strings.Count(got, "\n") > 1 {
				t.Errorf("got %q, want %q, once", got, row.want)
			}
		})
	}
}

// TestStarsInNames: a name with a * is that name.
func TestStarsInNames(t *testing.T) {
	route := func(rule string) string { return head0 + "routes: [ { redirect: /x, " + rule + " } ]\n" }
	for rule, want := range map[string]string{
		"deny: [ users: ['bob*'] ]":        "routes[0].deny[0].users[0]: warning: the * in \"bob*\" stands for itself, so nobody may have that name",
		"allow: [ groups: ['team-*', b] ]": "routes[0].allow[0].groups[0]: warning: the * in \"team-*\" stands for itself",
		"allow: [ emails: ['*@x.org'] ]":   "",
		"allow: [ claims: { a: '*' } ]":    "",
	} {
		if got := warned(t, t.TempDir(), route(rule)); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	}
}
