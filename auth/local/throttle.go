package local

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// Guard decides whether an attempt to sign in is looked at. There are two: a Throttle,
// and a SharedThrottle for gateways that count together.
type Guard interface {
	// attempt reserves an attempt. It returns how long to wait before one is looked at,
	// or zero, and then done must be told how it went. The reservation counts as a
	// failure until then, so that parallel guesses do not slip past. An error is an
	// outage: nothing is to be looked at.
	attempt(ctx context.Context, account string, addr netip.Addr) (wait time.Duration, done func(outcome) error, err error)
}

var (
	_ Guard = (*Throttle)(nil)
	_ Guard = (*SharedThrottle)(nil)
)

// Throttle slows down guessing: after a few free failures, an account or a
// source address waits, twice as long after each further failure, up to a
// minute. It never locks anybody out for good, and an attempt inside the wait
// neither counts nor lengthens it. It is safe for concurrent use.
//
// A stranger who hammers an account slows it for other strangers, and not for
// an address from which its owner signed in lately.
type Throttle struct {
	now func() time.Time

	mu       sync.Mutex // guards accounts, sources, friends
	accounts map[string]*failures
	sources  map[netip.Prefix]*failures
	friends  map[friend]time.Time
}

type failures struct {
	count int
	until time.Time // the end of the wait
	last  time.Time
}

// friend is an account and an address from which it signed in.
type friend struct {
	account string
	source  netip.Prefix
}

// outcome is how an attempt went.
type outcome int

const (
	failed outcome = iota
	succeeded
	unjudged // the password was not looked at
)

const (
	freeFailures    = 10
	maxWait         = time.Minute
	forgetFailures  = 15 * time.Minute
	friendFor       = 30 * 24 * time.Hour
	maxTracked      = 50_000 // per map; about 100 bytes each
	sourceAllowance = 4      // an address may stand for many people: so many times more failures are free
)

// NewThrottle returns a Throttle by the clock now; nil means time.Now.
func NewThrottle(now func() time.Time) *Throttle {
	if now == nil {
		now = time.Now
	}
	return &Throttle{now: now, accounts: map[string]*failures{}, sources: map[netip.Prefix]*failures{}, friends: map[friend]time.Time{}}
}

// attempt implements Guard.
func (t *Throttle) attempt(_ context.Context, account string, addr netip.Addr) (wait time.Duration, done func(outcome) error, err error) {
	source := web.Network(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	known := now.Sub(t.friends[friend{account, source}]) < friendFor
	a, s := track(t.accounts, account, now), track(t.sources, source, now)
	wait = s.until.Sub(now)
	if !known {
		wait = max(wait, a.until.Sub(now))
	}
	if wait > 0 {
		return wait, nil, nil
	}
	before, beforeAccount := *s, *a
	a.fail(now, freeFailures)
	s.fail(now, freeFailures*sourceAllowance)
	return 0, func(o outcome) error {
		if o == failed {
			return nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if o == succeeded {
			bound(t.friends)
			t.friends[friend{account, source}] = t.now()
			delete(t.accounts, account)
		} else {
			a.takeBack(beforeAccount)
		}
		s.takeBack(before)
		return nil
	}, nil
}

func (f *failures) fail(now time.Time, free int) {
	f.count++
	f.last = now
	if over := f.count - free; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 10), maxWait))
	}
}

// takeBack takes one attempt back, and no more: a source that also guesses elsewhere
// does not wash itself clean with an account of its own. Before is what there was
// before the attempt.
func (f *failures) takeBack(before failures) {
	f.count = max(f.count-1, 0)
	if f.count <= before.count {
		f.until = before.until
	}
}

// over reports whether the last failure was so long ago that none counts any more.
func (f *failures) over(now time.Time) bool { return now.Sub(f.last) > forgetFailures }

// track finds the failures of k, forgetting old ones.
func track[K comparable](m map[K]*failures, k K, now time.Time) *failures {
	f := m[k]
	if f == nil || f.over(now) {
		f = &failures{}
		bound(m)
		m[k] = f
	}
	return f
}

// bound drops arbitrary entries of a full map. Whoever fills it has many
// names or addresses and gains little by it.
func bound[K comparable, V any](m map[K]V) {
	for k := range m {
		if len(m) < maxTracked {
			return
		}
		delete(m, k)
	}
}
