package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Go collects garbage when the heap is twice what is in use. A gateway has some 6 MB in use,
// so under load that is a hundred times a second, and a tenth of what a request costs. Here
// the heap may grow by heapRoom before that, or by heapMost of what is in use if that is
// less; what has more in use is collected as ever. An idle gateway takes no more memory for
// it: it makes no garbage.
const (
	heapRoom  = 32 << 20
	heapMost  = 400 // percent
	heapEvery = 2 * time.Second
)

// tendHeap sees to that until stop is called, unless the operator has said otherwise.
func tendHeap() (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(heapMost)
	end := make(chan struct{})
	var tending sync.WaitGroup
	tending.Go(func() {
		tick := time.NewTicker(heapEvery)
		defer tick.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for percent := heapMost; ; {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			metrics.Read(live)
			if now := gcPercent(live[0].Value.Uint64()); now < percent*9/10 || now > percent*10/9 || now != percent && (now == 100 || now == heapMost) {
				percent = now
				debug.SetGCPercent(now)
			}
		}
	})
	return func() {
		close(end)
		tending.Wait()
		debug.SetGCPercent(before)
	}
}

// gcPercent is GOGC for a heap of which so many bytes are in use.
func gcPercent(live uint64) int {
	return min(max(int(heapRoom*100/max(live, 1)), 100), heapMost)
}
