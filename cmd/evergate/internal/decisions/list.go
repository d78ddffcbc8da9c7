package decisions

import (
	"net/netip"
	"slices"
	"time"

	"github.com/evergate/evergate/auth"
)

// Decision is one decision, as it is told.
type Decision struct {
	Time    time.Time `json:"time"`
	Request string    `json:"request"`
	// Session and User are "" for nobody; a client with a token of its own has a User
	// alone.
	Session string `json:"session,omitempty"`
	User    string `json:"user,omitempty"`
	Method  string `json:"method"`
	Host    string `json:"host"`
	// Path is without its query.
	Path    string     `json:"path"`
	Address netip.Addr `json:"address"`
	Route   string     `json:"route,omitempty"`
	// Decision is one of the words of the access line.
	Decision string `json:"decision"`
	Reason   string `json:"reason,omitempty"`
	// Rule is the one that made the difference, nil where none did.
	Rule *Place `json:"rule,omitempty"`
	// Rules are all that were asked.
	Rules []Rule `json:"rules,omitempty"`
	// Observed is what the rules that are only observed would have decided, nil where there
	// are none.
	Observed *Observed `json:"observed,omitempty"`
	// Note says why this is not all.
	Note string `json:"note,omitempty"`
}

// Place is where a rule stands.
type Place struct {
	// At is its path in the file, Line its line in the file that was in force; 0 is not
	// known any more.
	At   string `json:"at"`
	Line int    `json:"line,omitempty"`
}

// Observed is a decision that was not made.
type Observed struct {
	Decision string `json:"decision"`
	Rule     *Place `json:"rule,omitempty"`
	Rules    []Rule `json:"rules,omitempty"`
}

// Rule is one rule, and what came of it.
type Rule struct {
	Place
	// Effect is allow or deny.
	Effect string `json:"effect"`
	// Holds says that it does, Decides that the decision is by it, Skipped that it is about
	// people and nobody is signed in.
	Holds      bool        `json:"holds"`
	Decides    bool        `json:"decides,omitempty"`
	Skipped    bool        `json:"skipped,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition is one condition of a rule.
type Condition struct {
	Key   string `json:"key"`
	Wants string `json:"wants"`
	Holds bool   `json:"holds"`
	Error string `json:"error,omitempty"`
}

// Which picks decisions; what is "" does not.
type Which struct {
	Session, User string
	// Limit is how many at most; zero is DefaultLimit.
	Limit int
}

// What one answer has at most.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// List returns the last decisions, the newest first, each with the rules that it came
// from: by the config that decided, and the lines of its file.
func (l *Log) List(w Which) []Decision {
	if w.Limit <= 0 {
		w.Limit = DefaultLimit
	}
	last := newest{limit: min(w.Limit, MaxLimit)}
	l.memory.each(w.Session, func(f *fact) {
		if w.User == "" || f.identity.User == w.User {
			last.add(f)
		}
	})
	last.cut()
	out := make([]Decision, 0, len(last.facts))
	for i := range last.facts {
		out = append(out, l.tell(&last.facts[i]))
	}
	return out
}

// newest collects the newest facts. It copies few of many: nobody is served meanwhile.
type newest struct {
	limit int
	facts []fact
	floor time.Time // what is older is not among them
}

func (n *newest) add(f *fact) {
	if f.question.Time.Before(n.floor) {
		return
	}
	if n.facts = append(n.facts, *f); len(n.facts) >= 2*n.limit {
		n.cut()
	}
}

func (n *newest) cut() {
	slices.SortStableFunc(n.facts, func(a, b fact) int { return b.question.Time.Compare(a.question.Time) })
	if len(n.facts) >= n.limit {
		n.facts = n.facts[:n.limit]
		n.floor = n.facts[n.limit-1].question.Time
	}
}

// tell works out what came of each rule.
func (l *Log) tell(f *fact) Decision {
	e := l.edition(f.edition)
	q := f.question
	out := Decision{Time: q.Time.UTC(), Request: f.request, Session: f.session, User: f.identity.User, Method: q.Method, Host: q.Host, Path: q.Path, Address: q.Address,
		Route: f.route, Decision: f.outcome, Rule: e.place(f.rule), Reason: f.err}
	if f.observed != "" {
		out.Observed = &Observed{Decision: f.observed, Rule: e.place(f.wouldRule)}
	}
	switch {
	case !f.asked:
		return out
	case e == nil:
		out.Note = "the config that decided is not kept any more, and its rules with it"
		return out
	case f.cut:
		out.Note = "the request was too large to be kept whole: conditions that read its path or its headers may have been otherwise"
	}
	q.Header = f.headers()
	if f.known {
		q.Identity = &f.identity
	}
	policy := e.policies[f.index]
	out.Rules = e.rules(policy, &q)
	if out.Observed != nil && policy.Observed != nil {
		out.Observed.Rules = e.rules(policy.Observed, &q)
	}
	return out
}

// rules is what p makes of q, as the gate asked it.
func (e *Edition) rules(p *auth.Policy, q *auth.Question) (out []Rule) {
	trace, _, _ := p.Explain(q, p.Public || q.Identity == nil)
	return Rules(&trace, e.line)
}

// Rules tells what came of each rule of a trace; line is where each stands.
func Rules(trace *auth.Trace, line func(at string) int) (out []Rule) {
	for _, r := range trace.Rules {
		rule := Rule{Place: Place{r.At, line(r.At)}, Effect: "allow", Holds: r.Holds, Decides: r.Decides, Skipped: r.Skipped}
		if r.Deny {
			rule.Effect = "deny"
		}
		for _, c := range r.Conditions {
			rule.Conditions = append(rule.Conditions, Condition{Key: c.Key, Wants: c.Wants, Holds: c.Holds, Error: c.Err})
		}
		out = append(out, rule)
	}
	return out
}
