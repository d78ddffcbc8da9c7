package session

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/evergate/evergate/internal/agent"
	"github.com/evergate/evergate/internal/event"
)

// Action is what is done about a risk signal: a sign that somebody else may have the cookie of
// a session. The zero Action is nothing, and the signal is not looked for.
type Action int

const (
	// Ignore does not look for the signal.
	Ignore Action = iota
	// Tell tells of it, and does nothing else.
	Tell
	// StepUp has the session go on after a fresh sign-in alone.
	StepUp
	// Revoke ends the session.
	Revoke
)

func (a Action) String() string { return [...]string{"off", "log", "step_up", "revoke"}[a] }

// Risks are what is done about each risk signal. The zero value looks for none.
type Risks struct {
	// NewNetwork: the session is used from a network (web.Vicinity) that it was not used from
	// yet. Revoke makes no sense for it: phones change networks all day.
	NewNetwork Action
	// ChangedBrowser: it is used by another browser, or on another system, than it was signed
	// in by. Versions do not count.
	ChangedBrowser Action
	// ParallelUse: it is used by two browsers in two networks, by turns: from A, then from B, and
	// from A again within parallelWithin. A VPN that comes and goes is one browser.
	ParallelUse Action
}

func (r *Risks) of(signal event.Name) Action {
	switch signal {
	case event.NewNetwork:
		return r.NewNetwork
	case event.ChangedBrowser:
		return r.ChangedBrowser
	case event.ParallelUse:
		return r.ParallelUse
	}
	return Ignore
}

const (
	// maxNetworks and maxBrowsers bound what a session remembers besides its sign-in. Of
	// networks the one that came first makes room; browsers are told of as often and no more.
	maxNetworks, maxBrowsers = 16, 4
	// parallelWithin is how soon A has to come back. Somebody who carries a cookie from one
	// browser to another by hand is slower, and two programs that use it are not.
	parallelWithin = 10 * time.Second
)

// origin is what a session was signed in by, and where. What is not known is zero, and nothing
// is told from it.
type origin struct {
	Browser string       `json:"b,omitempty"`
	System  string       `json:"s,omitempty"`
	Network netip.Prefix `json:"n,omitzero"`
}

func (o *origin) words() agent.Words { return agent.Words{Browser: o.Browser, System: o.System} }

// trail is what is remembered with a session of where it was used from since. It is a value
// that is replaced, never edited.
type trail struct {
	// Networks and Browsers are digests, to be short: of those besides the origin's.
	Networks []uint32 `json:"n,omitempty"`
	Browsers []uint32 `json:"b,omitempty"`
	// Suspect is the signal for which the session has to be signed in again, or "".
	Suspect event.Name `json:"s,omitempty"`
}

func digestRisk(of string) uint32 {
	sum := sha256.Sum256([]byte("evergate risk\x00" + of))
	return binary.BigEndian.Uint32(sum[:])
}

// signal is one that was found.
type signal struct {
	name        event.Name
	action      Action
	before, now string
}

// worst is what is to be done about all that were found, and for which of them.
func worst(found []signal) signal {
	return slices.MaxFunc(found, func(a, b signal) int { return int(a.action) - int(b.action) })
}

// met is t after a request from s, and the signals that this gives. Beside is from where the
// session is used at the same time, or nil.
func (t trail) met(from *origin, s, beside *spot, risks *Risks) (next trail, found []signal) {
	if risks.NewNetwork != Ignore && s.network.IsValid() && s.network != from.Network {
		d := digestRisk(s.network.String())
		known := slices.Contains(t.Networks, d)
		first := !from.Network.IsValid() && len(t.Networks) == 0 // nobody knows where it came from
		if !known && !first {
			found = append(found, signal{event.NewNetwork, risks.NewNetwork, shownNetwork(from.Network), shownNetwork(s.network)})
		}
		if !known && (first || risks.NewNetwork != StepUp) { // or it is known once the sign-in is made from there
			t.Networks = append(slices.Clone(t.Networks), d)
			t.Networks = t.Networks[max(0, len(t.Networks)-maxNetworks):]
		}
	}
	if risks.ChangedBrowser != Ignore && !from.words().MayBe(s.words) {
		d, more := digestRisk(s.words.String()), risks.ChangedBrowser > Tell // whatever was only told of before
		if known := slices.Contains(t.Browsers, d); more || !known && len(t.Browsers) < maxBrowsers {
			if !known && !more {
				t.Browsers = append(slices.Clone(t.Browsers), d)
			}
			found = append(found, signal{event.ChangedBrowser, risks.ChangedBrowser, from.words().String(), s.words.String()})
		}
	}
	if risks.ParallelUse != Ignore && beside != nil {
		found = append(found, signal{event.ParallelUse, risks.ParallelUse, beside.String(), s.String()})
	}
	if len(found) > 0 {
		if w := worst(found); w.action == StepUp {
			t.Suspect = w.name
		}
	}
	return t, found
}

// same reports whether o says the same.
func (t trail) same(o trail) bool {
	return t.Suspect == o.Suspect && slices.Equal(t.Networks, o.Networks) && slices.Equal(t.Browsers, o.Browsers)
}

// merged is what two branches of one session's history remember.
func (t trail) merged(o trail) trail {
	if t.Suspect == "" {
		t.Suspect = o.Suspect
	}
	t.Networks = union(t.Networks, o.Networks, maxNetworks)
	t.Browsers = union(t.Browsers, o.Browsers, maxBrowsers)
	return t
}

func union(a, b []uint32, most int) []uint32 {
	for _, d := range b {
		if !slices.Contains(a, d) {
			a = append(slices.Clip(a), d)
		}
	}
	return a[max(0, len(a)-most):]
}

// after is what a sign-in takes over from the session in whose place it comes, because that
// was to be signed in again: the networks that are known to be its person's. Else somebody
// who goes to and fro between two of them would sign in each time.
func (t trail) after(from *origin) trail {
	if t.Suspect != event.NewNetwork {
		return trail{}
	}
	next := trail{Networks: t.Networks}
	if from.Network.IsValid() {
		next.Networks = union(next.Networks, []uint32{digestRisk(from.Network.String())}, maxNetworks)
	}
	return next
}

func shownNetwork(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
