package session

import (
	"crypto/rand"
	"slices"
	"time"
)

// Child tells the handles of one generation apart. The zero Child is none.
type Child [16]byte

func newChild() (c Child) {
	_, _ = rand.Read(c[:]) // never fails (crypto/rand)
	return c
}

// MaxChildren bounds the children of one generation that are remembered. One
// more takes the place of one that is not in use; where all are it is accepted,
// unrecorded, and cannot settle.
const MaxChildren = 32

// Sight is the use of a child.
type Sight struct {
	Child Child     `json:"c"`
	First time.Time `json:"t"`
	// Last is the latest use, exact to coarse.
	Last time.Time `json:"l"`
}

// Family is what the store keeps of the handles of one host's cookie. It is a
// value: no method edits its receiver or anything the receiver shares.
type Family struct {
	// Generation counts rotations, from 1.
	Generation uint64 `json:"g"`
	// Parent is the settled child of the generation before, or none.
	Parent Child `json:"p"`
	// Settled is the child that won this generation, or none while it is open.
	Settled Child `json:"s"`
	// Children are those seen in this generation, in the order they came.
	Children []Sight `json:"c,omitempty"`
	// Minted counts the children handed out in this generation: 0, 1, or 2 for
	// more than one.
	Minted int `json:"m,omitempty"`
	// MintedAt is when a child was last handed out, exact to coarse.
	MintedAt time.Time `json:"n"`
	// Rotated is when this generation began.
	Rotated time.Time `json:"r"`
}

// Rules are the times of the protocol.
type Rules struct {
	// Grace is S: how long a child must be in use before it settles.
	Grace time.Duration
	// Lifetime is that of the access token; the handle rotates once 0.8 of it
	// and 2 S have passed.
	Lifetime time.Duration
}

// coarse is how coarsely times are kept that move often, so that a burst of
// requests costs few writes.
func (r Rules) coarse() time.Duration { return r.Grace / 4 }

// latest is how long after a handle was replaced a request may come that was sent
// with it: one of ten times S, and an answer of S before.
func (r Rules) latest() time.Duration { return 11 * r.Grace }

func (r Rules) every() time.Duration { return max(r.Lifetime/5*4, 2*r.Grace) }

// Verdict is what is to be done with a request by its handle.
type Verdict int

const (
	// Serve the request.
	Serve Verdict = iota
	// Probe sends the request back once with a probe cookie that names its handle.
	Probe
	// Reuse: the handle is spent and the jar holds it. The session is revoked.
	Reuse
)

func (v Verdict) String() string { return [...]string{"serve", "probe", "reuse"}[v] }

// Use is how a handle was presented.
type Use struct {
	Generation uint64
	Child      Child
	// Probed says that the request brought a live probe cookie naming this handle.
	Probed bool
	// Fetch says that the request is made for nothing but a child: it was sent just now,
	// with what is in the jar. That another child was seen for a moment is no reason then
	// to give none.
	Fetch bool
	// Safe says that the request is a GET or HEAD that can be sent back.
	Safe bool
}

// NewFamily returns the family of a fresh sign-in; its first child counts as settled.
func NewFamily(first Child, now time.Time) Family {
	return Family{Generation: 1, Settled: first, Rotated: now}
}

// Present judges a handle at the store's time now. The family it returns is to
// be stored, by compare and set, before the verdict holds; changed is false
// where it is the receiver.
func (f Family) Present(u Use, now time.Time, rules Rules) (next Family, changed bool, v Verdict) {
	switch {
	case u.Generation > f.Generation:
		return f.forward(u, now), true, Serve

	case u.Generation == f.Generation && f.Settled == u.Child:
		if now.Sub(f.Rotated) < rules.every() {
			return f, false, Serve
		}
		return Family{Generation: f.Generation + 1, Parent: u.Child, Rotated: now}, true, Serve

	case u.Generation == f.Generation && f.open():
		return f.sighted(u, now, rules)

	case f.isParent(u):
		return f, false, Serve

	case u.Probed:
		return f, false, Reuse
	}
	return f, false, Probe
}

// forward takes the word of a sealed handle that is ahead of the store.
func (f Family) forward(u Use, now time.Time) Family {
	next := Family{
		Generation: u.Generation,
		Children:   []Sight{{u.Child, now, now}},
		Minted:     2, // unknown, so taken as many
		MintedAt:   now,
		Rotated:    now,
	}
	if u.Generation == f.Generation+1 {
		next.Parent = f.Settled
	}
	return next
}

// sighted notes the use of a child of the open generation, and settles it when
// it has been in use for long enough.
func (f Family) sighted(u Use, now time.Time, rules Rules) (Family, bool, Verdict) {
	i := slices.IndexFunc(f.Children, func(s Sight) bool { return s.Child == u.Child })
	if i < 0 {
		children := slices.Clip(f.Children)
		if len(children) >= MaxChildren {
			// One that nobody has used for a while makes room: the jar's own must not be
			// the one that is left out, or nothing would ever settle.
			idle := oldest(children)
			if now.Sub(children[idle].Last) <= rules.Grace+rules.coarse() {
				return f, false, Serve
			}
			children = slices.Delete(slices.Clone(children), idle, idle+1)
		}
		f.Children = append(children, Sight{u.Child, now, now})
		return f, true, Serve
	}
	was := f.Children[i]
	switch f.settling(was, u, now, rules) {
	case Probe:
		return f, false, Probe
	case Serve:
		return Family{Generation: f.Generation, Settled: u.Child, MintedAt: f.MintedAt, Rotated: f.Rotated}, true, Serve
	}
	if now.Sub(was.Last) <= rules.coarse() {
		return f, false, Serve
	}
	f.Children = slices.Clone(f.Children)
	f.Children[i].Last = now
	return f, true, Serve
}

// oldest finds the child whose last use is the longest ago.
func oldest(children []Sight) (i int) {
	for j, c := range children {
		if c.Last.Before(children[i].Last) {
			i = j
		}
	}
	return i
}

// notYet is the answer of settling where the child does not settle now.
const notYet Verdict = -1

// settling says whether the use of a child that was seen before settles it: Serve if
// it does, Probe if that must be asked of the browser first.
func (f Family) settling(s Sight, u Use, now time.Time, rules Rules) Verdict {
	// A request from before the child was handed out, or before the jar lost it in a
	// crash, may still be under way.
	late := now.Sub(s.First) <= rules.latest()
	switch {
	case now.Sub(s.First) <= rules.Grace:
		return notYet
	case late && f.Minted > 1 && now.Sub(f.MintedAt) <= rules.Grace+rules.coarse():
		// A sibling that was handed out just now may be about to replace this child
		// in the jar; settling this one would make the jar's next handle a spent one.
		// Not for ever: whoever keeps coming with the parent would keep all unsettled.
		return notYet
	case f.Minted <= 1, u.Probed, !late && now.Sub(f.MintedAt) > rules.latest():
		return Serve
	case u.Safe:
		return Probe
	}
	return notYet
}

// Deliver decides, when the headers of a response go out, whether it carries a
// fresh child. If ok, next is to be stored before the child is handed out.
func (f Family) Deliver(u Use, now time.Time, rules Rules) (next Family, changed, ok bool) {
	if !f.isParent(u) {
		return f, false, false
	}
	for _, s := range f.Children {
		if u.Fetch && s.Last.Sub(s.First) <= rules.coarse() {
			continue // what was sent just now was sent without it
		}
		if now.Sub(s.Last) <= rules.Grace+rules.coarse() {
			return f, false, false // the jar has that one
		}
	}
	if f.Minted >= 2 && now.Sub(f.MintedAt) <= rules.coarse() {
		return f, false, true
	}
	f.Minted, f.MintedAt = min(f.Minted+1, 2), now
	return f, true, true
}

// Due reports whether a browser that presents u should be sent to fetch a fresh child,
// where answers carry none: forward-auth, whose answers are a front proxy's. A thief who
// fetches as well, and uses each child once, keeps nobody from getting theirs: by the
// rule of other answers an owner who opens few pages was first too seldom, and of such
// thieves 1 in 10 was not seen within three rotations of the simulation (1 in 250 so).
func (f Family) Due(u Use, now time.Time, rules Rules) bool {
	u.Fetch = true
	_, _, ok := f.Deliver(u, now, rules)
	return ok
}

// Join decides what a hand-over from another host gives the browser on this one: a child
// of the generation that it returns, which is to be stored before the child is handed
// out. A browser comes that way whose cookie for this host is gone, or whose other tab is
// just getting one, so what was handed out before goes on working until a child settles.
func (f Family) Join(now time.Time) Family {
	if f.open() {
		f.Minted, f.MintedAt = min(f.Minted+1, 2), now
		return f
	}
	// Two: the jar may hold the parent, or any child of it that is still on its way.
	return Family{Generation: f.Generation + 1, Parent: f.Settled, Minted: 2, MintedAt: now, Rotated: now}
}

func (f Family) open() bool { return f.Settled == Child{} }

func (f Family) isParent(u Use) bool {
	return f.open() && u.Generation+1 == f.Generation && u.Child == f.Parent && u.Child != Child{}
}
