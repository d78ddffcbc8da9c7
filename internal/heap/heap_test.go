package heap

import (
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// TestPercentFor: under load a small heap may grow by four times what is in use, a larger one
// by 32 MiB, and what is larger still is collected as Go does by itself; an idle one always is.
func TestPercentFor(t *testing.T) {
	for _, c := range []struct {
		live, made uint64
		percent    int
	}{
		{0, busy, 400}, {1 << 20, busy, 400}, {8 << 20, busy, 400}, {16 << 20, busy, 200}, {32 << 20, busy, 100}, {1 << 30, 100 * busy, 100},
		{6 << 20, busy - 1, 100}, {6 << 20, 0, 100},
	} {
		if got := percentFor(c.live, c.made); got != c.percent {
			t.Errorf("%d bytes in use, %d made: got %d %%, want %d", c.live, c.made, got, c.percent)
		}
	}
}

func percent() int {
	p := debug.SetGCPercent(100)
	debug.SetGCPercent(p)
	return p
}

var sink []byte

// until makes garbage at a rate until the setting is want.
func until(t *testing.T, want, rate int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); percent() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the setting is %d %%, want %d", percent(), want)
		}
		for range rate {
			sink = make([]byte, 1<<20)
		}
	}
}

// TestTend: while garbage is made the heap may grow, afterwards it is collected as ever.
func TestTend(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	stop := Tend()
	until(t, most, 4)
	until(t, usual, 0)
	until(t, most, 4)
	if stop(); percent() != usual {
		t.Errorf("afterwards got %d %%, want %d", percent(), usual)
	}
}

// TestTendIsTheOperators where they have said how it is collected.
func TestTendIsTheOperators(t *testing.T) {
	for name, value := range map[string]string{"GOGC": "50", "GOMEMLIMIT": "64MiB"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			stop := Tend()
			defer stop()
			for range 300 {
				sink = make([]byte, 1<<20)
				time.Sleep(5 * time.Millisecond)
			}
			if got := percent(); got != usual {
				t.Errorf("got %d %%, want %d", got, usual)
			}
		})
	}
}

// TestRest: memory is given back once after each busy time, if it is worth it, and twice more where
// somebody was at it still; a heap that has become larger for good is let be.
func TestRest(t *testing.T) {
	r := rest{kept: 1 << 20}
	looks := func(held uint64, busyBefore bool) (at []int) {
		if busyBefore && r.isOver(held, busy) {
			t.Error("it was given back while it was busy")
		}
		for i := 1; i <= 200; i++ {
			if r.isOver(held, busy-1) {
				at = append(at, i)
				r.gave(held)
			}
		}
		return at
	}
	for _, c := range []struct {
		held uint64
		busy bool
		want []int
	}{
		{100 << 20, false, nil}, // from the start
		{1<<20 + room, true, nil},
		{100 << 20, true, []int{5, 20, 80}},
		{100 << 20, true, nil}, // it is as large as that
		{100<<20 + room, true, nil},
		{101<<20 + room, true, []int{5, 20, 80}},
		{2 << 20, true, nil},
		{40 << 20, true, []int{5, 20, 80}}, // since it was small again
		{huge, true, nil},
	} {
		if got := looks(c.held, c.busy); !slices.Equal(got, c.want) {
			t.Errorf("%d bytes: given back after %v looks, want %v", c.held, got, c.want)
		}
	}
	looks(2<<20, true)
	r.isOver(100<<20, busy)
	given := 0
	for range 200 {
		if r.isOver(100<<20, 0) {
			given++
			r.gave(3 << 20)
		}
	}
	if given != 1 {
		t.Errorf("it was given back %d times, want once", given)
	}
}

// TestTendGivesBack: what was in use under load goes back to the system once nobody asks for
// anything, before Go's own collection, which comes after two minutes. It does so more than once.
func TestTendGivesBack(t *testing.T) {
	held := func() uint64 {
		var s state
		s.read()
		return s.held
	}
	stop := tend(500 * time.Millisecond)
	defer stop()
	before := held()
	for range 2 {
		for got := uint64(0); got < before+2*room; got = held() {
			sink = make([]byte, 3*room)
			clear(sink)
		}
		sink = nil
		end := time.Now().Add(time.Minute)
		for held() > before+room && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond)
		}
		if got := held(); got > before+room {
			t.Fatalf("the heap has %d bytes yet, of %d before", got, before)
		}
	}
}
