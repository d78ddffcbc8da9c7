package e2e

import (
	"strings"
	"sync"
	"testing"
)

// seats are for tests that run beside each other. Most of them wait most of the time, so
// that many go on at once even on two cores; but starting browsers and gateways is work,
// and all together would each wait for all. A test takes a seat before its first program
// starts, and no second one, so that nobody waits for a seat while they have one.
type seats chan struct{}

var (
	common   = make(seats, 4)
	pressing = make(seats, 1) // for tests that keep the machine busy
	long     = make(seats, 2) // for those that take minutes: they begin at once

	seated = struct {
		sync.Mutex                  // guards tests
		tests      map[string]*seat // by name
	}{tests: map[string]*seat{}}
)

// seat is a test's, which it has while it or a part of it goes on.
type seat struct {
	of   seats
	uses int
}

// take waits for a seat, unless the test has one of any kind.
func (s seats) take(t *testing.T) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	seated.Lock()
	mine := seated.tests[name]
	if mine == nil {
		mine = &seat{of: s}
		seated.tests[name] = mine
	}
	mine.uses++
	first := mine.uses == 1
	seated.Unlock()
	if first {
		mine.of <- struct{}{}
	}
	t.Cleanup(func() {
		seated.Lock()
		defer seated.Unlock()
		if mine.uses--; mine.uses == 0 {
			delete(seated.tests, name)
			<-mine.of
		}
	})
}
