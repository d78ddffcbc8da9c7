package auth

// Trace is how a Policy comes to its decision: every rule, those of Deny first, whether
// or not the decision needed it.
type Trace struct {
	Rules []RuleTrace
}

// RuleTrace is one rule and what came of it.
type RuleTrace struct {
	// At is where the rule stands.
	At string
	// Deny says that it is one of Deny.
	Deny bool
	// Holds says that it does; Decides that the decision is by it.
	Holds, Decides bool
	// Skipped says that it is about people, and nobody is signed in.
	Skipped    bool
	Conditions []ConditionTrace
}

// ConditionTrace is one condition of a rule.
type ConditionTrace struct {
	// Key is that of the file, such as "groups".
	Key string
	// Wants is what it wants, in the words that a page would use.
	Wants string
	Holds bool
	// Err says why nobody can tell whether it holds, or is "": in a rule of Deny it counts
	// as if it did.
	Err string
}

// Explain decides as Decide does, or as Refuses where only is set, and says how.
func (p *Policy) Explain(q *Question, refusalsOnly bool) (Trace, *Rule, error) {
	by, err := p.Decide(q)
	if refusalsOnly {
		by, err = p.Refuses(q)
	}
	var t Trace
	for _, r := range p.Deny {
		t.Rules = append(t.Rules, r.explain(q, true, by))
	}
	for _, r := range p.Allow {
		t.Rules = append(t.Rules, r.explain(q, false, by))
	}
	return t, by, err
}

func (r *Rule) explain(q *Question, deny bool, by *Rule) RuleTrace {
	t := RuleTrace{At: r.At, Deny: deny, Decides: r == by}
	if q.Identity == nil && r.isPersonal() {
		t.Skipped = true
		return t
	}
	t.Holds = r.failed(q) == 0
	if deny {
		t.Holds = r.refuses(q)
	}
	set := r.kinds()
	for i := range conditions {
		c := &conditions[i]
		if set&c.kind == 0 {
			continue
		}
		ct := ConditionTrace{Key: c.key, Wants: c.wants(r).String(), Holds: c.holds(r, q)}
		if !ct.Holds {
			ct.Err = r.doubt(c.kind, q)
		}
		switch c.kind {
		case byWhen:
			ct.Wants = r.When
		case byClaims:
			ct.Wants = ""
			for j := range r.Claims {
				if j > 0 {
					ct.Wants += ", "
				}
				ct.Wants += r.Claims[j].String()
			}
		case byNetworks:
			ct.Wants = ""
			for j, n := range r.Networks {
				if j > 0 {
					ct.Wants += " or "
				}
				ct.Wants += n.String()
			}
		}
		t.Conditions = append(t.Conditions, ct)
	}
	return t
}
