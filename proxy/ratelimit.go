package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
)

// RateLimit bounds how many requests somebody may have on a route.
type RateLimit struct {
	// Requests is how many for each time Per, which is in whole seconds.
	Requests int
	Per      time.Duration
	// Burst is how many of them may come at once; zero is all.
	Burst int
	// By is whose requests are counted together.
	By RateBy
}

// RateBy is whose requests are counted together. Where nobody is signed in, all of them
// go by the address.
type RateBy string

// The kinds of RateBy.
const (
	ByUser           RateBy = "user"             // a person's, wherever they are
	ByAddress        RateBy = "address"          // those of an IPv4 address, or of an IPv6 network of 64 bits
	ByUserAndAddress RateBy = "user_and_address" // a person's at one address
)

// MaxRateLimits is how many a route may have.
const MaxRateLimits = 4

// maxCallers bounds how many callers one limit remembers.
const maxCallers = 1 << 16

// rate counts for one limit, by GCRA (the virtual scheduling algorithm of ITU-T I.371):
// of each caller it knows the time at which their whole burst is there again, and each
// request that passes moves that on. It outlives a reload; see TakeCounts.
type rate struct {
	RateLimit
	name     string        // of the policy, in headers
	interval time.Duration // a request's share of Per
	window   time.Duration // Burst shares
	start    time.Time     // of the clock
	most     int           // maxCallers

	mu   sync.Mutex // guards full
	full map[caller]time.Duration
}

// caller is whose requests are counted together.
type caller struct {
	provider, subject string
	address           netip.Addr
}

// rateState is what a caller has left.
type rateState struct {
	left int
	// reset is when the next request passes where none is left, otherwise when the whole
	// burst is there again.
	reset time.Duration
}

func newRate(l RateLimit) *rate {
	if l.Burst == 0 {
		l.Burst = l.Requests
	}
	k := &rate{RateLimit: l, interval: l.Per / time.Duration(l.Requests), start: time.Now(), most: maxCallers, full: map[caller]time.Duration{}}
	k.window = time.Duration(l.Burst) * k.interval
	k.name = string(l.By) + "-" + strconv.FormatInt(int64(l.Per/time.Second), 10) + "s"
	return k
}

// caller is whose count a request goes on.
func (k *rate) caller(login *auth.Login, client netip.Addr) (who caller) {
	if login != nil && k.By != ByAddress {
		who.provider, who.subject = login.Identity.Provider, login.Identity.Subject
		if k.By == ByUser {
			return who
		}
	}
	who.address = network(client)
	return who
}

// network is what one customer has: an IPv4 address, or 64 bits of IPv6, in which they
// choose a new address whenever they like.
func network(a netip.Addr) netip.Addr {
	if a = a.Unmap(); !a.Is6() {
		return a
	}
	p, _ := a.Prefix(64) // cannot fail for IPv6
	return p.Addr()
}

// take counts a request, if it may pass.
func (k *rate) take(who caller) (s rateState, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Since(k.start)
	full, known := k.full[who]
	if full = max(full, now); full-now > k.window-k.interval {
		return k.state(full - now), false
	}
	if !known {
		k.makeRoom(now)
	}
	full += k.interval
	k.full[who] = full
	return k.state(full - now), true
}

// giveBack uncounts a request that took and did not pass after all.
func (k *rate) giveBack(who caller) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if full, known := k.full[who]; known {
		k.full[who] = full - k.interval
	}
}

// look says what is left, and counts nothing.
func (k *rate) look(who caller) rateState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state(max(0, k.full[who]-time.Since(k.start)))
}

// state is what is left, as long as ahead before the whole burst is there.
func (k *rate) state(ahead time.Duration) rateState {
	if left := int((k.window - ahead) / k.interval); left > 0 {
		return rateState{left, ahead}
	}
	return rateState{0, ahead - (k.window - k.interval)}
}

// makeRoom lets go of callers whose whole burst is there again, who are as good as unknown:
// it looks at a few for each that comes, which takes out more than come. Where there is no
// room all the same, the one of these goes that has used least. So whoever fills the room with
// other addresses, to have their own count forgotten, would have to use up each of
// these first.
func (k *rate) makeRoom(now time.Duration) {
	const few = 16
	var least caller
	var when time.Duration
	seen := 0
	for who, full := range k.full { // Go begins anywhere
		if full <= now {
			delete(k.full, who)
		} else if when == 0 || full < when {
			least, when = who, full
		}
		if seen++; seen == few {
			break
		}
	}
	if len(k.full) >= k.most {
		delete(k.full, least)
	}
}

// prepareRates checks the limits of a route and makes their counts.
func (r *Route) prepareRates(fault func(key, format string, args ...any)) {
	if r.rates = nil; len(r.RateLimits) > MaxRateLimits {
		fault("rate_limit", "there are %d limits, and %d at most", len(r.RateLimits), MaxRateLimits)
	}
	var policies []string
	for i, l := range r.RateLimits {
		key := fmt.Sprintf("rate_limit[%d]", i)
		switch {
		case l.Per < time.Second || l.Per > 24*time.Hour || l.Per%time.Second != 0:
			fault(key+".per", "want whole seconds, 1s to 24h, got %s", l.Per)
		case l.Requests < 1 || l.Requests > 1e6:
			fault(key+".requests", "want 1 to 1000000, got %d", l.Requests)
		case l.Burst < 0 || l.Burst > l.Requests:
			fault(key+".burst", "want 1 to requests, %d, got %d", l.Requests, l.Burst)
		case l.By != ByUser && l.By != ByAddress && l.By != ByUserAndAddress:
			fault(key+".by", "want user, address or user_and_address, got %q", l.By)
		case slices.ContainsFunc(r.RateLimits[:i], func(o RateLimit) bool { return o.By == l.By && o.Per == l.Per }):
			fault(key, "there is a limit by %s for the same time already", l.By)
		default:
			k := newRate(l)
			r.rates = append(r.rates, k)
			policies = append(policies, fmt.Sprintf(`"%s";q=%d;w=%d`, k.name, k.Requests, k.Per/time.Second))
		}
	}
	r.ratePolicies = []string{strings.Join(policies, ", ")}
}

// TakeCounts goes on with the counts of before, which may be nil, for each limit that is
// the same on a route for the same requests. It comes before the first request.
func (rt *Router) TakeCounts(before *Router) {
	if before == nil {
		return
	}
	old := map[string]*Route{}
	for _, r := range before.limited {
		old[r.matchKey()] = r
	}
	for _, r := range rt.limited {
		was := old[r.matchKey()]
		if was == nil {
			continue
		}
		for i, k := range r.rates {
			for _, o := range was.rates {
				if o.RateLimit == k.RateLimit {
					r.rates[i] = o
				}
			}
		}
	}
}

// matchKey tells which requests a route is for. No two routes have the same.
func (r *Route) matchKey() string {
	methods := slices.Sorted(slices.Values(r.Methods))
	return strings.ToLower(r.Host) + " " + r.pattern() + " " + strings.Join(methods, " ")
}
