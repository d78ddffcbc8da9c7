package session

import (
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
	"unique"

	"github.com/evergate/evergate/internal/agent"
	"github.com/evergate/evergate/internal/web"
)

// spot is where a request comes from, as risk signals tell it. It is a value.
type spot struct {
	header  string     // User-Agent, cut
	address netip.Addr // zero is not known

	words   agent.Words
	network netip.Prefix
}

// agentOf is the User-Agent header of r, as much of it as is compared.
func agentOf(r *http.Request) string {
	lines := r.Header["User-Agent"]
	if len(lines) == 0 {
		return ""
	}
	return lines[0][:min(len(lines[0]), maxAgent)]
}

// addressOf is that of the browser behind r, or zero: a proxy that tells of no browser is not
// where anybody is.
func addressOf(r *http.Request) netip.Addr {
	n := web.NoteIn(r.Context())
	if n == nil || n.Unread {
		return netip.Addr{}
	}
	return n.Client
}

func spotOf(r *http.Request) spot {
	// A header holds on to the whole request, and most people have the same few.
	s := spot{header: unique.Make(agentOf(r)).Value(), address: addressOf(r)}
	s.words, s.network = agent.Of(s.header), web.Vicinity(s.address)
	return s
}

func originOf(r *http.Request) origin {
	s := spotOf(r)
	return origin{Browser: s.words.Browser, System: s.words.System, Network: s.network}
}

func (s *spot) String() string {
	if !s.network.IsValid() {
		return s.words.String()
	}
	return s.words.String() + " at " + s.network.String()
}

// same reports whether o is the same spot.
func (s *spot) same(o spot) bool { return s.header == o.header && s.address == o.address }

// apart reports whether s and o are two browsers in two networks.
func (s *spot) apart(o *spot) bool {
	return s.network.IsValid() && o.network.IsValid() && s.network != o.network && !s.words.MayBe(o.words)
}

// maxSpots bounds how many spots are remembered of a session, in memory alone.
const maxSpots = 4

// walk is where a session was used from lately. It is a value that is replaced, never edited.
type walk struct {
	spots []spot    // the latest first
	since time.Time // since when requests come from that one
	told  bool      // that there is somebody beside
}

// walked is the walk of a session, which requests share. The zero value is none yet.
type walked struct{ atomic.Pointer[walk] }

// isFrom reports whether r comes from where the request before it came from. It is all that
// risk signals cost most requests, so it compares what came as it came.
func (w *walked) isFrom(r *http.Request) bool {
	last := w.Load()
	return last != nil && last.spots[0].header == agentOf(r) && last.spots[0].address == addressOf(r)
}

// has reports whether s is among the spots of w, which may be none.
func (w *walk) has(s *spot) bool {
	return w != nil && slices.ContainsFunc(w.spots, s.same)
}

// to is w after a request from s. Beside is where the one before came from, if s and that are
// used by turns: the browser of s had been here before that, and is back soon.
func (w *walk) to(s spot, now time.Time) (next *walk, beside *spot) {
	if w == nil {
		return &walk{spots: []spot{s}, since: now}, nil
	}
	last := &w.spots[0]
	if s.same(*last) {
		return w, nil
	}
	next = &walk{since: now, told: w.told, spots: append(make([]spot, 0, maxSpots), s)}
	for _, o := range w.spots {
		if len(next.spots) < maxSpots && !s.same(o) {
			next.spots = append(next.spots, o)
		}
	}
	back := slices.ContainsFunc(w.spots[1:], func(o spot) bool { return o.words == s.words })
	if !w.told && back && s.apart(last) && now.Sub(w.since) <= parallelWithin {
		next.told = true
		return next, last
	}
	return next, nil
}
