package dashboard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const (
	step    = 5 * time.Second // what a slot is for
	slots   = int(time.Hour / step)
	minutes = 60

	// maxRoutes bounds the routes that are told apart; the others are counted together.
	maxRoutes = 1000
)

// What a slot counts.
const (
	renewed      = iota // access tokens
	renewFailed         // renewals that did not work, and whose session is kept
	renewRefused        // sessions that ended since the provider said a clear no
	signedIn
	signInFailed
	reused // stolen handles
	suspected
	kinds
)

// History is the last hour: what was counted in it, and what happened. It is safe for
// concurrent use, and costs a request no lock and no allocation.
type History struct {
	now   func() time.Time
	start time.Time
	all   ring[[kinds]atomic.Uint32]

	mu     sync.Mutex // guards additions to routes
	routes atomic.Pointer[map[string]*routeCounts]
	others routeCounts  // of routes beyond maxRoutes
	full   atomic.Int64 // the minute in which there was no room for another route

	timeline timeline

	spells    atomic.Int32         // how many there are in failingAt
	spellsMu  sync.Mutex           // guards failingAt
	failingAt map[string]time.Time // since when no renewal of a provider's has worked

	last    atomic.Pointer[Moment] // what became of the config last
	applied atomic.Pointer[Moment] // when another came into force; nil is the one of the start
}

// NewHistory returns a History that begins now. A nil now is time.Now.
func NewHistory(now func() time.Time) *History {
	if now == nil {
		now = time.Now
	}
	h := &History{now: now, start: now()}
	h.all.init(slots)
	h.others.minutes.init(minutes)
	h.routes.Store(&map[string]*routeCounts{})
	h.failingAt = map[string]time.Time{}
	return h
}

// ring holds counters for periods, the latest of which are kept.
type ring[T any] struct {
	mu    sync.Mutex // held while a slot becomes that of another period
	slots []slot[T]
}

type slot[T any] struct {
	period atomic.Int64
	counts T
}

func (r *ring[T]) init(n int) { r.slots = make([]slot[T], n) }

// at returns the counters of a period. Clear sets those of an older one to zero, once.
func (r *ring[T]) at(period int64, clear func(*T)) *T {
	s := &r.slots[int(period%int64(len(r.slots)))]
	if s.period.Load() < period {
		r.mu.Lock()
		if s.period.Load() < period {
			clear(&s.counts)
			s.period.Store(period)
		}
		r.mu.Unlock()
	}
	return &s.counts
}

// of returns the counters of a period, or nil where nothing was counted in it.
func (r *ring[T]) of(period int64) *T {
	if period < 0 {
		return nil
	}
	if s := &r.slots[int(period%int64(len(r.slots)))]; s.period.Load() == period {
		return &s.counts
	}
	return nil
}

func clearKinds(c *[kinds]atomic.Uint32) {
	for i := range c {
		c[i].Store(0)
	}
}

func (h *History) count(kind int) {
	h.all.at(h.now().UnixNano()/int64(step), clearKinds)[kind].Add(1)
}

// Hear is an [event.Func].
func (h *History) Hear(_ context.Context, e event.Event) {
	switch e.Name {
	case event.SessionRenewed:
		h.count(renewed)
		if h.spells.Load() > 0 {
			h.over(&e)
		}
		return
	case event.SessionRotated, event.SessionBound: // as often as people come, and nothing to see to
		return
	case event.NewNetwork:
		if e.Action == "log" { // the same: phones do that all day
			return
		}
	case event.SessionRenewalFailed:
		h.count(renewFailed)
		h.began(e.Provider)
	case event.SessionWithdrawn:
		if e.Reason == event.GrantRefused {
			h.count(renewRefused)
		}
	case event.SessionStarted:
		h.count(signedIn)
	case event.LoginFailed:
		h.count(signInFailed)
	case event.ReuseDetected:
		h.count(reused)
	case event.ReuseSuspected:
		h.count(suspected)
	}
	if e.At.IsZero() {
		e.At = h.now()
	}
	m := momentOf(&e)
	if e.Name == event.ConfigReloaded || e.Name == event.ConfigBad {
		h.last.Store(&m)
	}
	if e.Name == event.ConfigReloaded && len(e.Changed) > 0 {
		h.applied.Store(&m)
	}
	h.timeline.add(m)
}

// longSpell is how long renewals of a provider's have to fail, all of them, for their end
// to be worth a word. One session that it chokes on is over with the next of another.
const longSpell = 10 * time.Second

// began notes that a renewal failed.
func (h *History) began(provider string) {
	h.spellsMu.Lock()
	defer h.spellsMu.Unlock()
	if _, known := h.failingAt[provider]; !known {
		h.failingAt[provider] = h.now()
		h.spells.Add(1)
	}
}

// over notes that one has worked again.
func (h *History) over(e *event.Event) {
	h.spellsMu.Lock()
	since, known := h.failingAt[e.Provider]
	if known {
		delete(h.failingAt, e.Provider)
		h.spells.Add(-1)
	}
	h.spellsMu.Unlock()
	if now := h.now(); known && now.Sub(since) >= longSpell {
		h.timeline.add(Moment{At: now, Until: now, Times: 1, Name: event.SessionRenewed, Provider: e.Provider,
			Detail: "for " + duration(now.Sub(since)) + " none had worked"})
	}
}

// What is counted of a route.
const (
	requests = iota
	asked    // to sign in, or to do so once more
	refused  // by a rule, a limit, or for how they were made
	failed   // answered 500 to 599
	outcomes
)

// routeCounts are a route's, by the minute.
type routeCounts struct {
	minutes ring[[outcomes]atomic.Uint32]
}

func clearOutcomes(c *[outcomes]atomic.Uint32) {
	for i := range c {
		c[i].Store(0)
	}
}

// Done hears of each request, as [web.Options].Done does.
func (h *History) Done(d *web.Done) {
	c := h.route(d.Route).minutes.at(h.now().Unix()/60, clearOutcomes)
	c[requests].Add(1)
	switch d.Decision {
	case "login", "step-up", "detour":
		c[asked].Add(1)
	case "denied", "bad-token", "refused":
		c[refused].Add(1)
	default:
		if d.Status == 429 {
			c[refused].Add(1)
		}
	}
	if d.Status >= 500 {
		c[failed].Add(1)
	}
}

// otherRoutes stands for routes beyond maxRoutes.
const otherRoutes = "(other routes)"

func (h *History) route(name string) *routeCounts {
	if c := (*h.routes.Load())[name]; c != nil {
		return c
	}
	minute := h.now().Unix() / 60
	if h.full.Load() == minute {
		return &h.others
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known := *h.routes.Load()
	if c := known[name]; c != nil {
		return c
	}
	// Routes that a reload took away go when others come.
	next := make(map[string]*routeCounts, len(known)+1)
	for n, c := range known {
		if c.usedSince(minute - minutes) {
			next[n] = c
		}
	}
	if len(next) >= maxRoutes {
		h.full.Store(minute) // it is looked at again in the next one
		return &h.others
	}
	next[name] = &routeCounts{}
	next[name].minutes.init(minutes)
	h.routes.Store(&next)
	return next[name]
}

func (c *routeCounts) usedSince(minute int64) bool {
	for i := range c.minutes.slots {
		if c.minutes.slots[i].period.Load() > minute {
			return true
		}
	}
	return false
}

// RouteCounts are those of one route: in the last five minutes and in the last hour.
type RouteCounts struct {
	Route       string
	Five, Sixty [outcomes]uint64
}

// Routes returns the counts of the routes that somebody asked for in the last hour.
func (h *History) Routes() (all []RouteCounts) {
	add := func(name string, c *routeCounts) {
		one := RouteCounts{Route: name}
		minute := h.now().Unix() / 60
		for ago := range int64(minutes) {
			counts := c.minutes.of(minute - ago)
			if counts == nil {
				continue
			}
			for i := range counts {
				n := uint64(counts[i].Load())
				one.Sixty[i] += n
				if ago < 5 {
					one.Five[i] += n
				}
			}
		}
		if one.Sixty[requests] > 0 {
			all = append(all, one)
		}
	}
	for name, c := range *h.routes.Load() {
		add(name, c)
	}
	add(otherRoutes, &h.others)
	return all
}

// Series are the counts of the last n slots, the oldest first; the one that is not over yet
// is not among them. End is the end of the last one.
func (h *History) Series(n int) (series [kinds][]uint32, end time.Time) {
	current := h.now().UnixNano() / int64(step)
	for kind := range series {
		series[kind] = make([]uint32, n)
	}
	for i := range n {
		if c := h.all.of(current - int64(n-i)); c != nil {
			for kind := range c {
				series[kind][i] = c[kind].Load()
			}
		}
	}
	return series, time.Unix(0, current*int64(step))
}

// Total is how often something was counted in the last hour, the current slot included.
func (h *History) Total(kind int) (n uint64) {
	current := h.now().UnixNano() / int64(step)
	for ago := range int64(slots) {
		if c := h.all.of(current - ago); c != nil {
			n += uint64(c[kind].Load())
		}
	}
	return n
}

// Timeline is what happened, the newest first.
func (h *History) Timeline() []Moment { return h.timeline.list() }

// Config is what became of the config last; nil is that it is the one of the start.
func (h *History) Config() *Moment { return h.last.Load() }

func (h *History) lastApplied() *Moment { return h.applied.Load() }
