package auth

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// clockSkew is how far the clocks of a provider and of this gateway may be apart without
// anybody noticing.
const clockSkew = time.Minute

// Demand is what a page asks of a sign-in beyond that there is one (RFC 9470). The zero
// value is nothing.
type Demand struct {
	// ACR are classes, one of which it has to be of; the one liked best first.
	ACR []string `json:"c,omitempty"`
	// AMR are methods, one of which it has to have used.
	AMR []string `json:"m,omitempty"`
	// Fresh says that MaxAge counts: how long ago it may be. Zero is just now.
	Fresh  bool          `json:"f,omitempty"`
	MaxAge time.Duration `json:"a,omitempty"`
}

// StepUp is the answer of a Policy that would let somebody pass after a fresher or a
// stronger sign-in.
type StepUp struct {
	Demand
	// Missing says what is missing, and Needs says it in words, as in Denied.
	Missing string
	Needs   web.Text
}

func (s *StepUp) Error() string { return "a further sign-in is needed: " + s.Missing }

// IsZero reports whether d demands nothing.
func (d *Demand) IsZero() bool { return len(d.ACR) == 0 && len(d.AMR) == 0 && !d.Fresh }

// size is about how many bytes of a cookie d takes.
func (d *Demand) size() int { return len(strings.Join(d.ACR, " ")) + len(strings.Join(d.AMR, " ")) }

// MetBy reports whether login is what d demands, at the time of now.
func (d *Demand) MetBy(login *Login, now time.Time) bool {
	return d.strongIn(login) && (!d.Fresh || isFresh(login.AuthTime, d.MaxAge, now))
}

// strongIn is MetBy but for the age.
func (d *Demand) strongIn(login *Login) bool {
	return (len(d.ACR) == 0 || isOfClass(login.Identity.Provider, login.ACR, d.ACR)) && (len(d.AMR) == 0 || overlap(d.AMR, login.AMR))
}

func isFresh(at time.Time, most time.Duration, now time.Time) bool {
	return !at.IsZero() && now.Sub(at) <= most+clockSkew
}

// Challenge is d as a program is told it, in WWW-Authenticate (RFC 9470 section 3). A
// method has no parameter there: the sign-in has to be made anew.
func (d *Demand) Challenge() string {
	var b strings.Builder
	b.WriteString(`Bearer realm="evergate", error="insufficient_user_authentication", error_description="`)
	if len(d.ACR) > 0 || len(d.AMR) > 0 {
		b.WriteString(`a stronger sign-in is needed"`)
	} else {
		b.WriteString(`a more recent sign-in is needed"`)
	}
	if len(d.ACR) > 0 {
		b.WriteString(`, acr_values="` + strings.Join(d.ACR, " ") + `"`)
	}
	if age, ok := d.maxAge(); ok {
		b.WriteString(`, max_age="` + age + `"`)
	}
	return b.String()
}

// maxAge is d as a provider is told it (OIDC Core section 3.1.2.1, "max_age").
func (d *Demand) maxAge() (seconds string, ok bool) {
	switch {
	case len(d.AMR) > 0:
		return "0", true // the methods of a sign-in that is there already are what they are
	case d.Fresh:
		return strconv.Itoa(int(d.MaxAge / time.Second)), true
	}
	return "", false
}

// demand is all that r asks of a sign-in, and not only what the one at hand falls short
// of: another might have that and lack the rest, and the two would take turns for ever.
func (r *Rule) demand() Demand {
	return Demand{ACR: r.ACR, AMR: r.AMR, Fresh: r.MaxAuthAge > 0, MaxAge: r.MaxAuthAge}
}

// canBeProven reports whether any sign-in could be what r asks: an empty list is never met.
func (r *Rule) canBeProven() bool {
	return (r.ACR == nil || len(r.ACR) > 0) && (r.AMR == nil || len(r.AMR) > 0)
}

// Stronger is what every way past p demands of a sign-in, so that whoever has to sign in
// anyway does it right the first time. Nil is nothing.
func (p *Policy) Stronger() *Demand { return p.hint }

func (p *Policy) everyDemand() *Demand {
	d := Demand{Fresh: true}
	for i, r := range p.Allow {
		if i == 0 || d.ACR != nil && r.ACR != nil {
			d.ACR = union(d.ACR, r.ACR)
		} else {
			d.ACR = nil
		}
		d.Fresh = d.Fresh && r.MaxAuthAge > 0
		d.MaxAge = max(d.MaxAge, r.MaxAuthAge)
	}
	d.Fresh = d.Fresh && len(p.Allow) > 0
	if !d.Fresh {
		d.MaxAge = 0
	}
	if len(strings.Join(d.ACR, " ")) > MaxDemand {
		d.ACR = nil // it would get lost on the way; each rule still asks for its own
	}
	if d.IsZero() {
		return nil
	}
	return &d
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// MaxDemand bounds each list of a Demand, in bytes with spaces between: it travels in
// addresses and cookies. A rule that asks for more could not be met by signing in.
const MaxDemand = 400

// DemandOf reads what the parameters of an address or of a challenge say: lists separated
// by spaces, and seconds. What makes no sense there is nothing.
func DemandOf(acr, amr, maxAge string) (d Demand) {
	d.ACR, d.AMR = words(acr), words(amr)
	if n, err := strconv.ParseUint(maxAge, 10, 31); err == nil {
		d.Fresh, d.MaxAge = true, time.Duration(min(n, math.MaxInt32))*time.Second
	}
	return d
}

// words splits a list of names that are separated by spaces. They are printed, and go to
// providers: only what cannot be anything else is taken.
func words(list string) []string {
	if len(list) > MaxDemand || strings.ContainsFunc(list, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return nil
	}
	if f := strings.Fields(list); len(f) > 0 {
		return f
	}
	return nil
}

// params is d in an address of our own.
func (d *Demand) params() []string {
	age := ""
	if d.Fresh {
		age = strconv.Itoa(int(d.MaxAge / time.Second))
	}
	return []string{"acr_values", strings.Join(d.ACR, " "), "amr_values", strings.Join(d.AMR, " "), "max_age", age}
}

// inWords says what d demands, to the person who is asked for it. It names no classes: the
// address of a page says them, which anybody can write, and they would read like ours.
func (d *Demand) inWords() web.Text {
	stronger := len(d.ACR) > 0 || len(d.AMR) > 0
	switch justNow := d.Fresh && d.MaxAge < time.Second; {
	case stronger && justNow:
		return web.T("a stronger sign-in that was made just now")
	case stronger && d.Fresh:
		return web.T("a stronger sign-in within the last {period}", "period", period(d.MaxAge))
	case stronger:
		return web.T("a stronger sign-in")
	case justNow:
		return web.T("a sign-in that was made just now")
	case d.Fresh:
		return web.T("a sign-in within the last {period}", "period", period(d.MaxAge))
	}
	return web.T("a sign-in")
}

// quoted is d for a log where an address says it: anybody writes one, and what they name
// is not to read like ours.
func (d *Demand) quoted() *Demand {
	q := *d
	q.ACR, q.AMR = quotedEach(d.ACR), quotedEach(d.AMR)
	return &q
}

func quotedEach(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strconv.Quote(name)
	}
	return out
}

// String says what d demands, to whoever runs the gateway.
func (d *Demand) String() string {
	var all []string
	if len(d.ACR) > 0 {
		all = append(all, "a sign-in of class "+strings.Join(d.ACR, " or "))
	}
	if len(d.AMR) > 0 {
		all = append(all, "a sign-in by "+strings.Join(d.AMR, " or "))
	}
	if d.Fresh && d.MaxAge < time.Second {
		all = append(all, "a sign-in that was made just now")
	} else if d.Fresh {
		all = append(all, web.T("a sign-in within the last {period}", "period", period(d.MaxAge)).String())
	}
	return strings.Join(all, " and ")
}
