package decisions

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// sameAccess reports whether two files say the same of who may use which route: all that
// config.Access is made of.
func sameAccess(a, b *config.Config) bool {
	said := func(r *config.Route) []any {
		return []any{r.Name, r.Match, r.Public, r.Allow, r.Deny, r.Rules, r.Providers}
	}
	if len(a.Routes) != len(b.Routes) || !reflect.DeepEqual(a.Rules, b.Rules) || !reflect.DeepEqual(a.Default, b.Default) {
		return false
	}
	for i := range a.Routes {
		if !reflect.DeepEqual(said(&a.Routes[i]), said(&b.Routes[i])) {
			return false
		}
	}
	return true
}

// difference is one way in which observed rules differ from those in force.
type difference struct {
	route, user, decision, observed, rule string
}

// tally is how often it was so.
type tally struct {
	count       uint64
	first, last time.Time
	request     string    // the first
	told        time.Time // when the log was
}

const (
	// maxDifferences bounds the table; what is not in it is counted all the same.
	maxDifferences = 1000
	// tellEvery is how often the log hears of the same difference.
	tellEvery = time.Minute
)

// differences are the table of them.
type differences struct {
	mu     sync.Mutex // guards what follows
	from   uint32     // the first edition that counts
	since  time.Time
	all    map[difference]*tally
	beyond uint64 // requests that differed and have no place in the table
}

func (t *differences) reset(now time.Time, from uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from, t.since, t.all, t.beyond = from, now, map[difference]*tally{}, 0
}

// add counts one of an edition, and reports whether the log is to hear of it.
func (t *differences) add(d difference, edition uint32, request string, now time.Time) (count uint64, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if edition < t.from {
		return 0, false // a late request: what its rules say is not the question any more
	}
	n := t.all[d]
	if n == nil {
		if len(t.all) >= maxDifferences {
			t.beyond++
			return 0, false
		}
		n = &tally{first: now, request: request}
		t.all[d] = n
	}
	n.count++
	n.last = now
	if tell = n.told.IsZero() || now.Sub(n.told) >= tellEvery; tell {
		n.told = now
	}
	return n.count, tell
}

// observed counts a decision of which observed rules were asked too.
func (e *Edition) observed(note *web.Note, d *proxy.Decision) {
	l := e.log
	if l.o.Counter != nil {
		l.o.Counter.Observed(d.Route.String(), d.Outcome, d.Observed)
	}
	if !d.Differs() {
		return
	}
	is := difference{route: d.Route.String(), decision: d.Outcome, observed: d.Observed}
	if d.Login != nil {
		is.user = d.Login.Identity.User
	}
	if d.ObservedRule != nil {
		is.rule = d.ObservedRule.At
	}
	count, tell := l.differences.add(is, e.number, note.ID, l.timeOf(d))
	if !tell {
		return
	}
	attrs := []slog.Attr{slog.String("event", "rules.observed"), slog.String("request_id", note.ID), slog.String("route", is.route),
		slog.String("user", is.user), slog.String("decision", is.decision), slog.String("observed", is.observed)}
	if is.rule != "" {
		attrs = append(attrs, slog.String("rule", is.rule))
	}
	l.o.Logger.LogAttrs(context.Background(), slog.LevelInfo, "the rules that are observed would decide otherwise", append(attrs, slog.Uint64("count", count))...)
}

// Differences are where observed rules differ from those in force, since they are what
// they are.
type Differences struct {
	Since time.Time `json:"since"`
	// All are the most frequent first.
	All []Difference `json:"differences"`
	// Beyond is how many requests differed in further ways, for which the table has no
	// place.
	Beyond uint64 `json:"beyond,omitempty"`
}

// Difference is one way in which they differ.
type Difference struct {
	Route string `json:"route"`
	// User is "" for nobody.
	User string `json:"user"`
	// Decision is the one in force, Observed the one that would be.
	Decision string `json:"decision"`
	Observed string `json:"observed"`
	// Rule is the observed rule that makes the difference, with its line in the file in
	// force; nil is that none holds.
	Rule  *Place    `json:"rule,omitempty"`
	Count uint64    `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Request is the id of the first.
	Request string `json:"request"`
}

// Differences returns the table.
func (l *Log) Differences() Differences {
	e := l.current()
	t := &l.differences
	t.mu.Lock()
	defer t.mu.Unlock()
	out := Differences{Since: t.since.UTC(), All: make([]Difference, 0, len(t.all)), Beyond: t.beyond}
	for d, n := range t.all {
		out.All = append(out.All, Difference{Route: d.route, User: d.user, Decision: d.decision, Observed: d.observed, Rule: e.place(d.rule),
			Count: n.count, First: n.first.UTC(), Last: n.last.UTC(), Request: n.request})
	}
	slices.SortFunc(out.All, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Route, b.Route), cmp.Compare(a.User, b.User), cmp.Compare(a.Observed, b.Observed), a.First.Compare(b.First))
	})
	return out
}
