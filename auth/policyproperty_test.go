package auth_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// chance draws policies and questions from small sets, so that conditions often hold.
type chance struct{ *rand.Rand }

func (c chance) some(of ...string) (out []string) {
	switch n := c.IntN(12); {
	case n < 1:
		return []string{}
	case n < 6:
		return []string{of[c.IntN(len(of))]}
	}
	for _, s := range of {
		if c.IntN(2) == 0 {
			out = append(out, s)
		}
	}
	return out
}

func (c chance) one(of ...string) string { return of[c.IntN(len(of))] }

func (c chance) rule(at string, deny bool) *auth.Rule {
	r := &auth.Rule{At: at}
	for range 1 + c.IntN(3) {
		switch c.IntN(12) {
		case 0:
			r.Users = c.some("alice", "bob")
		case 1:
			r.Emails = c.some("alice@a.example", "*@b.example")
		case 2:
			r.Groups = c.some("staff", "admin")
		case 3:
			there := c.IntN(2) == 0
			r.Claims = []auth.ClaimRule{{Path: c.one("dept", "roles", "none"), AnyOf: c.some("a", "b")}, {Path: "dept", Glob: "*"}, {Path: "none", Exists: &there}}[:1+c.IntN(3)]
		case 4:
			r.Providers = c.some("local", "corp")
		case 5:
			r.Methods = c.some("GET", "POST")
		case 6:
			r.Networks = nets(c.some("10.0.0.0/8", "192.0.2.0/24", "::/0")...)
		case 7:
			r.Times = []auth.Window{{Days: [7]bool{true, true, true, true, true, true, true}, From: time.Duration(c.IntN(24)) * time.Hour, To: time.Duration(c.IntN(25)) * time.Hour}}
		case 8:
			r.ACR = c.some("gold", "silver")
		case 9:
			r.AMR = c.some("pwd", "otp")
		case 10:
			if !deny {
				r.MaxAuthAge = time.Duration(1+c.IntN(60)) * time.Minute
			}
		case 11:
			r.When = c.one("true", `"staff" in identity.groups`, `identity.claims.dept startsWith "a"`, `request.method == "GET"`, `session.acr == "gold"`,
				`within(request.address, request.header("x-net"))`)
		}
	}
	return r
}

func (c chance) policy() *auth.Policy {
	p := &auth.Policy{}
	for i := range c.IntN(4) {
		p.Deny = append(p.Deny, c.rule(fmt.Sprintf("deny[%d]", i), true))
	}
	if c.IntN(5) > 0 {
		p.Allow = []*auth.Rule{}
		for i := range c.IntN(4) {
			p.Allow = append(p.Allow, c.rule(fmt.Sprintf("allow[%d]", i), false))
		}
	}
	if c.IntN(6) == 0 {
		p.Providers = c.some("local", "corp")
	}
	return p
}

func (c chance) question() *auth.Question {
	q := &auth.Question{Method: c.one("GET", "HEAD", "POST"), Host: "h.example", Path: "/p", Time: noon, Header: map[string][]string{"X-Net": {c.one("10.0.0.0/8", "nonsense")}}}
	if c.IntN(8) > 0 {
		q.Address = netip.MustParseAddr(c.one("10.1.2.3", "192.0.2.1", "2001:db8::1", "::ffff:10.1.2.3"))
	}
	if c.IntN(6) == 0 {
		return q
	}
	q.Identity = &auth.Identity{User: c.one("alice", "bob", "carol"), Provider: c.one("local", "corp"), Email: c.one("alice@a.example", "x@b.example", ""),
		EmailVerified: c.IntN(3) > 0, Groups: c.some("staff", "admin"), GroupsOmitted: c.IntN(8) == 0}
	if c.IntN(4) > 0 {
		q.Identity.Claims = map[string]any{"dept": []any{c.one("a", "b"), float64(c.IntN(3)), nil}[c.IntN(3)], "roles": []any{c.one("a", "b"), "c"}}
	}
	q.ACR, q.AMR = c.one("", "gold", "silver"), c.some("pwd", "otp")
	if c.IntN(4) > 0 {
		q.AuthTime = noon.Add(-time.Duration(c.IntN(90)) * time.Minute)
	}
	return q
}

// TestExplainAgrees: over random policies and questions, what Explain tells is what
// Decide does. The trace alone is enough to tell the decision.
func TestExplainAgrees(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(2026, 3))}
	seen := map[string]int{}
	for n := range 60_000 {
		p, err := c.policy().Compiled()
		if err != nil {
			t.Fatal(err)
		}
		q := c.question()
		refusals := q.Identity == nil
		decide := func() (*auth.Rule, error) { return p.Decide(q) }
		if refusals {
			decide = func() (*auth.Rule, error) { return p.Refuses(q) }
		}
		by, err := decide()
		trace, explained, explainedErr := p.Explain(q, refusals)
		if by != explained || fmt.Sprint(err) != fmt.Sprint(explainedErr) {
			t.Fatalf("%d: Decide gives %v by %v, Explain %v by %v", n, err, by, explainedErr, explained)
		}
		kind := kindOf(err)
		seen[kind]++
		if got := toldBy(p, q, trace); got != kind {
			t.Fatalf("%d: the trace tells %s, and the decision is %s (%v) by %v\npolicy %+v\nquestion %+v\ntrace %+v", n, got, kind, err, by, p, q, trace)
		}
		for i, r := range trace.Rules {
			want := by != nil && r.At == by.At
			if r.Decides != want {
				t.Fatalf("%d: rule %s decides %t in the trace, want %t", n, r.At, r.Decides, want)
			}
			if r.Deny != (i < len(p.Deny)) {
				t.Fatalf("%d: rule %s is in its wrong list", n, r.At)
			}
			if r.Skipped {
				continue
			}
			// A rule holds when all its conditions do, and in deny also where that cannot be told.
			holds := true
			for _, ct := range r.Conditions {
				holds = holds && (ct.Holds || r.Deny && ct.Err != "")
			}
			if holds != r.Holds {
				t.Fatalf("%d: rule %s holds %t in the trace, and by its conditions %t: %+v", n, r.At, r.Holds, holds, r)
			}
		}
		// Whoever does what is demanded gets past; who they are does not change.
		if up, ok := errors.AsType[*auth.StepUp](err); ok {
			// It is another sign-in, which has nothing of this one but who they are.
			better := *q
			better.ACR, better.AMR, better.AuthTime = "", nil, time.Time{}
			if len(up.ACR) > 0 {
				better.ACR = up.ACR[0]
			}
			if len(up.AMR) > 0 {
				better.AMR = up.AMR[:1]
			}
			if up.Fresh {
				better.AuthTime = q.Time
			}
			if login := (&auth.Login{ACR: better.ACR, AMR: better.AMR, AuthTime: better.AuthTime}); !up.MetBy(login, q.Time) {
				t.Fatalf("%d: the demand %v is not met by %+v", n, up, login)
			}
			if _, err := p.Decide(&better); kindOf(err) == "step-up" {
				t.Fatalf("%d: what was demanded is not enough: %v, then %v\nwith %+v", n, up, err, better)
			}
		}
		// What every way in demands is met by whoever gets in.
		if hint := p.Stronger(); hint != nil && err == nil && q.Identity != nil && !hint.MetBy(&auth.Login{ACR: q.ACR, AMR: q.AMR, AuthTime: q.AuthTime}, q.Time) {
			t.Fatalf("%d: somebody passes without what every way demands, %v", n, hint)
		}
	}
	for _, kind := range []string{"passes", "denied", "refused", "step-up"} {
		if seen[kind] < 1000 {
			t.Errorf("only %d decisions were %q: the policies are too alike", seen[kind], kind)
		}
	}
}

func kindOf(err error) string {
	switch err := err.(type) {
	case nil:
		return "passes"
	case *auth.StepUp:
		return "step-up"
	case *auth.Denied:
		if err.Missing == "" {
			return "refused"
		}
	}
	return "denied"
}

// toldBy is the decision as somebody would tell it who has the trace before them.
func toldBy(p *auth.Policy, q *auth.Question, t auth.Trace) string {
	stepUp := false
	for _, r := range t.Rules {
		if r.Deny && r.Holds {
			return "refused"
		}
	}
	if q.Identity == nil {
		return "passes"
	}
	if p.Providers != nil && !slices.Contains(p.Providers, q.Identity.Provider) {
		return "denied"
	}
	if p.Allow == nil {
		return "passes"
	}
	for _, r := range t.Rules {
		if r.Deny {
			continue
		}
		if r.Holds {
			return "passes"
		}
		only := true
		for _, c := range r.Conditions {
			proof := c.Key == "acr" || c.Key == "amr" || c.Key == "max_auth_age"
			never := strings.HasSuffix(c.Wants, " of an empty list")
			only = only && (c.Holds || proof) && !(proof && never)
		}
		stepUp = stepUp || only
	}
	if stepUp {
		return "step-up"
	}
	return "denied"
}
