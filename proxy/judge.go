package proxy

import (
	"net/http"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// judge asks the rules of d's route about r, for d.Login or nobody.
func (g *Gate) judge(r *http.Request, d *Decision) {
	policy := &d.Route.Policy
	if !policy.Asks() { // what most routes say costs nothing
		switch {
		case policy.Public:
			d.Outcome = Public
		case d.Login == nil:
			d.Outcome = SignIn
		default:
			d.Outcome = Allowed
		}
		return
	}
	g.question(&d.Question, policy, r, d.host, &d.Target)
	d.Question.Ask(d.Login)
	var err error
	d.Outcome, d.Rule, err = verdict(policy, &d.Question)
	if up, ok := err.(*auth.StepUp); ok {
		d.Err = &auth.Absent{Reason: auth.Insufficient, Demand: &up.Demand, Login: d.Login}
	} else if err != nil {
		d.Err = err
	}
	if policy.Observed != nil {
		d.Observed, d.ObservedRule, _ = verdict(policy.Observed, &d.Question)
	}
}

// judgePreflight asks what may refuse a request whoever it is from: a preflight bears no
// identity, and the route does not ask for one.
func (g *Gate) judgePreflight(r *http.Request, d *Decision) {
	if len(d.Route.Policy.Deny) == 0 {
		return
	}
	g.question(&d.Question, &d.Route.Policy, r, d.host, &d.Target)
	if by, err := d.Route.Policy.Refuses(&d.Question); err != nil {
		d.Outcome, d.Rule, d.Err = Denied, by, err
	}
}

// question fills in what r asks of p, but for who asks.
func (g *Gate) question(q *auth.Question, p *auth.Policy, r *http.Request, host string, t *Target) {
	q.Method, q.Host, q.Path, q.Readings, q.Header = r.Method, host, t.Path, t.Readings, r.Header
	if p.AsksWhen() { // to look at the clock takes as long as most rules do
		q.Time = g.now()
	}
	if note := web.NoteOf(r.Context()); !note.Unread {
		q.Address = note.Client
	}
}

// verdict is the outcome that a policy's answer to q amounts to. The error is nil, a
// *auth.Denied or a *auth.StepUp.
func verdict(p *auth.Policy, q *auth.Question) (outcome string, by *auth.Rule, err error) {
	if p.Public || q.Identity == nil {
		by, err = p.Refuses(q)
	} else {
		by, err = p.Decide(q)
	}
	switch err.(type) {
	case nil:
	case *auth.StepUp:
		return StepUp, by, err
	default:
		return Denied, by, err
	}
	switch {
	case p.Public:
		return Public, by, nil
	case q.Identity == nil:
		return SignIn, by, nil
	}
	return Allowed, by, nil
}

// demanding is absent with what the sign-in that it leads to should be, where that is known.
func demanding(absent *auth.Absent, demand *auth.Demand) *auth.Absent {
	if demand == nil {
		return absent
	}
	out := *absent
	if asked := absent.Demand; asked != nil && asked.Fresh { // by a session that has to be signed in again
		both := *demand
		both.Fresh, both.MaxAge = true, asked.MaxAge
		demand = &both
	}
	out.Demand = demand
	return &out
}
