// Package heap has Go collect garbage less often while much is made of it.
//
// Go collects when the heap is twice what is in use. A gateway has some 6 MB in use, so under
// load that is a hundred times a second, and a tenth of what a request costs. Meanwhile the
// heap may grow by room before that, or by most of what is in use if that is less; what has
// more in use is collected as ever, and so is a gateway that is idle, whose memory others want.
package heap

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	room  = 32 << 20
	most  = 400 // percent
	usual = 100 // Go's own
	every = time.Second
	// busy is how much is made of it in that time under load, in bytes.
	busy = 8 << 20
)

// Settle gives back to the system what a start needed alone: texts and rules before they were parsed,
// and what it ran through once. It takes some milliseconds.
func Settle() {
	debug.FreeOSMemory()
	forgetStart()
}

// Tend sees to that until stop is called, unless the operator has said otherwise by GOGC or
// GOMEMLIMIT.
func Tend() (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	end := make(chan struct{})
	var tending sync.WaitGroup
	tending.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
		metrics.Read(samples)
		made, percent := samples[1].Value.Uint64(), usual
		for {
			select {
			case <-end:
				if percent != usual {
					debug.SetGCPercent(usual)
				}
				return
			case <-tick.C:
			}
			metrics.Read(samples)
			before := made
			made = samples[1].Value.Uint64()
			if next := percentFor(samples[0].Value.Uint64(), made-before); worth(percent, next) {
				percent = next
				debug.SetGCPercent(percent)
			}
		}
	})
	return func() {
		close(end)
		tending.Wait()
	}
}

// percentFor is GOGC for a heap of which live bytes are in use, where so many were made lately.
func percentFor(live, made uint64) int {
	if made < busy {
		return usual
	}
	return min(max(int(room*100/max(live, 1)), usual), most)
}

// worth reports whether another setting makes a difference: each stops the program for a moment.
func worth(now, next int) bool {
	return next != now && (next == usual || next == most || next < now*9/10 || next > now*10/9)
}
