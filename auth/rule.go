package auth

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// Rule holds when every condition that is set in it holds. It is not edited once it is
// in use, and may be shared. A nil list is no
// condition; an empty one that is not nil is never met. The zero Rule holds
// for anyone signed in.
type Rule struct {
	// At is where the rule stands, such as "routes[2].allow[0]".
	At string

	// Users are exact values of Identity.User.
	Users []string
	// Emails are addresses, or "*@domain" for every address of exactly that
	// domain. Both compare without regard to case and demand EmailVerified.
	Emails []string
	// Groups are exact group names; being in one of them is enough.
	Groups []string
	// Claims all have to hold.
	Claims []ClaimRule
	// Providers are the names of ways of signing in.
	Providers []string

	// Methods are the request's. GET stands for HEAD too.
	Methods []string
	// Networks are where the client's address may be.
	Networks []netip.Prefix
	// Times are when the request may come.
	Times []Window

	// ACR are authentication context classes, one of which the sign-in has to be of
	// (OIDC Core section 2, "acr").
	ACR []string
	// AMR are methods, one of which the sign-in has to have used (RFC 8176).
	AMR []string
	// MaxAuthAge is how long ago the sign-in may be at most, a minute of clocks that
	// disagree not counted; zero is no condition. One whose time the provider does not
	// tell is too long ago.
	MaxAuthAge time.Duration

	// When is an expression; "" is no condition. See docs/rules.md for the language.
	When string

	set  kinds // the conditions that are set; 0 is not known yet
	when *expression
}

// kinds is a set of conditions.
type kinds uint16

const (
	byUsers kinds = 1 << iota
	byEmails
	byGroups
	byClaims
	byProviders
	byMethods
	byNetworks
	byTimes
	byACR
	byAMR
	byAge
	byWhen
	compiled

	personKinds = byUsers | byEmails | byGroups | byClaims | byProviders
	proofKinds  = byACR | byAMR | byAge
)

// condition is one kind of condition: its key in the file, whether a rule has it and
// whether it holds, and what it wants, in words for the person concerned.
type condition struct {
	kind  kinds
	key   string
	has   func(*Rule) bool
	holds func(*Rule, *Question) bool
	wants func(*Rule) web.Text
}

// conditions are all there are. That about the person comes first: what is missing is
// said in this order.
var conditions = [...]condition{
	{byUsers, "users", func(r *Rule) bool { return r.Users != nil },
		func(r *Rule, q *Question) bool { return slices.Contains(r.Users, q.Identity.User) },
		func(r *Rule) web.Text { return wants("user {names}", "a user of an empty list", r.Users) }},
	{byEmails, "emails", func(r *Rule) bool { return r.Emails != nil }, (*Rule).emailMatches,
		func(r *Rule) web.Text {
			return wants("verified e-mail {names}", "a verified e-mail of an empty list", r.Emails)
		}},
	{byGroups, "groups", func(r *Rule) bool { return r.Groups != nil }, (*Rule).inGroup,
		func(r *Rule) web.Text { return wants("group {names}", "a group of an empty list", r.Groups) }},
	{byClaims, "claims", func(r *Rule) bool { return r.Claims != nil }, (*Rule).claimsMatch,
		func(r *Rule) web.Text { return wantsClaims(r.Claims) }},
	{byProviders, "providers", func(r *Rule) bool { return r.Providers != nil },
		func(r *Rule, q *Question) bool { return slices.Contains(r.Providers, q.Identity.Provider) },
		func(r *Rule) web.Text { return wantsProviders(r.Providers) }},
	{byMethods, "methods", func(r *Rule) bool { return r.Methods != nil }, (*Rule).methodMatches,
		func(r *Rule) web.Text { return wants("method {names}", "a method of an empty list", r.Methods) }},
	// Where an operator's networks are is nobody's business.
	{byNetworks, "networks", func(r *Rule) bool { return r.Networks != nil }, (*Rule).inNetwork,
		func(*Rule) web.Text { return web.T("a network that is allowed") }},
	{byTimes, "times", func(r *Rule) bool { return r.Times != nil }, (*Rule).inTime,
		func(*Rule) web.Text { return web.T("another time of day") }},
	{byACR, "acr", func(r *Rule) bool { return r.ACR != nil },
		func(r *Rule, q *Question) bool { return isOfClass(q.Identity.Provider, q.ACR, r.ACR) },
		func(r *Rule) web.Text {
			return wants("sign-in of class {names}", "a sign-in of a class of an empty list", r.ACR)
		}},
	{byAMR, "amr", func(r *Rule) bool { return r.AMR != nil },
		func(r *Rule, q *Question) bool { return overlap(r.AMR, q.AMR) },
		func(r *Rule) web.Text {
			return wants("sign-in by {names}", "a sign-in by a method of an empty list", r.AMR)
		}},
	{byAge, "max_auth_age", func(r *Rule) bool { return r.MaxAuthAge > 0 },
		func(r *Rule, q *Question) bool { return isFresh(q.AuthTime, r.MaxAuthAge, q.Time) },
		func(r *Rule) web.Text {
			return web.T("sign-in within the last {period}", "period", period(r.MaxAuthAge))
		}},
	{byWhen, "when", func(r *Rule) bool { return r.When != "" },
		func(r *Rule, q *Question) bool { holds, err := r.when.holds(q); return holds && err == nil },
		func(*Rule) web.Text { return web.T("what a condition of this address asks") }},
}

// Compiled returns r ready for use, r itself if it is that already: policies may share
// it. The error is a *BadExpression.
func (r *Rule) Compiled() (*Rule, error) {
	if r.set&compiled != 0 {
		return r, nil
	}
	out := *r
	if r.When != "" {
		when, bad := compileExpression(r.When)
		if bad != nil {
			bad.At = r.At + ".when"
			return r, bad
		}
		out.when = when
	}
	out.set = r.kinds() | compiled
	return &out, nil
}

func (r *Rule) kinds() (set kinds) {
	if r.set != 0 {
		return r.set &^ compiled
	}
	for i := range conditions {
		if conditions[i].has(r) {
			set |= conditions[i].kind
		}
	}
	return set
}

// failed returns the conditions that q does not meet: all of them where nothing but the
// sign-in falls short, and else at least one.
func (r *Rule) failed(q *Question) (failed kinds) {
	set := r.kinds()
	if set&(personKinds|proofKinds) != 0 && q.Identity == nil {
		return set & (personKinds | proofKinds)
	}
	for i := range conditions {
		c := &conditions[i]
		if set&c.kind == 0 || c.holds(r, q) {
			continue
		}
		if failed |= c.kind; failed&^proofKinds != 0 {
			return failed
		}
	}
	return failed
}

// refuses reports whether r holds as a rule of Deny. There a condition of which nobody
// can tell whether it is met counts as met: what is not known is refused.
func (r *Rule) refuses(q *Question) bool {
	set := r.kinds()
	if set&(personKinds|proofKinds) != 0 && q.Identity == nil {
		return false
	}
	for i := range conditions {
		c := &conditions[i]
		switch {
		case set&c.kind == 0:
		case c.kind == byWhen: // once, for it may be long
			if may, _ := r.when.mayHold(q); !may {
				return false
			}
		case !c.holds(r, q) && r.doubt(c.kind, q) == "":
			return false
		}
	}
	return true
}

// isPersonal reports whether r is about who asks, or how they signed in.
func (r *Rule) isPersonal() bool {
	set := r.kinds()
	return set&(personKinds|proofKinds) != 0 || set&byWhen != 0 && r.when.isPersonal()
}

// missing names what r wants and q lacks.
func (r *Rule) missing(q *Question) web.Text {
	var need []web.Text
	set := r.kinds()
	for i := range conditions {
		if c := &conditions[i]; set&c.kind != 0 && !c.holds(r, q) {
			need = append(need, c.wants(r))
		}
	}
	return web.Join("{a} and {b}", need...)
}

func (r *Rule) emailMatches(q *Question) bool {
	return q.Identity.EmailVerified && r.emailNamed(q.Identity.Email)
}

func (r *Rule) emailNamed(email string) bool {
	domain := EmailDomain(email)
	if domain == "" {
		return false
	}
	for _, want := range r.Emails {
		if d, ok := strings.CutPrefix(want, "*@"); ok {
			if strings.EqualFold(d, domain) {
				return true
			}
		} else if strings.EqualFold(want, email) {
			return true
		}
	}
	return false
}

func (r *Rule) inGroup(q *Question) bool { return overlap(r.Groups, q.Identity.Groups) }

func overlap(a, b []string) bool {
	for _, s := range a {
		if slices.Contains(b, s) {
			return true
		}
	}
	return false
}

func (r *Rule) methodMatches(q *Question) bool {
	return slices.Contains(r.Methods, q.Method) || q.Method == "HEAD" && slices.Contains(r.Methods, "GET")
}

func (r *Rule) inNetwork(q *Question) bool {
	address := q.Address.Unmap().WithZone("")
	for _, n := range r.Networks {
		if n.Contains(address) {
			return true
		}
	}
	return false
}

func (r *Rule) inTime(q *Question) bool {
	for i := range r.Times {
		if r.Times[i].contains(q.Time) {
			return true
		}
	}
	return false
}

// period is a duration in words.
func period(d time.Duration) web.Text {
	for _, unit := range []struct {
		one, more web.Message
		of        time.Duration
	}{{"day", "{count} days", 24 * time.Hour}, {"hour", "{count} hours", time.Hour}, {"minute", "{count} minutes", time.Minute}, {"second", "{count} seconds", time.Second}} {
		if d >= unit.of && d%unit.of == 0 {
			if n := d / unit.of; n != 1 {
				return web.T(unit.more, "count", int(n))
			}
			return web.T(unit.one)
		}
	}
	return web.T(web.Verbatim(d.String()))
}
