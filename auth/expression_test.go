package auth_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		when  string
		holds bool
	}{
		{`true`, true}, {`false`, false},
		{`request.method == "GET" and request.host == "apps.example.org"`, true},
		{`request.path startsWith "/wiki/"`, true},
		{`request.address == "192.0.2.7"`, true},
		{`within(request.address, "192.0.2.0/24")`, true},
		{`within(request.address, "2001:db8::/32")`, false},
		{`request.time.Hour() == 12 and request.time.Weekday().String() == "Wednesday"`, true},
		{`request.header("x-device") == "managed"`, true},
		{`request.header("x-other") == ""`, true},
		{`identity.user == "carol" and identity.subject == "c-1" and identity.provider == "corp" and identity.name == "Carol"`, true},
		{`identity.email endsWith "@example.org"`, true},
		{`"wiki" in identity.groups`, true},
		{`any(identity.groups, # startsWith "adm")`, false},
		{`identity.claims.department == "engineering"`, true},
		{`identity.claims["https://example.com/tier"] == "gold"`, true},
		{`"dev" in identity.claims.realm_access.roles`, true},
		{`identity.claims.level > 2`, true},
		{`identity.claims.missing == nil`, true},
		{`identity.claims?.missing?.deeper == nil`, true},
		{`session.acr == "gold" and "otp" in session.amr`, true},
		{`session.auth_age < duration("11m")`, true},
		{`session.auth_age < duration("9m")`, false},
		{`request.path matches "^/wiki/[a-z]*$"`, true},
	} {
		if got := allows(t, auth.Rule{When: c.when}, carol()); got != c.holds {
			t.Errorf("%s: got %t, want %t", c.when, got, c.holds)
		}
	}
	for name, c := range map[string]struct {
		when string
		edit func(*auth.Question)
	}{
		"an address that nobody vouches for is none": {`identity.email == ""`, func(q *auth.Question) { q.Identity.EmailVerified = false }},
		"a sign-in of which nobody knows when is ages ago": {`session.auth_age > duration("24000h")`,
			func(q *auth.Question) { q.AuthTime = time.Time{} }},
		"a sign-in by a clock that is ahead was just now":    {`session.auth_age == duration("0s")`, func(q *auth.Question) { q.AuthTime = noon.Add(time.Hour) }},
		"an address that is not known is no text":            {`request.address == ""`, func(q *auth.Question) { q.Address = netip.Addr{} }},
		"an address is written one way":                      {`request.address == "192.0.2.7"`, func(q *auth.Question) { q.Address = netip.MustParseAddr("::ffff:192.0.2.7") }},
		"a person without claims has none":                   {`identity.claims.department == nil`, func(q *auth.Question) { q.Identity.Claims = nil }},
		"a person without groups is in none":                 {`len(identity.groups) == 0`, func(q *auth.Question) { q.Identity.Groups = nil }},
		"the time is UTC":                                    {`request.time.Hour() == 12`, func(q *auth.Question) { q.Time = q.Time.In(time.FixedZone("", 7200)) }},
		"a request without header fields has an empty field": {`request.header("x") == ""`, func(q *auth.Question) { q.Header = nil }},
	} {
		q := carol()
		c.edit(&q)
		if !allows(t, auth.Rule{When: c.when}, q) {
			t.Errorf("%s: %s does not hold", name, c.when)
		}
	}
}

// TestExpressionsThatFail: what cannot be evaluated lets nobody pass, and says why to
// whoever asks for an explanation.
func TestExpressionsThatFail(t *testing.T) {
	for _, c := range []struct{ when, why string }{
		{`identity.claims.level startsWith "3"`, "interface conversion"},
		{`identity.claims.missing.deeper == 1`, "cannot fetch deeper"},
		{`identity.claims.missing > 1`, "invalid operation"},
		{`identity.groups[7] == "staff"`, "out of range"},
		{`within(request.address, request.header("x-device"))`, "no range"},
		{`within(request.header("x-device"), "10.0.0.0/8")`, "no address"},
		{`request.path matches request.header("x-bad")`, "error parsing regexp"},
		{`identity.claims.admin ? identity.claims.level : identity.claims.department`, "invalid operation"},
	} {
		q := carol()
		q.Header.Set("X-Bad", "(")
		allow, err := (&auth.Policy{Allow: []*auth.Rule{{When: c.when}}}).Compiled()
		if err != nil {
			t.Errorf("%s: %v", c.when, err)
			continue
		}
		if _, err := allow.Decide(&q); err == nil {
			t.Errorf("%s: it lets somebody pass", c.when)
		}
		deny, _ := (&auth.Policy{Deny: []*auth.Rule{{When: c.when}}}).Compiled()
		trace, _, err := deny.Explain(&q, false)
		if err == nil {
			t.Errorf("%s: it refuses nobody", c.when)
		}
		if got := trace.Rules[0].Conditions[0]; got.Holds || !strings.Contains(got.Err, c.why) {
			t.Errorf("%s: got %+v, want to be told of %q", c.when, got, c.why)
		}
	}
}

// TestBadExpressions: they are found when they are compiled, with line and column.
func TestBadExpressions(t *testing.T) {
	deep := `any(identity.groups, any(identity.groups, any(identity.groups, true)))`
	for _, c := range []struct{ when, at, why string }{
		{`identity.usr == "x"`, "1:10", "identity has no usr; it has user, subject, provider, name, email, groups, claims"},
		{`request.method == "GET" and` + "\n" + `  sesion.acr == "x"`, "2:3", "there is no sesion; there are request, identity and session"},
		{`identity.user`, "1:", "bool"},
		{`identity.user == 3`, "1:15", "mismatched types"},
		{`identity.user ==`, "1:", "unexpected token"},
		{`now() > request.time`, "1:1", "now"},
		{`repeat("x", 1000) == ""`, "1:1", "repeat"},
		{`replace(request.path, "", request.path) == ""`, "1:1", "replace"},
		{`join(identity.groups, ",") == ""`, "1:1", "join"},
		{`reduce(identity.groups, #acc + # + #acc) == ""`, "1:", "reduce is no part of this language"},
		{`toJSON(identity.groups) == ""`, "1:1", "toJSON"},
		{`let x = identity.user; x + x == ""`, "1:", "let is no part of this language"},
		{`any(1..1000000, # == 1)`, "1:6", "ranges of numbers"},
		{"true and\n" + deep, "2:", "more than 2 deep"},
		{`within(request.address, "10.0.0.0/33")`, "1:25", `"10.0.0.0/33" is no range`},
		{`within(request.address, "::ffff:10.0.0.0/104")`, "1:25", "is no range"},
		{`within(request.address)`, "1:", "not enough arguments"},
		{strings.Repeat("true and ", 600) + "true", "1:", "exceeds maximum allowed nodes"},
		{`request.path matches "("`, "1:", "error parsing regexp"},
	} {
		_, err := (&auth.Policy{Allow: []*auth.Rule{{}, {At: "routes[0].allow[1]", When: c.when}}}).Compiled()
		bad, ok := errors.AsType[*auth.BadExpression](err)
		if !ok {
			t.Errorf("%.60s: got %v, want a BadExpression", c.when, err)
			continue
		}
		if at := fmt.Sprintf("%d:%d", bad.Line, bad.Column); bad.At != "routes[0].allow[1].when" || !strings.HasPrefix(at, c.at) || !strings.Contains(bad.Msg, c.why) {
			t.Errorf("%.60s: got %q at %s of %s, want %q at %s", c.when, bad.Msg, at, bad.At, c.why, c.at)
		}
	}
	_, err := (&auth.Policy{Allow: []*auth.Rule{{When: "a"}}, Deny: []*auth.Rule{{When: "b"}}, Observed: &auth.Policy{Deny: []*auth.Rule{{When: "c"}}}}).Compiled()
	if got := strings.Count(fmt.Sprint(err), "of the expression"); got != 3 {
		t.Errorf("got %d faults, want all three: %v", got, err)
	}
}

// FuzzExpression: whatever somebody writes is compiled and evaluated, or refused, in no
// time and without panic.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{`request.path startsWith "/wiki/" + identity.user + "/" and "wiki" in identity.groups`, `any(identity.groups, len(#) > 3)`,
		`identity.claims.level > 2 ? true : session.auth_age < duration("5m")`, `within(request.address, "10.0.0.0/8")`, `!(session.acr in ["a", "b"])`,
		`count(split(request.path, "/"), # != "") > 2`, `sort(identity.groups)[0] == "staff"`, `request.time.Hour() >= 8`, `identity.claims?.a?.b ?? false`,
		`all(filter(identity.groups, # matches "^s"), len(#) < 9)`, `{"a": 1}.a == 1`, `string(identity.claims.level) == "3"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		began := time.Now()
		p, err := (&auth.Policy{Deny: []*auth.Rule{{When: text}}}).Compiled()
		if err != nil {
			if bad, ok := errors.AsType[*auth.BadExpression](err); !ok || bad.Line < 1 || bad.Column < 1 || bad.Msg == "" {
				t.Errorf("%q: got %#v, want a place and a reason", text, err)
			}
			return
		}
		q := carol()
		_, _ = p.Decide(&q)
		q.Ask(nil)
		_, _ = p.Refuses(&q)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %v", text, took)
		}
	})
}
