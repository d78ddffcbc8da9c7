package auth_test

import (
	"net/netip"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestExpressionsInEveryReading: an app may read a path, and a provider may mean an address,
// in another way than it stands there. A deny counts in one reading, an allow in all.
func TestExpressionsInEveryReading(t *testing.T) {
	mal := &auth.Identity{User: "mal", Email: "mal@evil.com"}
	for _, c := range []struct {
		name, when     string
		q              auth.Question
		denies, allows bool
	}{
		{"as it stands", `request.path endsWith ":delete"`, auth.Question{Path: "/i:delete"}, true, true},
		{"an escape that apps decode", `request.path endsWith ":delete"`, auth.Question{Path: "/i%3Adelete"}, true, false},
		{"something else", `request.path endsWith ":delete"`, auth.Question{Path: "/i%3Aread"}, false, false},
		{"a reading with a slash less", `request.path startsWith "/s/admin/"`, auth.Question{Path: "/s//admin/x", Readings: []string{"/s/admin/x"}}, true, false},
		{"a reading without a parameter", `not (request.path startsWith "/s/admin/")`, auth.Question{Path: "/s/admin;a/x", Readings: []string{"/s/admin/x"}}, true, false},
		{"a path by another way", `request["path"] endsWith ":delete"`, auth.Question{Path: "/i%3Adelete"}, true, false},
		{"an expression that reads no path", `request.method == "GET"`, auth.Question{Method: "GET", Path: "/i%3Adelete"}, true, true},
		{"a client whose address is not known", `request.address == "203.0.113.9"`, auth.Question{}, true, false},
		{"one whose address is", `request.address == "203.0.113.9"`, auth.Question{Address: netip.MustParseAddr("192.0.2.1")}, false, false},
		{"an address that nobody vouches for", `identity.email endsWith "@evil.com"`, auth.Question{Identity: mal}, true, false},
		{"another one", `identity.email endsWith "@good.com"`, auth.Question{Identity: mal}, false, false},
		{"something else about them", `identity.email endsWith "@good.com" or identity.user == "mal"`, auth.Question{Identity: mal}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.q.Identity == nil {
				c.q.Identity = &auth.Identity{User: "al"}
			}
			rule := []*auth.Rule{{At: "rule", When: c.when}}
			for _, side := range []struct {
				what   string
				policy auth.Policy
				want   bool // they pass
			}{{"deny", auth.Policy{Deny: rule}, !c.denies}, {"allow", auth.Policy{Allow: rule}, c.allows}} {
				policy, err := side.policy.Compiled()
				if err != nil {
					t.Fatal(err)
				}
				_, err = policy.Decide(&c.q)
				if (err == nil) != side.want {
					t.Errorf("%s: got %v, want them to pass: %v", side.what, err, side.want)
				}
				if trace, _, _ := policy.Explain(&c.q, false); trace.Rules[0].Holds != (side.what == "deny" && c.denies || side.what == "allow" && c.allows) {
					t.Errorf("%s: the trace says %+v", side.what, trace.Rules[0])
				}
			}
		})
	}
	for _, when := range []string{`any(split(request.path, "/"), # == "a")`, `len(splitAfter(request.path, "/")) > 3`} {
		if _, err := (&auth.Policy{Deny: []*auth.Rule{{When: when}}}).Compiled(); err == nil {
			t.Errorf("%s: it compiles, and a long path would keep it busy", when)
		}
	}
}
