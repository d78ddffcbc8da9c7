package oidc

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// breakerSessions is how many sessions have to meet an outage before all are
	// taken to: one session that the provider chokes on is no outage.
	breakerSessions = 3
	// breakerDials is how often nobody was reached at all.
	breakerDials = 2
	breakerFirst = 2 * time.Second
	breakerMost  = 30 * time.Second
	breakerAgain = time.Second // until another session goes to see
)

var errOpen = errors.New("it did not answer lately and is left alone for a moment")

// breaker keeps renewals away from a provider that does not answer. After a
// while one is let through to see. The zero value is closed.
type breaker struct {
	mu      sync.Mutex // guards all below
	failing map[string]bool
	dials   int
	open    bool
	until   time.Time // of the open state
	wait    time.Duration
	probing bool
	first   string // the session whose probe failed, until another's did too
}

// enter reports whether a renewal may be sent, and whether it is the one that
// goes to see; or else when to come again.
func (b *breaker) enter(now time.Time) (probe, ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return false, true, 0
	case now.Before(b.until):
		return false, false, b.until.Sub(now)
	case b.probing:
		return false, false, time.Second
	}
	b.probing = true
	return true, true, 0
}

// success closes it.
func (b *breaker) success() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.failing)
	b.dials, b.open, b.probing, b.wait, b.first = 0, false, false, 0, ""
}

// abandon takes a renewal back whose outcome says nothing. If it was the probe,
// the next one goes to see.
func (b *breaker) abandon(probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
}

// failure notes an outage that a session met, and reports whether it opened the
// breaker.
func (b *breaker) failure(now time.Time, session string, dial, probe bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing == nil {
		b.failing = map[string]bool{}
	}
	if len(b.failing) < breakerSessions {
		b.failing[session] = true
	}
	if dial {
		b.dials++
	}
	if b.open && !probe {
		return false // it was sent before
	}
	if len(b.failing) < breakerSessions && b.dials < breakerDials {
		return false
	}
	if probe && !dial && (b.first == "" || b.first == session) {
		// It may be this one session that the provider chokes on: another goes to see
		// before all are kept away for longer.
		b.first, b.probing, b.until = session, false, now.Add(breakerAgain)
		return false
	}
	b.first = ""
	b.wait = min(max(2*b.wait, breakerFirst), breakerMost)
	b.until = now.Add(b.wait/2 + rand.N(b.wait/2))
	b.open, b.probing = true, false
	return !probe
}

func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}
