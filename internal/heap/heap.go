// Package heap has Go collect garbage less often while much is made of it.
//
// Go collects when the heap is twice what is in use. A gateway has some 6 MB in use, so under
// load that is a hundred times a second, and a tenth of what a request costs. Meanwhile the
// heap may grow by room before that, or by most of what is in use if that is less; what has
// more in use is collected as ever, and so is a gateway that is idle, whose memory others want:
// what it had need of before goes back to the system, which Go by itself does minutes later.
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
	// busy is how much is made of it in that time under load, in bytes. A look at one password
	// is that as well.
	busy = 8 << 20
	// After so many of these times without load, what was in use before is given back, if the heap has
	// grown by room since the last time. That takes a collection, which is not worth it where it is
	// as large as huge.
	calm = 5
	huge = 256 << 20
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
	return tend(every)
}

// tend is Tend for what is looked at so often.
func tend(every time.Duration) (stop func()) {
	end := make(chan struct{})
	var now state
	now.read()
	var tending sync.WaitGroup
	tending.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		made, percent := now.made, usual
		r := rest{kept: now.held}
		for {
			select {
			case <-end:
				if percent != usual {
					debug.SetGCPercent(usual)
				}
				return
			case <-tick.C:
			}
			now.read()
			lately := now.made - made
			made = now.made
			if next := percentFor(now.live, lately); worth(percent, next) {
				percent = next
				debug.SetGCPercent(percent)
			}
			if r.isOver(now.held, lately) {
				debug.FreeOSMemory()
				now.read()
				r.gave(now.held)
			}
		}
	})
	return func() {
		close(end)
		tending.Wait()
	}
}

// rest is a time without load.
type rest struct {
	kept  uint64 // what the heap had when it was given back last
	quiet int    // how long it lasts, in looks
	next  int    // when it is given back; zero is never, as before the first load
	tries int    // how often that was less than hoped for
}

// isOver reports whether it has lasted for long enough to give back what was in use before it.
func (r *rest) isOver(held, lately uint64) bool {
	r.kept = min(r.kept, held)
	if lately >= busy {
		r.quiet, r.next, r.tries = 0, calm, 0
		return false
	}
	r.quiet++
	return r.quiet == r.next && held > r.kept+room && held < huge
}

// gave notes what the heap has afterwards. Somebody may have been at it still, so that is tried
// twice more, four times as long after.
func (r *rest) gave(held uint64) {
	if r.tries++; held > r.kept+room && r.tries < 3 {
		r.next *= 4
		return
	}
	r.kept = held
}

// state is that of the heap, in bytes.
type state struct {
	live uint64 // in use when it was collected last
	made uint64 // since the start
	held uint64 // what the system has given for it, and has not got back

	samples [4]metrics.Sample
}

func (s *state) read() {
	for i, name := range [...]string{"/gc/heap/live:bytes", "/gc/heap/allocs:bytes", "/memory/classes/heap/objects:bytes", "/memory/classes/heap/free:bytes"} {
		s.samples[i].Name = name
	}
	metrics.Read(s.samples[:])
	value := func(i int) uint64 { return s.samples[i].Value.Uint64() }
	s.live, s.made = value(0), value(1)
	s.held = value(2) + value(3)
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
