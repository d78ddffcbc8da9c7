package dashboard

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/event"
)

const (
	keepMoments = 200
	// A run is the same that happens again within runEnds; beyond the first alone ones it
	// is one moment that counts, so that an outage does not push out what began it.
	runEnds = time.Minute
	alone   = 3

	maxDetail = 300 // runes of what went wrong
)

// Moment is something that happened, as the timeline has it.
type Moment struct {
	At, Until time.Time // Until is that of the last one of a run
	Times     int
	Name      event.Name

	User, Provider, Session, Reason, Part, Actor, Client, Action string
	Changed                                                      []string
	Count                                                        int
	Detail                                                       string
}

func momentOf(e *event.Event) Moment {
	m := Moment{At: e.At, Until: e.At, Times: 1, Name: e.Name, User: e.User, Provider: e.Provider, Session: e.Session, Reason: e.Reason,
		Part: e.Part, Actor: e.Actor, Client: e.Origin.Client, Changed: e.Changed, Count: e.Count, Action: e.Action}
	if e.Err != nil {
		m.Detail = clip(e.Err.Error(), maxDetail)
	}
	if e.Now != "" {
		m.Detail = clip("now "+e.Now+", before "+e.Before, maxDetail)
	}
	return m
}

func clip(s string, most int) string {
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}

// timeline keeps the last moments: those about people apart from the others, since a
// morning's sign-ins must not push out that the provider went away.
type timeline struct {
	mu             sync.Mutex // guards what follows
	people, things moments
}

// moments are kept in a ring.
type moments struct {
	all  []Moment
	next int
}

func (t *timeline) add(m Moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := &t.things
	if aboutPeople(m.Name) {
		in = &t.people
	}
	if last, before := in.like(&m); last != nil && (last.Times > 1 || before >= alone) {
		if m.Count > 0 { // it is of all of them together, and not of the last
			if last.User != m.User {
				m.User = ""
			}
			if last.Session != m.Session {
				m.Session = ""
			}
		}
		m.At, m.Times, m.Count = last.At, last.Times+1, last.Count+m.Count
		*last = m
		return
	}
	if len(in.all) < keepMoments {
		in.all = append(in.all, m)
		in.next = len(in.all) % keepMoments
		return
	}
	in.all[in.next] = m
	in.next = (in.next + 1) % keepMoments
}

// like returns the newest of the moments that m repeats, and how many there are.
func (ms *moments) like(m *Moment) (newest *Moment, n int) {
	for i := range ms.all {
		old := &ms.all[(ms.next-1-i+2*len(ms.all))%len(ms.all)]
		if old.Name != m.Name || old.Provider != m.Provider || old.Reason != m.Reason || old.Part != m.Part || old.Actor != m.Actor || m.At.Sub(old.Until) > runEnds {
			continue
		}
		if n++; n == 1 {
			newest = old
		}
	}
	return newest, n
}

// aboutPeople reports whether a thing happens as often as there are people.
func aboutPeople(n event.Name) bool {
	switch n {
	case event.SessionStarted, event.SessionEnded, event.SessionHandedOver, event.SessionRenewalFailed, event.SessionWithdrawn, event.SessionRevoked,
		event.LoginFailed, event.DeviceMismatch, event.ReuseSuspected, event.NewDevice, event.NewNetwork, event.ChangedBrowser, event.ParallelUse, event.RevocationFailed, event.StoreFailed, event.PasswordChanged, event.AdminRefused:
		return true
	}
	return false
}

// list returns all of them, the newest first.
func (t *timeline) list() []Moment {
	t.mu.Lock()
	all := slices.Concat(t.people.all, t.things.all)
	t.mu.Unlock()
	slices.SortStableFunc(all, func(a, b Moment) int { return cmp.Or(b.Until.Compare(a.Until), b.At.Compare(a.At)) })
	return all
}
