package auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

func TestPolicy(t *testing.T) {
	alice := auth.Identity{User: "alice", Email: "alice@example.org", EmailVerified: true, Groups: []string{"staff", "wiki"}}
	type rules = []*auth.Rule
	for _, c := range []struct {
		name    string
		policy  auth.Policy
		edit    func(*auth.Identity)
		missing string // "" is allowed
	}{
		{"no rules let anyone pass who is signed in", auth.Policy{}, nil, ""},
		{"G-07 an empty list of rules lets nobody pass", auth.Policy{Allow: rules{}}, nil, "an entry in an empty allow list"},
		{"an empty rule lets anyone pass who is signed in", auth.Policy{Allow: rules{{}}}, nil, ""},
		{"G-07 an empty list in a rule lets nobody pass", auth.Policy{Allow: rules{{Groups: []string{}}}}, nil, "a group of an empty list"},
		{"a user by name", auth.Policy{Allow: rules{{Users: []string{"bob", "alice"}}}}, nil, ""},
		{"a user in another case is another user", auth.Policy{Allow: rules{{Users: []string{"Alice"}}}}, nil, "user Alice"},
		{"one group of several is enough", auth.Policy{Allow: rules{{Groups: []string{"admin", "wiki"}}}}, nil, ""},
		{"a group in another case is another group", auth.Policy{Allow: rules{{Groups: []string{"Staff"}}}}, nil, "group Staff"},
		{"part of a group's name is another group", auth.Policy{Allow: rules{{Groups: []string{"sta"}}}}, nil, "group sta"},
		{"a mail address", auth.Policy{Allow: rules{{Emails: []string{"ALICE@Example.org"}}}}, nil, ""},
		{"a mail domain", auth.Policy{Allow: rules{{Emails: []string{"*@EXAMPLE.org"}}}}, nil, ""},
		{"a domain does not stand for those below it", auth.Policy{Allow: rules{{Emails: []string{"*@org"}}}}, nil, "verified e-mail *@org"},
		{"an unverified address opens nothing", auth.Policy{Allow: rules{{Emails: []string{"alice@example.org"}}}},
			func(id *auth.Identity) { id.EmailVerified = false }, "verified e-mail alice@example.org"},
		{"CVE-2026-40574 an address with two @ has no domain", auth.Policy{Allow: rules{{Emails: []string{"*@example.org"}}}},
			func(id *auth.Identity) { id.Email = "attacker@evil.example@example.org" }, "verified e-mail *@example.org"},
		{"no address matches no address", auth.Policy{Allow: rules{{Emails: []string{""}}}},
			func(id *auth.Identity) { id.Email = "" }, "verified e-mail "},
		{"a domain pattern without domain matches nothing", auth.Policy{Allow: rules{{Emails: []string{"*@"}}}}, nil, "verified e-mail *@"},
		{"inside a rule all must hold", auth.Policy{Allow: rules{{Users: []string{"alice"}, Groups: []string{"admin"}}}}, nil, "group admin"},
		{"all that is missing is named", auth.Policy{Allow: rules{{Users: []string{"bob"}, Groups: []string{"admin", "root"}}}}, nil,
			"user bob and group admin or root"},
		{"rules are alternatives", auth.Policy{Allow: rules{{Groups: []string{"admin"}}, {Users: []string{"alice"}}}}, nil, ""},
		{"all alternatives are named, each once", auth.Policy{Allow: rules{{Groups: []string{"admin"}}, {Users: []string{"bob"}}, {Groups: []string{"admin"}}}}, nil,
			"group admin, or user bob"},
		{"one provider of several is enough", auth.Policy{Providers: []string{"local", "corp"}}, func(id *auth.Identity) { id.Provider = "corp" }, ""},
		{"another provider is not enough", auth.Policy{Providers: []string{"local"}, Allow: rules{{Users: []string{"alice"}}}},
			func(id *auth.Identity) { id.Provider = "corp" }, "sign-in at local"},
		{"G-07 an empty list of providers lets nobody pass", auth.Policy{Providers: []string{}}, nil, "a sign-in at a provider of an empty list"},
		{"rules hold at the right provider too", auth.Policy{Providers: []string{"corp"}, Allow: rules{{Users: []string{"bob"}}}},
			func(id *auth.Identity) { id.Provider = "corp" }, "user bob"},
		{"groups that were left out are named", auth.Policy{Allow: rules{{Groups: []string{"admin"}}}},
			func(id *auth.Identity) { id.Provider, id.GroupsOmitted = "corp", true },
			"group admin (corp left the groups out of its tokens because there are too many, so none of them count)"},
		{"public is not a rule: whoever asks has signed in", auth.Policy{Public: true, Allow: rules{{Users: []string{"bob"}}}}, nil, "user bob"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := alice
			if c.edit != nil {
				c.edit(&id)
			}
			_, err := c.policy.Decide(&auth.Question{Identity: &id})
			denied, _ := errors.AsType[*auth.Denied](err)
			switch {
			case c.missing == "" && err != nil:
				t.Errorf("got %v, want allowed", err)
			case c.missing != "" && (denied == nil || denied.Missing != c.missing):
				t.Errorf("got %v, want denied for lack of %q", err, c.missing)
			}
		})
	}
	for _, c := range []struct {
		name string
		deny auth.Rule
		id   auth.Identity
		want bool // refused
	}{
		{"a group", auth.Rule{Groups: []string{"guests"}}, auth.Identity{Groups: []string{"guests"}}, true},
		{"another group", auth.Rule{Groups: []string{"guests"}}, auth.Identity{Groups: []string{"staff"}}, false},
		{"groups that were left out may be it", auth.Rule{Groups: []string{"guests"}}, auth.Identity{GroupsOmitted: true}, true},
		{"but not where something else tells them apart", auth.Rule{Groups: []string{"guests"}, Users: []string{"bob"}}, auth.Identity{User: "al", GroupsOmitted: true}, false},
		{"an address that nobody vouches for", auth.Rule{Emails: []string{"*@evil.org"}}, auth.Identity{Email: "a@evil.org"}, true},
		{"another address", auth.Rule{Emails: []string{"*@evil.org"}}, auth.Identity{Email: "a@good.org"}, false},
		{"an expression that cannot be evaluated", auth.Rule{When: `identity.claims.a.b == "x"`}, auth.Identity{}, true},
	} {
		policy, err := (&auth.Policy{Deny: []*auth.Rule{&c.deny}}).Compiled()
		if err != nil {
			t.Fatal(err)
		}
		q := &auth.Question{Identity: &c.id}
		if _, err := policy.Decide(q); (err != nil) != c.want {
			t.Errorf("deny, %s: got %v, want refused: %v", c.name, err, c.want)
		}
		if trace, _, _ := policy.Explain(q, false); trace.Rules[0].Holds != c.want {
			t.Errorf("deny, %s: got %+v, want it to hold: %v", c.name, trace, c.want)
		}
	}
	nobody := auth.Identity{}
	if _, err := (&auth.Policy{Allow: rules{{Users: []string{"alice"}}}}).Decide(&auth.Question{Identity: &nobody}); err == nil {
		t.Error("the zero Identity passes a rule with users")
	}
}

func TestEmailDomain(t *testing.T) {
	for _, c := range []struct{ email, want string }{
		{"alice@example.org", "example.org"},
		{"alice@EXAMPLE.Org", "example.org"},
		{"alice+tag@example.org", "example.org"},
		{"älice@exämple.org", "exämple.org"},
		{"", ""}, {"alice", ""}, {"@example.org", ""}, {"alice@", ""},
		{"a@b@c", ""}, {`"a@b"@c`, ""}, {"Alice <alice@example.org>", ""}, {"alice@example.org,bob@x.org", ""},
		{"alice@example.org\x00", ""}, {"alice@exam\nple.org", ""}, {"alice@example.org (comment)", ""}, {"alice@[10.0.0.1]", ""},
	} {
		if got := auth.EmailDomain(c.email); got != c.want {
			t.Errorf("EmailDomain(%q): got %q, want %q", c.email, got, c.want)
		}
	}
}

func TestErrorsAreKeptApart(t *testing.T) {
	cause := errors.New("connection refused")
	absent := fmt.Errorf("gate: %w", &auth.Absent{Reason: auth.Idle})
	outage := fmt.Errorf("gate: %w", &auth.Unavailable{What: "the session store", Err: cause})
	if !errors.Is(absent, auth.ErrAnonymous) {
		t.Error("an Absent is not ErrAnonymous")
	}
	for _, err := range []error{outage, &auth.Detour{}, &auth.Refused{Reason: "disabled"}, &auth.Throttled{}} {
		if errors.Is(err, auth.ErrAnonymous) {
			t.Errorf("%v reads as signed out", err)
		}
	}
	if !errors.Is(outage, cause) {
		t.Error("an outage hides its cause")
	}
	if got, want := (&auth.Unavailable{What: "the provider"}).Error(), "the provider is unavailable"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoginInContext(t *testing.T) {
	if got := auth.FromContext(t.Context()); got != nil {
		t.Errorf("got %v from an empty context, want nobody", got)
	}
	login := &auth.Login{Identity: auth.Identity{User: "alice"}}
	if got := auth.FromContext(auth.NewContext(t.Context(), login)); got != login {
		t.Errorf("got %v, want the login put in", got)
	}
}

// The interfaces that cmd wires are met by what the tests use, too.
var (
	_ http.Handler        = (*auth.Handler)(nil)
	_ auth.Sessions       = (*sessions)(nil)
	_ auth.PasswordMethod = (*passwords)(nil)
	_ auth.Sealer         = (*sealer)(nil)
)

// TestPolicyAsksWhen: a Question may leave its Time out where no rule looks at it.
func TestPolicyAsksWhen(t *testing.T) {
	type rules = []*auth.Rule
	staff := &auth.Rule{Groups: []string{"staff"}}
	for name, c := range map[string]struct {
		policy auth.Policy
		want   bool
	}{
		"none":                      {auth.Policy{}, false},
		"a group":                   {auth.Policy{Allow: rules{staff}, Deny: rules{{Users: []string{"mal"}}}}, false},
		"a window":                  {auth.Policy{Allow: rules{staff, {Times: []auth.Window{}}}}, true},
		"a refusal by an age":       {auth.Policy{Deny: rules{{MaxAuthAge: time.Hour}}}, true},
		"an expression":             {auth.Policy{Allow: rules{{When: `session.auth_age < duration("1h")`}}}, true},
		"a window that is observed": {auth.Policy{Allow: rules{staff}, Observed: &auth.Policy{Allow: rules{{Times: []auth.Window{}}}}}, true},
		"a group that is observed":  {auth.Policy{Observed: &auth.Policy{Allow: rules{staff}}}, false},
	} {
		if !c.policy.AsksWhen() {
			t.Errorf("%s: nobody can tell before it is compiled", name)
		}
		p, err := c.policy.Compiled()
		if err != nil {
			t.Fatal(name, err)
		}
		if got := p.AsksWhen(); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
