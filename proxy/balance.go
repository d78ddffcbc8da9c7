package proxy

import (
	"hash/fnv"
	"math"
	"slices"
	"time"
)

// Balance is how one of several targets is chosen.
type Balance int

const (
	// LeastRequests chooses the target with the fewest requests under way for its
	// weight, and among equals goes round as RoundRobin does.
	LeastRequests Balance = iota
	// RoundRobin goes round all of them, by weight.
	RoundRobin
)

// leastShare is the part of its weight with which a target comes back.
const leastShare = 0.1

// share is the weight of a target now.
func (t *target) share(now time.Time) float64 {
	if t.back.IsZero() {
		return t.weight
	}
	age := now.Sub(t.back)
	if age >= t.slow {
		t.back = time.Time{}
		return t.weight
	}
	return t.weight * max(leastShare, float64(age)/float64(t.slow))
}

// choose finds the target for a request that was at those in tried. Full says
// that it has to wait until there is room; then t is one that could be waited
// for, and the only one if there is a key. Nil means that none is left. The mutex is held.
func (u *Upstream) choose(now time.Time, key string, tried []*target) (t *target, full bool) {
	use := make([]*target, 0, 8) // on the stack for as long as there are no more
	for _, t := range u.targets {
		if u.inOrder(t, now) {
			use = append(use, t)
		}
	}
	if u.noteAllOut(len(use) == 0); len(use) == 0 {
		use = append(use, u.targets...)
	}
	if len(tried) > 0 {
		use = slices.DeleteFunc(use, func(t *target) bool { return slices.Contains(tried, t) })
	}
	if len(use) == 0 {
		return nil, false
	}
	if key != "" {
		t = rendezvous(use, key, now)
		return t, u.isFull(t)
	}
	if u.options.Connections > 0 {
		first := use[0]
		if use = slices.DeleteFunc(use, u.isFull); len(use) == 0 {
			return first, true
		}
	}
	if u.options.Balance == LeastRequests {
		use = leastBusy(use, now)
	}
	return inTurn(use, now), false
}

func (u *Upstream) isFull(t *target) bool {
	return u.options.Connections > 0 && t.busy >= u.options.Connections
}

// leastBusy keeps those with the fewest requests for their share. The shares are
// not rounded, so that equals are told by a margin.
func leastBusy(use []*target, now time.Time) []*target {
	least := math.Inf(1)
	for _, t := range use {
		least = min(least, float64(t.busy)/t.share(now))
	}
	return slices.DeleteFunc(use, func(t *target) bool { return float64(t.busy)/t.share(now) > least+1e-9 })
}

// inTurn goes round by weight, without bursts: each gets its share of a turn,
// and the one with the most is next and pays for all. It is nginx's way.
func inTurn(use []*target, now time.Time) *target {
	var next *target
	sum := 0.0
	for _, t := range use {
		share := t.share(now)
		t.turn += share
		sum += share
		if next == nil || t.turn > next.turn {
			next = t
		}
	}
	next.turn -= sum
	return next
}

// rendezvous gives a key the target that it draws the highest lot for, with
// chances by weight. Every gateway finds the same one; a target that goes loses
// its own keys to the others, and nothing else moves.
func rendezvous(use []*target, key string, now time.Time) *target {
	var best *target
	highest := math.Inf(-1)
	for _, t := range use {
		h := fnv.New64a()
		_, _ = h.Write([]byte(key))
		_, _ = h.Write([]byte(t.name))
		lot := (float64(mix(h.Sum64())>>11) + 0.5) / (1 << 53) // between 0 and 1, neither of them
		if score := t.share(now) / -math.Log(lot); score > highest {
			best, highest = t, score
		}
	}
	return best
}

// mix spreads what differs in few bits over all of them (the end of splitmix64),
// which FNV alone does not.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
