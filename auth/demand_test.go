package auth_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

func TestStepUpOnlyWhereNothingElseFallsShort(t *testing.T) {
	type rules = []*auth.Rule
	for _, c := range []struct {
		name    string
		policy  auth.Policy
		stepUp  string // what is demanded, or "" for a plain no
		missing string
	}{
		{"of another class", auth.Policy{Allow: rules{{ACR: []string{"platinum"}}}}, `acr="platinum" amr="" age=`, "sign-in of class platinum"},
		{"by another method", auth.Policy{Allow: rules{{AMR: []string{"hwk", "swk"}}}}, `acr="" amr="hwk swk" age=`, "sign-in by hwk or swk"},
		{"too long ago", auth.Policy{Allow: rules{{MaxAuthAge: 5 * time.Minute}}}, `acr="" amr="" age=5m0s`, "sign-in within the last 5 minutes"},
		{"all that the rule asks is demanded, or two sign-ins would take turns", auth.Policy{Allow: rules{{ACR: []string{"gold"}, AMR: []string{"hwk"}, MaxAuthAge: time.Hour}}},
			`acr="gold" amr="hwk" age=1h0m0s`, "sign-in by hwk"},
		{"and of the right people", auth.Policy{Allow: rules{{Groups: []string{"staff"}, ACR: []string{"platinum"}}}}, `acr="platinum" amr="" age=`, "sign-in of class platinum"},
		{"of the wrong people it would not help", auth.Policy{Allow: rules{{Groups: []string{"admin"}, ACR: []string{"platinum"}}}}, "", "group admin and sign-in of class platinum"},
		{"nor by the wrong method", auth.Policy{Allow: rules{{Methods: []string{"POST"}, ACR: []string{"platinum"}}}}, "", "method POST and sign-in of class platinum"},
		{"nor where an expression does not hold", auth.Policy{Allow: rules{{When: "false", ACR: []string{"platinum"}}}}, "",
			"sign-in of class platinum and what a condition of this address asks"},
		{"nor at the wrong provider", auth.Policy{Providers: []string{"local"}, Allow: rules{{ACR: []string{"platinum"}}}}, "", "sign-in at local"},
		{"nor where no class would do", auth.Policy{Allow: rules{{ACR: []string{}}}}, "", "a sign-in of a class of an empty list"},
		{"one alternative that it would help is enough", auth.Policy{Allow: rules{{Groups: []string{"admin"}}, {MaxAuthAge: 5 * time.Minute}}},
			`acr="" amr="" age=5m0s`, "sign-in within the last 5 minutes"},
		{"of two the first is demanded", auth.Policy{Allow: rules{{ACR: []string{"platinum"}}, {MaxAuthAge: 5 * time.Minute}}}, `acr="platinum" amr="" age=`, "sign-in of class platinum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := c.policy.Compiled()
			if err != nil {
				t.Fatal(err)
			}
			q := carol()
			_, err = p.Decide(&q)
			switch err := err.(type) {
			case *auth.StepUp:
				got := fmt.Sprintf("acr=%q amr=%q age=", strings.Join(err.ACR, " "), strings.Join(err.AMR, " "))
				if err.Fresh {
					got += err.MaxAge.String()
				}
				if got != c.stepUp || err.Missing != c.missing {
					t.Errorf("got %s for lack of %q, want %s for lack of %q", got, err.Missing, c.stepUp, c.missing)
				}
			case *auth.Denied:
				if c.stepUp != "" || err.Missing != c.missing {
					t.Errorf("got denied for lack of %q, want %q for lack of %q", err.Missing, c.stepUp, c.missing)
				}
			default:
				t.Errorf("got %v, want a no", err)
			}
		})
	}
}

func TestStronger(t *testing.T) {
	type rules = []*auth.Rule
	long := strings.Repeat("x", 150)
	for _, c := range []struct {
		name  string
		allow rules
		want  string // a Demand in words, or "" for nothing
	}{
		{"anyone signed in", nil, ""},
		{"nobody", rules{}, ""},
		{"no proof is asked", rules{{Groups: []string{"staff"}}}, ""},
		{"the one class", rules{{ACR: []string{"gold"}}}, "a sign-in of class gold"},
		{"any of the classes that would do", rules{{ACR: []string{"gold", "silver"}}, {ACR: []string{"silver", "platinum"}}}, "a sign-in of class gold or silver or platinum"},
		{"one way needs no class", rules{{ACR: []string{"gold"}}, {Groups: []string{"admin"}}}, ""},
		{"one way needs no class, in another order", rules{{Groups: []string{"admin"}}, {ACR: []string{"gold"}}}, ""},
		{"the longest of the ages", rules{{MaxAuthAge: time.Hour}, {MaxAuthAge: 5 * time.Minute}}, "a sign-in within the last hour"},
		{"one way needs no age", rules{{MaxAuthAge: time.Hour}, {}}, ""},
		{"both", rules{{ACR: []string{"gold"}, MaxAuthAge: 2 * time.Hour}}, "a sign-in of class gold and a sign-in within the last 2 hours"},
		{"a method is nothing that a provider can be asked for", rules{{AMR: []string{"otp"}}}, ""},
		{"more classes than an address can say", rules{{ACR: []string{long + "1", long + "2", long + "3"}, MaxAuthAge: time.Minute}}, "a sign-in within the last minute"},
	} {
		p, err := (&auth.Policy{Allow: c.allow}).Compiled()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if d := p.Stronger(); d != nil {
			got = d.String()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDemandChallenge(t *testing.T) {
	const begin = `Bearer realm="evergate", error="insufficient_user_authentication", error_description="`
	for _, c := range []struct {
		d    auth.Demand
		want string
	}{
		{auth.Demand{ACR: []string{"gold", "urn:x"}}, `a stronger sign-in is needed", acr_values="gold urn:x"`},
		{auth.Demand{Fresh: true, MaxAge: 5 * time.Minute}, `a more recent sign-in is needed", max_age="300"`},
		{auth.Demand{Fresh: true}, `a more recent sign-in is needed", max_age="0"`},
		{auth.Demand{ACR: []string{"gold"}, Fresh: true, MaxAge: time.Hour}, `a stronger sign-in is needed", acr_values="gold", max_age="3600"`},
		{auth.Demand{AMR: []string{"otp"}, Fresh: true, MaxAge: time.Hour}, `a stronger sign-in is needed", max_age="0"`},
	} {
		if got := c.d.Challenge(); got != begin+c.want {
			t.Errorf("got %s, want %s", got, begin+c.want)
		}
	}
}

func TestDemandOf(t *testing.T) {
	for _, c := range []struct{ name, acr, amr, age, want string }{
		{"nothing", "", "", "", ""},
		{"all of it", "gold silver", "otp", "300", "a sign-in of class gold or silver and a sign-in by otp and a sign-in within the last 5 minutes"},
		{"just now", "", "", "0", "a sign-in that was made just now"},
		{"blanks do not count", "  gold   silver ", "", "", "a sign-in of class gold or silver"},
		{"a quote would end the parameter of a challenge", `gold" x="`, "", "", ""},
		{"a backslash would escape in it", `go\ld`, "", "", ""},
		{"a line would begin another header", "gold\r\nSet-Cookie: a=b", "", "", ""},
		{"letters outside ASCII", "gøld", "", "", ""},
		{"a list that is too long", strings.Repeat("x", auth.MaxDemand+1), "", "", ""},
		{"a negative age", "", "", "-1", ""},
		{"an age with a sign", "", "", "+1", ""},
		{"no number", "", "", "5m", ""},
		{"a fraction", "", "", "1.5", ""},
		{"an age beyond any number", "", "", "99999999999999999999", ""},
		{"an age beyond a life", "", "", "4294967296", ""},
	} {
		d := auth.DemandOf(c.acr, c.amr, c.age)
		if got := d.String(); got != c.want || d.IsZero() != (c.want == "") {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzDemandOf: what an address says of a demand is taken apart and put together again
// without change, whatever it is, and never leaves its place in a header.
func FuzzDemandOf(f *testing.F) {
	f.Add("gold silver", "otp", "300")
	f.Add(" ", "otp", "300")
	f.Add(`a" b`, "\\", "-1")
	f.Add("urn:mace:incommon:iap:silver", "", "0")
	f.Fuzz(func(t *testing.T, acr, amr, age string) {
		d := auth.DemandOf(acr, amr, age)
		again := auth.DemandOf(auth.Params(&d))
		if !reflect.DeepEqual(d, again) && !(d.IsZero() && again.IsZero()) {
			t.Errorf("got %+v, and after a round trip %+v", d, again)
		}
		if c := d.Challenge(); strings.Count(c, `"`)%2 != 0 || strings.ContainsAny(c, "\r\n\\") || strings.Count(c, `"`) > 10 {
			t.Errorf("got the challenge %q", c)
		}
		if u, err := url.Parse(auth.LoginAddress(&d)); err != nil || u.Host != "" || u.Path != "/.evergate/login" {
			t.Errorf("got the address %q", auth.LoginAddress(&d))
		}
	})
}

// glob is Glob as a definition.
func glob(pattern, s []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(s) == 0
	case pattern[0] == '*':
		return glob(pattern[1:], s) || len(s) > 0 && glob(pattern, s[1:])
	}
	return len(s) > 0 && (pattern[0] == '?' || pattern[0] == s[0]) && glob(pattern[1:], s[1:])
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "anything", true}, {"?", "", false}, {"?", "ä", true},
		{"E-*", "E-", true}, {"E-*", "xE-1", false}, {"*@example.org", "a@example.org", true}, {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXbYc d", false},
		{"[ab]", "a", false}, {"[ab]", "[ab]", true}, {`\*`, `\x`, true}, {"**", "", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
	} {
		if got := auth.Glob(c.pattern, c.s); got != c.want || glob([]rune(c.pattern), []rune(c.s)) != c.want {
			t.Errorf("%q on %q: got %t, want %t", c.pattern, c.s, got, c.want)
		}
	}
	letters := []rune("aab*?ä")
	word := func(r *rand.Rand, n int) (out []rune) {
		for range r.IntN(n) {
			out = append(out, letters[r.IntN(len(letters))])
		}
		return out
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		p, s := word(r, 8), word(r, 10)
		if got, want := auth.Glob(string(p), string(s)), glob(p, s); got != want {
			t.Fatalf("%q on %q: got %t, want %t", string(p), string(s), got, want)
		}
	}
	began := time.Now()
	auth.Glob(strings.Repeat("*a", 2000), strings.Repeat("a", 1999)+strings.Repeat("b", 20000))
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a pattern of many stars took %v", took)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "aXXbYc")
	f.Add("*a*a*", "bababa")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 12 || len(s) > 16 {
			t.Skip("the definition takes long")
		}
		if got, want := auth.Glob(pattern, s), glob([]rune(pattern), []rune(s)); got != want {
			t.Errorf("%q on %q: got %t, want %t", pattern, s, got, want)
		}
	})
}
