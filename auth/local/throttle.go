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
	attempt(ctx context.Context, this try) (wait time.Duration, done func(outcome) error, err error)
}

// try is an attempt to sign in, as it is counted.
type try struct {
	account string     // in the one spelling that counts
	addr    netip.Addr // where it comes from; the zero Addr is not known
	stamp   string     // that of the account's password; "" where there is no such user
	browser string     // what the browser is counted under, if it signed in to the account before; "" is a stranger's
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
// A stranger who hammers an account slows it for other strangers, and not for a browser
// that signed in to it before. That one is counted by itself, as slowly: a copy of its
// cookie gives a thief no more guesses than any stranger has. Its attempts neither wait for
// their source nor count there: behind one address may be a whole office, and one person's
// guesses are not to keep all of them out.
//
// Nor does a stranger slow it for a network from which its owner signed in lately by a browser that
// was not known. It is for those whose browsers keep no cookies, and for their next
// browser: the source's own wait is what holds guesses from there. A new password ends both.
type Throttle struct {
	now func() time.Time

	mu       sync.Mutex // guards accounts, sources, browsers, friends
	accounts map[string]*failures
	sources  map[netip.Prefix]*failures
	browsers map[string]*failures
	friends  map[friend]time.Time
}

type failures struct {
	count int
	until time.Time // the end of the wait
	last  time.Time
}

// friend is an account and a network from which it signed in, by a password that is in
// force yet.
type friend struct {
	account, stamp string
	source         netip.Prefix
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
	return &Throttle{now: now, accounts: map[string]*failures{}, sources: map[netip.Prefix]*failures{},
		browsers: map[string]*failures{}, friends: map[friend]time.Time{}}
}

// attempt implements Guard.
func (t *Throttle) attempt(_ context.Context, this try) (wait time.Duration, done func(outcome) error, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if this.browser != "" {
		wait, done = t.known(this.browser, now)
		return wait, done, nil
	}
	who := friend{this.account, this.stamp, web.Network(this.addr)}
	known := now.Sub(t.friends[who]) < friendFor
	a, s := track(t.accounts, this.account, now), track(t.sources, who.source, now)
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
			if who.source.IsValid() { // all that are not known share one, and are no friends
				bound(t.friends)
				t.friends[who] = t.now()
			}
			delete(t.accounts, this.account)
		} else {
			a.takeBack(beforeAccount)
		}
		s.takeBack(before)
		return nil
	}, nil
}

// known is attempt by a browser that is known at the account; mu is held. A success takes
// nothing away but itself: the browser is counted under another name from then on, and
// strangers' guesses go on to count.
func (t *Throttle) known(browser string, now time.Time) (time.Duration, func(outcome) error) {
	b := track(t.browsers, browser, now)
	if wait := b.until.Sub(now); wait > 0 {
		return wait, nil
	}
	before := *b
	b.fail(now, freeFailures)
	return 0, func(o outcome) error {
		if o != failed {
			t.mu.Lock()
			defer t.mu.Unlock()
			b.takeBack(before)
		}
		return nil
	}
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
