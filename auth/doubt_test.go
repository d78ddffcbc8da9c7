package auth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestClaimsOfAnotherKind: what a claim's value is beside what the rule asks for. An allow holds
// by what is certain alone; a deny counts also where nobody can tell, and says why.
func TestClaimsOfAnotherKind(t *testing.T) {
	is, like := func(values ...string) auth.ClaimRule { return auth.ClaimRule{AnyOf: values} }, func(glob string) auth.ClaimRule { return auth.ClaimRule{Glob: glob} }
	there := func(yes bool) auth.ClaimRule { return auth.ClaimRule{Exists: &yes} }
	const yes, no, unsure = "holds", "does not", "nobody can tell"
	for _, c := range []struct {
		name  string
		rule  auth.ClaimRule
		claim string // JSON; "" is none
		want  string
		why   string
	}{
		{"a number", is("3"), `3`, yes, ""},
		{"the same number with a fraction", is("3"), `3.0`, yes, ""},
		{"the same number with an exponent", is("3"), `3e0`, yes, ""},
		{"the same number by tens", is("300"), `3E+2`, yes, ""},
		{"a fraction with more digits", is("0.5"), `0.50`, yes, ""},
		{"nothing, with a sign", is("0"), `-0.0`, yes, ""},
		{"a fraction in the rule", is("3.0"), `3`, yes, ""},
		{"one of several numbers", is("2", "3"), `3.0`, yes, ""},
		{"another number", is("3"), `30`, no, ""},
		{"the number below nothing", is("3"), `-3`, no, ""},
		{"a number beyond all bounds", is("3"), `3e99999999999`, no, ""},
		{"a number of many digits", is("9007199254740993"), `9007199254740993`, yes, ""},
		{"the next one", is("9007199254740993"), `9007199254740992`, no, ""},
		{"a number as text", is("3"), `"3"`, yes, ""},
		{"a number as text, with a fraction", is("3"), `"3.0"`, unsure, "the claim c is another text for a number that the rule names"},
		{"a number as text, with a blank", is("3"), `" 3"`, unsure, ""},
		{"a number as text, with a nothing before it", is("3"), `"03"`, unsure, ""},
		{"a number as text, with a sign", is("3"), `"+3"`, unsure, ""},
		{"a text that is no number", is("3"), `"three"`, no, ""},
		{"a text where numbers are asked for", is("3"), `"A7"`, no, ""},
		{"a truth where a number is asked for", is("1"), `true`, unsure, "the claim c is a truth value, and the rule asks for a number"},
		{"a truth", is("true"), `true`, yes, ""},
		{"the other truth", is("true"), `false`, no, ""},
		{"a truth as text", is("true"), `"true"`, yes, ""},
		{"the other truth as text", is("true"), `"false"`, no, ""},
		{"a truth in capitals", is("true"), `"TRUE"`, unsure, "the claim c is a text, and the rule asks for true or false"},
		{"a truth in words", is("true"), `"yes"`, unsure, ""},
		{"a truth as a number", is("true"), `1`, unsure, "the claim c is a number, and the rule asks for true or false"},
		{"no truth as a number", is("true"), `0`, unsure, ""},
		{"a truth in capitals, where texts are asked for too", is("true", "partly"), `"True"`, unsure, ""},
		{"a text, where texts are asked for too", is("true", "partly"), `"none"`, no, ""},
		{"a text", is("guest"), `"guest"`, yes, ""},
		{"another text", is("guest"), `"Guest"`, no, ""},
		{"a text with a line break", is("guest"), `"guest\n"`, unsure, "the claim c has blanks or control characters in it"},
		{"a text with blanks around it", is("guest"), `" guest "`, unsure, ""},
		{"a text with a zero width space", is("guest"), `"guest\u200b"`, unsure, ""},
		{"two texts on two lines", is("guest"), `"staff\nguest"`, unsure, ""},
		{"a text with a blank in it", is("guest"), `"guest house"`, no, ""},
		{"a number where a text is asked for", is("guest"), `7`, unsure, "the claim c is a number, and the rule asks for a text"},
		{"a truth where a text is asked for", is("guest"), `true`, unsure, ""},
		{"an object", is("guest"), `{"guest": true}`, unsure, "the claim c is an object, and the rule asks for a value"},
		{"an empty object", is("guest"), `{}`, unsure, ""},
		{"null", is("guest"), `null`, no, ""},
		{"nothing at all", is("guest"), ``, no, ""},
		{"a list", is("guest"), `["staff", "guest"]`, yes, ""},
		{"a list of others", is("guest"), `["staff"]`, no, ""},
		{"an empty list", is("guest"), `[]`, no, ""},
		{"a list in a list", is("guest"), `["staff", ["guest"]]`, unsure, "the claim c is a list in a list, and the rule asks for a value"},
		{"an object in a list", is("guest"), `[{"name": "guest"}]`, unsure, "the claim c is an object in a list, and the rule asks for a value"},
		{"null in a list", is("guest"), `["staff", null]`, unsure, ""},
		{"a number in a list", is("guest"), `["staff", 7]`, unsure, ""},
		{"a pattern", like("gu*"), `"guest"`, yes, ""},
		{"a pattern on a number", like("9*"), `9.10e2`, yes, ""},
		{"a pattern on another number", like("9*"), `8`, no, ""},
		{"a pattern on an object", like("gu*"), `{"guest": true}`, unsure, ""},
		{"a pattern on a text with a line break", like("*guest"), `"a guest\n"`, unsure, ""},
		{"there", there(true), `false`, yes, ""},
		{"there, an empty object", there(true), `{}`, yes, ""},
		{"there, null", there(true), `null`, no, ""},
		{"not there", there(false), ``, yes, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for reading, decode := range map[string]func(*json.Decoder){"as a store has it": func(*json.Decoder) {}, "as a token has it": (*json.Decoder).UseNumber} {
				claims := map[string]any{}
				if c.claim != "" {
					d := json.NewDecoder(strings.NewReader(`{"c": ` + c.claim + `}`))
					decode(d)
					if err := d.Decode(&claims); err != nil {
						if strings.Contains(c.claim, "e99") {
							continue // no store has it
						}
						t.Fatal(err)
					}
				}
				q := carol()
				q.Identity.Claims = claims
				c.rule.Path = "c"
				want := c.want
				if _, isNumber := claims["c"].(float64); isNumber && strings.Contains(c.claim, "900719925474099") {
					want = map[string]string{yes: unsure, no: unsure}[want] // digits are lost there
				}
				rule := auth.Rule{Claims: []auth.ClaimRule{c.rule}}
				if got := allows(t, rule, q); got != (want == yes) {
					t.Errorf("%s: in allow: got %t, want %s", reading, got, want)
				}
				if got := denies(t, rule, q); got != (want != no) {
					t.Errorf("%s: in deny: got %t, want %s", reading, got, want)
				}
				trace, _, err := (&auth.Policy{Deny: []*auth.Rule{&rule}}).Explain(&q, false)
				why := trace.Rules[0].Conditions[0].Err
				if (why != "") != (want == unsure) || c.why != "" && why != c.why {
					t.Errorf("%s: it is explained by %q, want %q", reading, why, c.why)
				}
				if want == unsure && !strings.HasSuffix(err.Error(), why) {
					t.Errorf("%s: the log has %q, want it to say why", reading, err)
				}
			}
		})
	}
}

// TestClaimsThatCannotBeReached: a path into what is no object, or to a claim that the provider
// keeps elsewhere, leaves open what stands there.
func TestClaimsThatCannotBeReached(t *testing.T) {
	for _, c := range []struct {
		name, claims string
		denies       bool
	}{
		{"it is not there", `{}`, false},
		{"what it lies in is not there", `{"other": {"roles": ["guest"]}}`, false},
		{"what it lies in is null", `{"app": null}`, false},
		{"what it lies in has nothing of the name", `{"app": {"other": 1}}`, false},
		{"what it lies in is a text", `{"app": "guest"}`, true},
		{"what it lies in is a list", `{"app": [{"roles": ["guest"]}]}`, true},
		{"the provider keeps it elsewhere", `{"_claim_names": {"app.roles": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x.test/"}}}`, true},
		{"the provider keeps what it lies in elsewhere", `{"_claim_names": {"app": "src1"}}`, true},
		{"the provider keeps something else elsewhere", `{"_claim_names": {"address": "src1"}}`, false},
	} {
		q := carol()
		q.Identity.Claims = nil
		if err := json.Unmarshal([]byte(c.claims), &q.Identity.Claims); err != nil {
			t.Fatal(err)
		}
		yes := true
		for what, rule := range map[string]auth.ClaimRule{"a value": {Path: "app.roles", AnyOf: []string{"guest"}}, "a pattern": {Path: "app.roles", Glob: "g*"}, "there": {Path: "app.roles", Exists: &yes}} {
			if got := denies(t, auth.Rule{Claims: []auth.ClaimRule{rule}}, q); got != c.denies {
				t.Errorf("%s, %s: in deny: got %t, want %t", c.name, what, got, c.denies)
			}
			if allows(t, auth.Rule{Claims: []auth.ClaimRule{rule}}, q) {
				t.Errorf("%s, %s: it lets somebody pass", c.name, what)
			}
		}
	}
}

// TestGroupsThatCannotBeTold: a deny counts where a group may be the one it names, and an
// expression too. What is certain goes on to allow.
func TestGroupsThatCannotBeTold(t *testing.T) {
	for _, c := range []struct {
		name    string
		groups  []string
		unread  bool
		oneText bool
		denies  bool
	}{
		{"others", []string{"staff", "Domain Users"}, false, false, false},
		{"none", nil, false, false, false},
		{"the one", []string{"staff", "guests"}, false, false, true},
		{"what is no name beside names", []string{"staff"}, true, false, true},
		{"a line break behind it", []string{"staff", "guests\n"}, false, false, true},
		{"blanks around it", []string{"staff", " guests "}, false, false, true},
		{"a no-break space behind it", []string{"staff", "guests\u00a0"}, false, false, true},
		{"two on two lines", []string{"staff\r\nguests"}, false, false, true},
		{"a comma in a name of a list", []string{"staff", "a,guests"}, false, false, false},
		{"one text that is a name", []string{"staff"}, false, true, false},
		{"one text that is a name with a blank", []string{"staff of IT"}, false, true, false},
		{"one text with commas", []string{"staff,guests"}, false, true, true},
		{"one text with blanks", []string{"staff guests"}, false, true, true},
		{"one text with semicolons", []string{"staff; guests;"}, false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := carol()
			q.Identity.Groups, q.Identity.GroupsUnread, q.Identity.GroupsOneText = c.groups, c.unread, c.oneText
			rules := map[string]auth.Rule{"groups": {Groups: []string{"guests"}}, "when": {When: `"guests" in identity.groups`}, "a roundabout when": {When: `any($env["identity"].groups, # == "guests")`}}
			for what, rule := range rules {
				if got := denies(t, rule, q); got != c.denies {
					t.Errorf("%s: in deny: got %t, want %t", what, got, c.denies)
				}
				if got, want := allows(t, rule, q), c.name == "the one"; got != want {
					t.Errorf("%s: in allow: got %t, want %t", what, got, want)
				}
			}
			if got := allows(t, auth.Rule{When: `not ("guests" in identity.groups)`}, q); got == c.denies {
				t.Errorf("whoever may be in the group passes as one who is not: %t", got)
			}
			if got, want := allows(t, auth.Rule{Groups: []string{"staff"}}, q), len(c.groups) > 0 && c.groups[0] == "staff"; got != want {
				t.Errorf("by what is certain: got %t, want %t", got, want)
			}
			if denies(t, auth.Rule{Groups: []string{"guests"}, Users: []string{"dave"}}, q) {
				t.Error("somebody else's refusal is theirs")
			}
		})
	}
}

// TestNamesThatCannotBeTold: a deny of a user or an address counts where what the provider says of it cannot be read.
func TestNamesThatCannotBeTold(t *testing.T) {
	users := auth.Rule{Users: []string{"corp/mallory"}}
	emails := auth.Rule{Emails: []string{"*@evil.org"}}
	when := auth.Rule{When: `identity.email endsWith "@evil.org"`}
	for _, c := range []struct {
		name          string
		id            auth.Identity
		users, emails bool
	}{
		{"somebody else", auth.Identity{User: "corp/alice", Email: "alice@good.org", EmailVerified: true}, false, false},
		{"nobody in particular", auth.Identity{User: "corp/1234"}, false, false},
		{"a name that is no text", auth.Identity{User: "corp/1234", UserUnread: true}, true, false},
		{"a name with a line break", auth.Identity{User: "corp/mallory\n"}, true, false},
		{"a name with a blank before it", auth.Identity{User: "corp/ mallory"}, true, false},
		{"a name with a space without width", auth.Identity{User: "corp/mal\u200blory"}, true, false},
		{"another name with a blank", auth.Identity{User: "corp/alice mallory"}, false, false},
		{"an address that is no text", auth.Identity{User: "corp/alice", EmailUnread: true}, false, true},
		{"an address with a line break", auth.Identity{User: "corp/alice", Email: "a@evil.org\n", EmailVerified: true}, false, true},
		{"an address with two ats", auth.Identity{User: "corp/alice", Email: "a@evil.org@good.org", EmailVerified: true}, false, true},
		{"an address in brackets", auth.Identity{User: "corp/alice", Email: "A <a@evil.org>", EmailVerified: true}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := carol()
			q.Identity = &c.id
			if got := denies(t, users, q); got != c.users {
				t.Errorf("users in deny: got %t, want %t", got, c.users)
			}
			for what, rule := range map[string]auth.Rule{"emails": emails, "when": when} {
				if got := denies(t, rule, q); got != c.emails {
					t.Errorf("%s in deny: got %t, want %t", what, got, c.emails)
				}
			}
			if allows(t, users, q) || allows(t, emails, q) || allows(t, when, q) {
				t.Error("what cannot be told lets somebody pass")
			}
			if allows(t, auth.Rule{When: `not (identity.email endsWith "@evil.org")`}, q) == c.id.EmailUnread {
				t.Error("whoever may have the address passes as one who has not")
			}
		})
	}
}
