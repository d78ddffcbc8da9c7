package config_test

import (
	"strings"
	"testing"
)

// TestHostsOfAnybody: below a public suffix names are anybody's, and sessions would be handed to them.
func TestHostsOfAnybody(t *testing.T) {
	for host, told := range map[string]bool{
		"*.com": true, "*.co.uk": true, "*.github.io": true, "*.example.com": false, "*.example.co.uk": false, "*.me.github.io": false,
		"*.internal": false, "*.localhost": false, "example.com": false,
	} {
		got := onlyOf(warned(t, t.TempDir(), head0+"routes: [ { upstream: 'http://127.0.0.1:9000', match: { host: '"+host+"' } } ]\n"), "match.host")
		if strings.Contains(got, "anybody can have a name below") != told {
			t.Errorf("%s: got %q, want it told: %v", host, got, told)
		}
	}
}

// TestDashboardForAnybody: rules that name nobody let anybody in who is signed in.
func TestDashboardForAnybody(t *testing.T) {
	for rules, told := range map[string]string{
		"allow: [ { methods: [GET, POST] } ]": "routes[0].allow[0]", "allow: [ { networks: [0.0.0.0/0] } ]": "routes[0].allow[0]", "allow: [ { networks: ['::/0', 10.0.0.0/8] } ]": "routes[0].allow[0]",
		"allow: [ { when: 'true' } ]": "routes[0].allow[0]", "allow: [ { when: '(true)' } ]": "routes[0].allow[0]", "allow: [ { groups: [ops] }, { amr: [mfa] } ]": "routes[0].allow[1]",
		"deny: [ { users: [bob] } ]": "routes[0].admin", "rules: [all]": "rules.all.allow[0]",
		"allow: [ { groups: [ops] } ]": "", "allow: [ { networks: [127.0.0.1/32] } ]": "", "allow: [ { when: 'user == \"root\"' } ]": "", "allow: [ { users: [root], methods: [GET] } ]": "",
		"deny: [ { users: [bob] } ], allow: [ { groups: [ops] } ]": "",
	} {
		text := head0 + "rules: { all: { allow: [ { methods: [GET] } ] } }\nroutes: [ { admin: true, match: { path: /operator/ }, " + rules + " } ]\n"
		got := warned(t, t.TempDir(), text)
		if strings.Contains(got, "can see the dashboard") != (told != "") || !strings.Contains(got, told) {
			t.Errorf("%s: got %q, want it told at %q", rules, got, told)
		}
	}
}
