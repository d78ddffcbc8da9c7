package main

import (
	"runtime/debug"
	"testing"
)

// TestHeapRoom: a small heap may grow by four times what is in use, a larger one by 32 MiB,
// and what is larger still is collected as Go does by itself.
func TestHeapRoom(t *testing.T) {
	for _, c := range []struct {
		live    uint64
		percent int
	}{{0, 400}, {1 << 20, 400}, {8 << 20, 400}, {16 << 20, 200}, {32 << 20, 100}, {1 << 30, 100}} {
		if got := gcPercent(c.live); got != c.percent {
			t.Errorf("%d bytes: got %d %%, want %d", c.live, got, c.percent)
		}
	}
}

// TestHeapIsTheOperators where they have said how it is collected, and as it was afterwards.
func TestHeapIsTheOperators(t *testing.T) {
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	before := percent()
	for name, value := range map[string]string{"GOGC": "50", "GOMEMLIMIT": "64MiB"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			stop := tendHeap()
			defer stop()
			if got := percent(); got != before {
				t.Errorf("got %d %%, want %d", got, before)
			}
		})
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	stop := tendHeap()
	if got := percent(); got != heapMost {
		t.Errorf("got %d %%, want %d", got, heapMost)
	}
	if stop(); percent() != before {
		t.Errorf("afterwards got %d %%, want %d", percent(), before)
	}
}
