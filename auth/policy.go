package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Policy is who may pass. The zero value lets anyone pass who is signed in,
// and nobody else.
type Policy struct {
	// Public lets everybody pass, signed in or not.
	Public bool
	// Rules lists alternatives: one that holds is enough. Nil means anyone
	// signed in. An empty list that is not nil means nobody, so that an emptied
	// list never opens a route.
	Rules []Rule
	// Providers are the ways of signing in that count here, by Identity.Provider.
	// Nil means all of them; an empty list that is not nil means none.
	Providers []string
}

// Rule holds when every condition that is set in it holds. A nil list is no
// condition; an empty one that is not nil is never met. The zero Rule holds
// for anyone signed in.
type Rule struct {
	// Users are exact values of Identity.User.
	Users []string
	// Emails are addresses, or "*@domain" for every address of exactly that
	// domain. Both compare without regard to case and demand EmailVerified.
	Emails []string
	// Groups are exact group names; being in one of them is enough.
	Groups []string
}

// Denied is the answer of a Policy that does not let somebody pass.
type Denied struct {
	// Missing says in the operator's words what would have let them pass, such
	// as "group staff". It is for logs and for the person concerned.
	Missing string
}

func (d *Denied) Error() string { return "not allowed: needs " + d.Missing }

// Allow decides whether id may pass. The error is nil or a *Denied that holds
// the reason. Allow does not look at Public: whoever asks has signed in.
func (p *Policy) Allow(id *Identity) error {
	if p.Providers != nil && !slices.Contains(p.Providers, id.Provider) {
		return &Denied{Missing: wants("sign-in at", p.Providers)}
	}
	if p.Rules == nil {
		return nil
	}
	var missing []string
	for i := range p.Rules {
		need := p.Rules[i].missing(id)
		if need == "" {
			return nil
		}
		if !slices.Contains(missing, need) {
			missing = append(missing, need)
		}
	}
	if len(missing) == 0 {
		missing = []string{"an entry in an empty allow list"}
	}
	denied := &Denied{Missing: strings.Join(missing, ", or ")}
	if id.GroupsOmitted && strings.Contains(denied.Missing, "group ") {
		denied.Missing += " (" + id.Provider + " left the groups out of its tokens because there are too many, so none of them count)"
	}
	return denied
}

// missing names what r wants and id lacks, or returns "" if r holds.
func (r *Rule) missing(id *Identity) string {
	var need []string
	if r.Users != nil && !slices.Contains(r.Users, id.User) {
		need = append(need, wants("user", r.Users))
	}
	if r.Emails != nil && !r.emailMatches(id) {
		need = append(need, wants("verified e-mail", r.Emails))
	}
	if r.Groups != nil && !slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(id.Groups, g) }) {
		need = append(need, wants("group", r.Groups))
	}
	return strings.Join(need, " and ")
}

func (r *Rule) emailMatches(id *Identity) bool {
	domain := EmailDomain(id.Email)
	if domain == "" || !id.EmailVerified {
		return false
	}
	for _, want := range r.Emails {
		if d, ok := strings.CutPrefix(want, "*@"); ok {
			if strings.EqualFold(d, domain) {
				return true
			}
		} else if strings.EqualFold(want, id.Email) {
			return true
		}
	}
	return false
}

func wants(kind string, of []string) string {
	switch len(of) {
	case 0:
		return "a " + kind + " of an empty list"
	case 1:
		return kind + " " + of[0]
	}
	return fmt.Sprintf("%s %s", kind, strings.Join(of, " or "))
}
