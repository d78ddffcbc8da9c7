package auth_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/evergate/evergate/auth"
)

// carol is who asks in these tests, on a Wednesday at noon UTC.
func carol() auth.Question {
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(`{"department": "engineering", "level": 3, "ratio": 0.5, "big": 12345678901, "admin": true, "gone": null,
		"realm_access": {"roles": ["wiki-user", "dev"]}, "https://example.com/tier": "gold", "mixed": [1, "two", false, {"three": 3}], "none": []}`))
	if err := d.Decode(&claims); err != nil {
		panic(err)
	}
	return auth.Question{
		Identity: &auth.Identity{Provider: "corp", Subject: "c-1", User: "carol", Name: "Carol", Email: "carol@example.org", EmailVerified: true,
			Groups: []string{"staff", "wiki"}, Claims: claims},
		AuthTime: noon.Add(-10 * time.Minute), AMR: []string{"pwd", "otp"}, ACR: "gold",
		Method: "GET", Host: "apps.example.org", Path: "/wiki/", Address: netip.MustParseAddr("192.0.2.7"), Time: noon,
		Header: map[string][]string{"X-Device": {"managed"}},
	}
}

func nets(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func claimIs(path string, values ...string) []auth.ClaimRule {
	return []auth.ClaimRule{{Path: path, AnyOf: values}}
}

func claimLike(path, glob string) []auth.ClaimRule {
	return []auth.ClaimRule{{Path: path, Glob: glob}}
}

func claimThere(path string, there bool) []auth.ClaimRule {
	return []auth.ClaimRule{{Path: path, Exists: &there}}
}

// allows and denies say whether a policy with r alone lets q pass, or refuses it. They
// check that compiling changes nothing.
func allows(t *testing.T, r auth.Rule, q auth.Question) bool {
	t.Helper()
	return passes(t, auth.Policy{Allow: []*auth.Rule{&r}}, q)
}

func denies(t *testing.T, r auth.Rule, q auth.Question) bool {
	t.Helper()
	return !passes(t, auth.Policy{Deny: []*auth.Rule{&r}}, q)
}

func passes(t *testing.T, p auth.Policy, q auth.Question) bool {
	t.Helper()
	compiled, err := p.Compiled()
	if err != nil {
		t.Fatal(err)
	}
	_, err = compiled.Decide(&q)
	if hasWhen := slices.ContainsFunc(append(slices.Clone(p.Allow), p.Deny...), func(r *auth.Rule) bool { return r.When != "" }); !hasWhen {
		if _, plain := p.Decide(&q); (plain == nil) != (err == nil) {
			t.Errorf("compiled it says %v, and else %v", err, plain)
		}
	}
	return err == nil
}

func TestConditions(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	days := func(of ...time.Weekday) (d [7]bool) {
		for _, day := range of {
			d[day] = true
		}
		return d
	}
	always := days(0, 1, 2, 3, 4, 5, 6)
	at := func(s string) func(*auth.Question) {
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return func(q *auth.Question) { q.Time = when }
	}
	from := func(address string) func(*auth.Question) {
		return func(q *auth.Question) { q.Address = netip.MustParseAddr(address) }
	}
	windows := func(w ...auth.Window) auth.Rule { return auth.Rule{Times: w} }
	night := auth.Window{Days: days(time.Friday), From: 22 * time.Hour, To: 6 * time.Hour, Zone: berlin}
	gap := auth.Window{Days: always, From: 2 * time.Hour, To: 3 * time.Hour, Zone: berlin}
	// There deny is more careful, see TestDenyWhereItCannotBeTold and TestClaimsOfAnotherKind.
	unsure := map[string]bool{"an address that is not known is nowhere": true, "a truth value is not 1": true, "a path through what is no object": true,
		"an object is no value": true, "an object in a list is no value": true}
	for _, c := range []struct {
		name  string
		rule  auth.Rule
		edit  func(*auth.Question)
		holds bool
	}{
		{"a claim is what is wanted", auth.Rule{Claims: claimIs("department", "engineering")}, nil, true},
		{"a claim is one of several", auth.Rule{Claims: claimIs("department", "sales", "engineering")}, nil, true},
		{"a claim in another case is another", auth.Rule{Claims: claimIs("department", "Engineering")}, nil, false},
		{"a claim that is not there is nothing", auth.Rule{Claims: claimIs("team", "")}, nil, false},
		{"a claim that is null is nothing", auth.Rule{Claims: claimIs("gone", "")}, nil, false},
		{"no value of an empty list is ever one", auth.Rule{Claims: claimIs("department")}, nil, false},
		{"a number is written as in the file", auth.Rule{Claims: claimIs("level", "3")}, nil, true},
		{"a number is the same in another spelling", auth.Rule{Claims: claimIs("level", "3.0")}, nil, true},
		{"a fraction", auth.Rule{Claims: claimIs("ratio", "0.5")}, nil, true},
		{"a large number has all its digits", auth.Rule{Claims: claimIs("big", "12345678901")}, nil, true},
		{"a number as providers' tokens are read", auth.Rule{Claims: claimIs("level", "4")},
			func(q *auth.Question) { q.Identity.Claims = map[string]any{"level": json.Number("4")} }, true},
		{"a truth value", auth.Rule{Claims: claimIs("admin", "true")}, nil, true},
		{"a truth value is not 1", auth.Rule{Claims: claimIs("admin", "1")}, nil, false},
		{"a dotted path into an object, one of a list", auth.Rule{Claims: claimIs("realm_access.roles", "dev")}, nil, true},
		{"none of a list", auth.Rule{Claims: claimIs("realm_access.roles", "ops")}, nil, false},
		{"a list as groups are", auth.Rule{Claims: claimIs("teams", "red")},
			func(q *auth.Question) { q.Identity.Claims = map[string]any{"teams": []string{"blue", "red"}} }, true},
		{"a path through what is no object", auth.Rule{Claims: claimIs("department.roles", "dev")}, nil, false},
		{"an object is no value", auth.Rule{Claims: claimIs("realm_access", "map[roles:[wiki-user dev]]")}, nil, false},
		{"a name with dots is a name first", auth.Rule{Claims: claimIs("https://example.com/tier", "gold")}, nil, true},
		{"numbers and truth values in a list", auth.Rule{Claims: claimIs("mixed", "false")}, nil, true},
		{"an object in a list is no value", auth.Rule{Claims: claimIs("mixed", "three")}, nil, false},
		{"an empty list is no value", auth.Rule{Claims: claimIs("none", "")}, nil, false},
		{"a pattern", auth.Rule{Claims: claimLike("department", "eng*")}, nil, true},
		{"a pattern is for all of the value", auth.Rule{Claims: claimLike("department", "engine")}, nil, false},
		{"a pattern on a list", auth.Rule{Claims: claimLike("realm_access.roles", "wiki-????")}, nil, true},
		{"a pattern on a claim that is not there", auth.Rule{Claims: claimLike("team", "*")}, nil, false},
		{"an empty pattern matches nothing", auth.Rule{Claims: claimLike("department", "")}, nil, false},
		{"a claim is there", auth.Rule{Claims: claimThere("realm_access", true)}, nil, true},
		{"a claim that is null is not there", auth.Rule{Claims: claimThere("gone", true)}, nil, false},
		{"a claim is not there", auth.Rule{Claims: claimThere("suspended", false)}, nil, true},
		{"an empty list is there", auth.Rule{Claims: claimThere("none", true)}, nil, true},
		{"all claims have to hold", auth.Rule{Claims: append(claimIs("level", "3"), claimIs("admin", "false")...)}, nil, false},
		{"no claims at all", auth.Rule{Claims: claimIs("level", "3")}, func(q *auth.Question) { q.Identity.Claims = nil }, false},

		{"one of the providers", auth.Rule{Providers: []string{"local", "corp"}}, nil, true},
		{"another provider", auth.Rule{Providers: []string{"local"}}, nil, false},

		{"one of the methods", auth.Rule{Methods: []string{"POST", "GET"}}, nil, true},
		{"GET stands for HEAD too", auth.Rule{Methods: []string{"GET"}}, func(q *auth.Question) { q.Method = "HEAD" }, true},
		{"HEAD does not stand for GET", auth.Rule{Methods: []string{"HEAD"}}, nil, false},
		{"POST is not among reading methods", auth.Rule{Methods: []string{"GET", "HEAD"}}, func(q *auth.Question) { q.Method = "POST" }, false},
		{"methods are upper case", auth.Rule{Methods: []string{"GET"}}, func(q *auth.Question) { q.Method = "get" }, false},

		{"an address in a network", auth.Rule{Networks: nets("192.0.2.0/24")}, nil, true},
		{"an address in none", auth.Rule{Networks: nets("198.51.100.0/24", "2001:db8::/32")}, nil, false},
		{"an IPv4 address in its IPv6 form", auth.Rule{Networks: nets("192.0.2.0/24")}, from("::ffff:192.0.2.9"), true},
		{"an IPv6 address", auth.Rule{Networks: nets("2001:db8::/32")}, from("2001:db8::1"), true},
		{"an IPv6 address with a zone", auth.Rule{Networks: nets("fe80::/10")}, from("fe80::1%eth0"), true},
		{"all of IPv6 does not hold IPv4", auth.Rule{Networks: nets("::/0")}, nil, false},
		{"an address that is not known is nowhere", auth.Rule{Networks: nets("0.0.0.0/0", "::/0")}, func(q *auth.Question) { q.Address = netip.Addr{} }, false},

		{"inside the hours", windows(auth.Window{Days: always, From: 9 * time.Hour, To: 17 * time.Hour}), nil, true},
		{"the beginning belongs to it", windows(auth.Window{Days: always, From: 12 * time.Hour, To: 13 * time.Hour}), nil, true},
		{"the end does not", windows(auth.Window{Days: always, From: 9 * time.Hour, To: 12 * time.Hour}), nil, false},
		{"on another day", windows(auth.Window{Days: days(time.Tuesday), From: 9 * time.Hour, To: 17 * time.Hour}), nil, false},
		{"by the clocks of the zone", windows(auth.Window{Days: always, From: 13 * time.Hour, To: 14 * time.Hour, Zone: berlin}), nil, true},
		{"one of two times", windows(auth.Window{Days: always, From: 1 * time.Hour, To: 2 * time.Hour}, auth.Window{Days: always, From: 11 * time.Hour, To: 13 * time.Hour}), nil, true},
		{"over midnight, the evening", windows(night), at("2026-03-06T22:30:00+01:00"), true},
		{"over midnight, the morning after", windows(night), at("2026-03-07T05:59:59+01:00"), true},
		{"over midnight, its end", windows(night), at("2026-03-07T06:00:00+01:00"), false},
		{"over midnight, the morning before", windows(night), at("2026-03-06T05:00:00+01:00"), false},
		{"over midnight, the evening after", windows(night), at("2026-03-07T22:30:00+01:00"), false},
		{"the same time twice is a whole day", windows(auth.Window{Days: days(time.Wednesday), From: 8 * time.Hour, To: 8 * time.Hour}), at("2026-03-05T07:59:00Z"), true},
		{"until 24:00", windows(auth.Window{Days: days(time.Wednesday), From: 23 * time.Hour, To: 24 * time.Hour}), at("2026-03-04T23:59:59Z"), true},
		{"24:00 is another day", windows(auth.Window{Days: days(time.Wednesday), From: 23 * time.Hour, To: 24 * time.Hour}), at("2026-03-05T00:00:00Z"), false},
		{"the hour that a spring night leaves out never comes", windows(gap), at("2026-03-29T01:30:00Z"), false},
		{"the hour that an autumn night has twice, first", windows(gap), at("2026-10-25T00:30:00Z"), true},
		{"the hour that an autumn night has twice, again", windows(gap), at("2026-10-25T01:30:00Z"), true},
		{"working hours are the same in summer", windows(auth.Window{Days: always, From: 14 * time.Hour, To: 15 * time.Hour, Zone: berlin}), at("2026-07-01T12:30:00Z"), true},

		{"a class", auth.Rule{ACR: []string{"silver", "gold"}}, nil, true},
		{"another class", auth.Rule{ACR: []string{"platinum"}}, nil, false},
		{"no class is none, though a rule names the empty one", auth.Rule{ACR: []string{""}}, func(q *auth.Question) { q.ACR = "" }, false},
		{"a method of the sign-in", auth.Rule{AMR: []string{"hwk", "otp"}}, nil, true},
		{"another method of the sign-in", auth.Rule{AMR: []string{"hwk"}}, nil, false},
		{"a sign-in that is fresh", auth.Rule{MaxAuthAge: 15 * time.Minute}, nil, true},
		{"a sign-in at the very end of its time", auth.Rule{MaxAuthAge: 10 * time.Minute}, nil, true},
		{"a sign-in a minute later, which is for the clocks", auth.Rule{MaxAuthAge: 9 * time.Minute}, nil, true},
		{"a sign-in that is too old", auth.Rule{MaxAuthAge: 9*time.Minute - time.Second}, nil, false},
		{"a sign-in of which nobody knows when", auth.Rule{MaxAuthAge: 100 * 365 * 24 * time.Hour}, func(q *auth.Question) { q.AuthTime = time.Time{} }, false},

		{"everything has to hold", auth.Rule{Groups: []string{"staff"}, Methods: []string{"GET"}, ACR: []string{"gold"}, When: "true"}, nil, true},
		{"and not everything but one", auth.Rule{Groups: []string{"staff"}, Methods: []string{"GET"}, ACR: []string{"gold"}, When: "false"}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := carol()
			if c.edit != nil {
				c.edit(&q)
			}
			if got := allows(t, c.rule, q); got != c.holds {
				t.Errorf("in allow: got %t, want %t", got, c.holds)
			}
			if unsure[c.name] {
				if !denies(t, c.rule, q) {
					t.Error("in deny: it refuses nobody, though nobody can tell")
				}
				return
			}
			if got := denies(t, c.rule, q); got != c.holds {
				t.Errorf("in deny: got %t, want %t", got, c.holds)
			}
		})
	}
}

func TestDenyWins(t *testing.T) {
	staff, guests, bad := &auth.Rule{At: "staff", Groups: []string{"staff"}}, &auth.Rule{At: "guests", Groups: []string{"guests"}}, &auth.Rule{At: "bad", Networks: nets("192.0.2.0/24")}
	for _, c := range []struct {
		name   string
		policy auth.Policy
		by     string // the rule that decides, or ""
		passes bool
	}{
		{"one that refuses is enough, whatever is allowed", auth.Policy{Allow: []*auth.Rule{staff}, Deny: []*auth.Rule{guests, bad}}, "bad", false},
		{"the first that refuses is named", auth.Policy{Deny: []*auth.Rule{staff, bad}}, "staff", false},
		{"none refuses, and one allows", auth.Policy{Allow: []*auth.Rule{guests, staff}, Deny: []*auth.Rule{guests}}, "staff", true},
		{"none refuses, and none allows", auth.Policy{Allow: []*auth.Rule{guests}, Deny: []*auth.Rule{guests}}, "", false},
		{"none refuses, and anyone may", auth.Policy{Deny: []*auth.Rule{guests}}, "", true},
		{"an empty list refuses nobody", auth.Policy{Deny: []*auth.Rule{}}, "", true},
		{"it refuses before the provider is looked at", auth.Policy{Providers: []string{"local"}, Deny: []*auth.Rule{bad}}, "bad", false},
		{"it refuses whom a fresh sign-in would help", auth.Policy{Allow: []*auth.Rule{{ACR: []string{"platinum"}}}, Deny: []*auth.Rule{bad}}, "bad", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := carol()
			by, err := c.policy.Decide(&q)
			name := ""
			if by != nil {
				name = by.At
			}
			if (err == nil) != c.passes || name != c.by {
				t.Errorf("got %v by %q, want passes %t by %q", err, name, c.passes, c.by)
			}
			if _, stepUp := errors.AsType[*auth.StepUp](err); stepUp {
				t.Errorf("got %v, want no way past", err)
			}
		})
	}
}

// TestDenyOfNobody: before anybody has signed in, only what is not about people is asked.
func TestDenyOfNobody(t *testing.T) {
	for _, c := range []struct {
		name    string
		rule    auth.Rule
		refuses bool
	}{
		{"where they are", auth.Rule{Networks: nets("192.0.2.0/24")}, true},
		{"what they send", auth.Rule{Methods: []string{"GET"}}, true},
		{"when", auth.Rule{Times: []auth.Window{{Days: [7]bool{true, true, true, true, true, true, true}, To: 24 * time.Hour}}}, true},
		{"an expression about the request", auth.Rule{When: `request.path startsWith "/wiki/"`}, true},
		{"an expression about the request that does not hold", auth.Rule{When: `request.path startsWith "/other/"`}, false},
		{"an expression about the request that cannot be evaluated", auth.Rule{When: `within(request.header("x-device"), "10.0.0.0/8")`}, true},
		{"an empty rule", auth.Rule{}, true},
		{"a user", auth.Rule{Users: []string{""}}, false},
		{"an address", auth.Rule{Emails: []string{"*@example.org"}}, false},
		{"a group, somewhere", auth.Rule{Groups: []string{"guests"}, Networks: nets("192.0.2.0/24")}, false},
		{"a claim that is not there", auth.Rule{Claims: claimThere("employee", false)}, false},
		{"a provider", auth.Rule{Providers: []string{""}}, false},
		{"a class", auth.Rule{ACR: []string{""}}, false},
		{"a method of the sign-in", auth.Rule{AMR: []string{"pwd"}}, false},
		{"an expression about the person", auth.Rule{When: `identity.user == ""`}, false},
		{"an expression about the sign-in", auth.Rule{When: `session.acr == ""`}, false},
		{"an expression about all there is", auth.Rule{When: `$env["request"].method == "GET"`}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := carol()
			q.Ask(nil)
			p, err := (&auth.Policy{Public: true, Deny: []*auth.Rule{&c.rule}}).Compiled()
			if err != nil {
				t.Fatal(err)
			}
			by, err := p.Refuses(&q)
			if (err != nil) != c.refuses || (by != nil) != c.refuses {
				t.Errorf("got %v by %v, want refused %t", err, by, c.refuses)
			}
			if denied, _ := errors.AsType[*auth.Denied](err); err != nil && (denied == nil || denied.Missing != "") {
				t.Errorf("got %#v, want a Denied without a word of what it is about", err)
			}
		})
	}
}

// TestDenyWhereItCannotBeTold: nobody gets past a refusal by having something kept back.
func TestDenyWhereItCannotBeTold(t *testing.T) {
	omitted := func(q *auth.Question) { q.Identity.Groups, q.Identity.GroupsOmitted = nil, true }
	unverified := func(q *auth.Question) { q.Identity.EmailVerified = false }
	for _, c := range []struct {
		name    string
		rule    auth.Rule
		edit    func(*auth.Question)
		refuses bool
	}{
		{"an address that nobody vouches for", auth.Rule{Emails: []string{"carol@example.org"}}, unverified, true},
		{"an address of a domain that nobody vouches for", auth.Rule{Emails: []string{"*@example.org"}}, unverified, true},
		{"somebody else's address", auth.Rule{Emails: []string{"dave@example.org"}}, unverified, false},
		{"groups that were left out", auth.Rule{Groups: []string{"contractors"}}, omitted, true},
		{"groups that were left out, of somebody it is not about", auth.Rule{Groups: []string{"contractors"}, Users: []string{"dave"}}, omitted, false},
		{"groups that were left out, for an expression", auth.Rule{When: `"contractors" in identity.groups`}, omitted, true},
		{"groups that were left out, for a roundabout expression", auth.Rule{When: `any([identity], "contractors" in .groups)`}, omitted, true},
		{"groups that were left out, for an expression about all there is", auth.Rule{When: `"contractors" in $env["identity"].groups`}, omitted, true},
		{"groups that were left out, for an expression about something else", auth.Rule{When: `identity.user == "dave"`}, omitted, false},
		{"groups that were left out, where a claim has them", auth.Rule{Claims: claimIs("groups", "contractors")}, omitted, true},
		{"groups that were left out, where another claim is there", auth.Rule{Claims: claimIs("department", "sales")}, omitted, false},
		{"an address of the client that is not known", auth.Rule{Networks: nets("203.0.113.0/24")}, func(q *auth.Question) { q.Address = netip.Addr{} }, true},
		{"an expression that cannot be evaluated", auth.Rule{When: `identity.claims.level startsWith "3"`}, nil, true},
		{"one that cannot be evaluated, of a sign-in it is not about", auth.Rule{ACR: []string{"silver"}, When: `identity.claims.level startsWith "3"`}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := carol()
			if c.edit != nil {
				c.edit(&q)
			}
			if got := denies(t, c.rule, q); got != c.refuses {
				t.Errorf("in deny: got %t, want %t", got, c.refuses)
			}
			if allows(t, c.rule, q) {
				t.Error("what cannot be told lets somebody pass")
			}
		})
	}
	p := auth.Policy{Deny: []*auth.Rule{{When: "false"}}}
	q := carol()
	if _, err := p.Decide(&q); err == nil {
		t.Error("an expression that was not compiled refuses nobody")
	}
	if q.Ask(nil); true {
		if _, err := p.Refuses(&q); err == nil {
			t.Error("an expression that was not compiled lets nobody in particular pass")
		}
	}
}

// TestRefusalsKeepSecrets: where an operator's networks are, what expressions ask and
// what claims should be is nobody's business.
func TestRefusalsKeepSecrets(t *testing.T) {
	secret := &auth.Rule{Networks: nets("10.77.0.0/16"), When: `request.header("x-secret") == "SECRET-WORD"`, Claims: claimIs("clearance", "SECRET-LEVEL")}
	stronger := &auth.Rule{ACR: []string{"platinum"}}
	for name, p := range map[string]*auth.Policy{
		"allow": {Allow: []*auth.Rule{secret}}, "deny": {Deny: []*auth.Rule{{Networks: nets("192.0.2.0/24")}}}, "step-up": {Allow: []*auth.Rule{secret, stronger}},
	} {
		p, err := p.Compiled()
		if err != nil {
			t.Fatal(err)
		}
		q := carol()
		_, err = p.Decide(&q)
		if err == nil {
			t.Fatalf("%s: it passes", name)
		}
		for _, word := range []string{"10.77", "192.0.2", "SECRET", "x-secret"} {
			if strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q tells %q", name, err, word)
			}
		}
	}
}
