package auth

import "net/url"

// goal is where a person goes once they are signed in. All of it comes back from
// browsers, and is looked at each time.
type goal struct {
	// RD is a path on this host: see ReturnTo.
	RD string `json:"r"`
	// Form is the id of a form that was kept, or "".
	Form string `json:"f,omitempty"`
	// To is an errand, sealed: the way goes on to another host. RD has no more than the
	// part after "#" to say then.
	To string `json:"a,omitempty"`
	// Demand is what the page there asks of the sign-in. Whoever changes it in an address
	// gains nothing: the page asks again.
	Demand Demand `json:"d,omitzero"`
}

// goalOf is the goal that values name, as yet unchecked: see Handler.loginView.
func goalOf(values url.Values) goal {
	return goal{RD: one(values, "rd"), Form: one(values, "form"), To: one(values, "to"),
		Demand: DemandOf(one(values, "acr_values"), one(values, "amr_values"), one(values, "max_age"))}
}

// params is the goal as our own pages hand it on.
func (g *goal) params() []string {
	params := []string{"rd", g.RD, "form", g.Form, "to", g.To}
	if g.To != "" {
		return params // the errand has it
	}
	return append(params, g.Demand.params()...)
}

// at is the address of one of our own pages with the goal, and what else is given.
func (g *goal) at(page string, more ...string) string {
	return own(page, append(g.params(), more...)...)
}

// next is where a person goes who is signed in: on, to send the kept form, or by the
// sign-in page to another host.
func (g *goal) next() string {
	switch {
	case g.To != "":
		return own("login", "rd", g.RD, "to", g.To)
	case g.Form != "":
		return own("resend", "form", g.Form, "rd", g.RD)
	}
	return g.RD
}
