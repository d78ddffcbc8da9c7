package session

import (
	"maps"
	"slices"
)

// merged is what is known from two branches of one session's history: the later
// grant, and the further family of each host.
func (s *state) merged(o *state) state {
	next := *s
	if o.Renewals > s.Renewals {
		next.Renewals, next.Login, next.Until = o.Renewals, o.Login, o.Until
	}
	for host, f := range o.Families {
		next = next.withFamily(host, next.Families[host].merged(f))
	}
	next.Floor = max(s.Floor, o.Floor)
	next.Bound = mergedBindings(s, o)
	if len(o.Bases) > 0 {
		next.Bases = maps.Clone(o.Bases)
		for host, base := range s.Bases {
			next.Bases[host] = max(base, next.Bases[host])
		}
	}
	for host, at := range o.Handed {
		next = next.withHanded(host, later(s.Handed[host], at))
	}
	next.Seen = later(s.Seen, o.Seen)
	next.Retired = s.Retired || o.Retired
	next.Trail = s.Trail.merged(o.Trail)
	if len(o.Replaced) > len(s.Replaced) {
		next.Replaced = o.Replaced
	}
	return next
}

// mergedBindings are those of the branch in which a host began anew last, and of two the first one:
// a store that has lost it must not leave a session bound to nothing, nor to the key of whoever
// found it so.
func mergedBindings(s, o *state) map[string]binding {
	if len(s.Bound) == 0 && len(o.Bound) == 0 {
		return nil
	}
	all := maps.Clone(s.Bound)
	if all == nil {
		all = map[string]binding{}
	}
	for host := range s.Families {
		if o.Bases[host] > s.Bases[host] {
			delete(all, host)
		}
	}
	for host, b := range o.Bound {
		if was, bound := all[host]; o.Bases[host] >= s.Bases[host] && (!bound || b.At.Before(was.At)) {
			all[host] = b
		}
	}
	return all
}

// merged is what is known from two branches of a family's history, where a store has
// lost the end of one: the further generation, and within one whatever either knows.
func (f Family) merged(o Family) Family {
	switch {
	case f.Generation != o.Generation:
		if o.Generation > f.Generation {
			return o
		}
		return f
	case f.open() && o.open():
		return f.joined(o)
	case f.open():
		return o.unless(f)
	case o.open():
		return f.unless(o)
	}
	return f
}

// unless is the settled f, or the same generation open where a child was handed out
// there since: the jar may hold that one.
func (f Family) unless(open Family) Family {
	if open.MintedAt.After(f.MintedAt) {
		return open
	}
	return f
}

// joined is what two open families of one generation know.
func (f Family) joined(o Family) Family {
	if f.Minted > 0 && o.Minted > 0 && !f.MintedAt.Equal(o.MintedAt) {
		f.Minted = 2
	}
	f.Minted, f.MintedAt = max(f.Minted, o.Minted), later(f.MintedAt, o.MintedAt)
	f.Children = slices.Clone(f.Children)
	for _, s := range o.Children {
		i := slices.IndexFunc(f.Children, func(c Sight) bool { return c.Child == s.Child })
		switch {
		case i >= 0:
			f.Children[i].First, f.Children[i].Last = earlier(f.Children[i].First, s.First), later(f.Children[i].Last, s.Last)
		case len(f.Children) < MaxChildren:
			f.Children = append(f.Children, s)
		}
	}
	return f
}
