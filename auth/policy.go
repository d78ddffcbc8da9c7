package auth

import (
	"errors"
	"slices"

	"github.com/evergate/evergate/internal/web"
)

// Policy is who may pass. The zero value lets anyone pass who is signed in,
// and nobody else. It is not edited once it is in use.
type Policy struct {
	// Public lets everybody pass whom no rule of Deny refuses, signed in or not.
	Public bool
	// Allow lists alternatives: one that holds is enough. Nil means anyone
	// signed in. An empty list that is not nil means nobody, so that an emptied
	// list never opens a route.
	Allow []*Rule
	// Deny lists refusals: one that holds is enough, whatever Allow says, and on
	// public routes too.
	Deny []*Rule
	// Providers are the ways of signing in that count here, by Identity.Provider.
	// Nil means all of them; an empty list that is not nil means none.
	Providers []string
	// Observed is evaluated next to this one and decides nothing: it is what an
	// operator thinks of putting in its place. Nil is none.
	Observed *Policy

	hint     *Demand // what every way in demands of a sign-in, or nil
	timeless bool    // none of its rules, nor of Observed's, asks what time it is
}

// AsksWhen reports whether a Question has to tell its Time. Of a Policy that was not compiled
// that is not known, and it has to.
func (p *Policy) AsksWhen() bool { return !p.timeless }

// Compiled returns p ready for use, or says what is wrong with its rules: errors of
// which each is a *BadExpression. A Policy that was not compiled decides the same, more
// slowly, but for conditions with a When: those cannot be evaluated.
func (p *Policy) Compiled() (*Policy, error) {
	out := *p
	out.Deny, out.Allow = slices.Clone(p.Deny), slices.Clone(p.Allow)
	var faults []error
	for _, rules := range [][]*Rule{out.Deny, out.Allow} {
		for i := range rules {
			var err error
			if rules[i], err = rules[i].Compiled(); err != nil {
				faults = append(faults, err)
			}
		}
	}
	out.hint = out.everyDemand()
	timed := func(r *Rule) bool { return r.kinds()&(byTimes|byAge|byWhen) != 0 }
	out.timeless = !slices.ContainsFunc(out.Deny, timed) && !slices.ContainsFunc(out.Allow, timed)
	if p.Observed != nil {
		observed, err := p.Observed.Compiled()
		out.Observed, faults = observed, append(faults, err)
		out.timeless = out.timeless && observed.timeless
	}
	return &out, errors.Join(faults...)
}

// Asks reports whether there is any rule to ask: where there is none, it is only
// whether somebody is signed in that counts.
func (p *Policy) Asks() bool {
	return p.Allow != nil || p.Deny != nil || p.Providers != nil || p.Observed != nil
}

// Denied is the answer of a Policy that does not let somebody pass.
type Denied struct {
	// Missing says in the operator's words what would have let them pass, such
	// as "group staff". It is for logs and for the person concerned. It is ""
	// where a rule of Deny holds: nothing would.
	Missing string
	// Needs is Missing for a page, which may say it in another language.
	Needs web.Text
	// Unbound says that the session would have to be bound to a key of the browser.
	Unbound bool
	// Doubt says why nobody can tell whether the rule of Deny holds, and is "" where it does.
	// It is for the log: what claims there are is not for the person concerned.
	Doubt string
}

// InWords is what is missing, for a page.
func (d *Denied) InWords() web.Text {
	if d.Needs.IsZero() {
		return web.T(web.Verbatim(d.Missing))
	}
	return d.Needs
}

// lacking is the answer to whoever lacks something.
func lacking(needs web.Text) *Denied { return &Denied{Missing: needs.String(), Needs: needs} }

func (d *Denied) Error() string {
	switch {
	case d.Doubt != "":
		return "not allowed: a rule refuses it, for it may hold: " + d.Doubt
	case d.Missing == "":
		return "not allowed: a rule refuses it"
	}
	return "not allowed: needs " + d.Missing
}

// Decide decides whether whoever asks q may pass, and returns the rule that made the
// difference, or nil where none did. The error is nil, a *Denied that holds the
// reason, or a *StepUp. It does not look at Public: whoever asks has signed in.
func (p *Policy) Decide(q *Question) (by *Rule, err error) {
	if by, err := p.Refuses(q); err != nil {
		return by, err
	}
	if q.Identity == nil {
		return nil, lacking(web.T("somebody signed in"))
	}
	if p.Providers != nil && !slices.Contains(p.Providers, q.Identity.Provider) {
		return nil, lacking(wantsProviders(p.Providers))
	}
	if p.Allow == nil {
		return nil, nil
	}
	var stronger *Rule
	for _, r := range p.Allow {
		failed := r.failed(q)
		if failed == 0 {
			return r, nil
		}
		if stronger == nil && failed&^proofKinds == 0 && r.canBeProven() {
			stronger = r
		}
	}
	if stronger != nil {
		needs := stronger.missing(q)
		return stronger, &StepUp{Demand: stronger.demand(), Missing: needs.String(), Needs: needs}
	}
	return nil, p.denied(q)
}

// Refuses asks the rules of Deny alone, which is all that counts on public routes. Of
// nobody it asks those that are about no person. The error is nil or a *Denied.
func (p *Policy) Refuses(q *Question) (by *Rule, err error) {
	for _, r := range p.Deny {
		if q.Identity == nil && r.isPersonal() {
			continue
		}
		if r.refuses(q) {
			return r, &Denied{Doubt: r.firstDoubt(q)}
		}
	}
	return nil, nil
}

// denied says what every alternative was missing.
func (p *Policy) denied(q *Question) *Denied {
	var missing []web.Text
	said, groups := map[string]bool{}, false
	for _, r := range p.Allow {
		need := r.missing(q)
		if in := need.String(); !said[in] {
			said[in] = true
			missing = append(missing, need)
		}
		groups = groups || r.Groups != nil && !r.inGroup(q)
	}
	if len(missing) == 0 {
		missing = []web.Text{web.T("an entry in an empty allow list")}
	}
	needs := web.Join("{a}, or {b}", missing...)
	if q.Identity.GroupsOmitted && groups {
		needs = web.T("{needs} ({provider} left the groups out of its tokens because there are too many, so none of them count)",
			"needs", needs, "provider", q.Identity.Provider)
	}
	return lacking(needs)
}

// wants says that one of a list is wanted; none says it of an empty one.
func wants(some, none web.Message, of []string) web.Text {
	if len(of) == 0 {
		return web.T(none)
	}
	var names any = of[0]
	for _, next := range of[1:] {
		names = web.T("{a} or {b}", "a", names, "b", next)
	}
	return web.T(some, "names", names)
}

func wantsProviders(of []string) web.Text {
	return wants("sign-in at {names}", "a sign-in at a provider of an empty list", of)
}
