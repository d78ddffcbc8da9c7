package session

import (
	"context"
	"sync"
	"time"
)

// attendance holds one live connection to its session. A gateway has thousands of them, and
// next to nothing happens to each: so it is no goroutine that waits, but one that looks when
// there is something to look at.
type attendance struct {
	house context.Context // of whoever keeps the sessions
	left  func() bool     // the sessions are somebody else's, and the connection goes on without us
	// look says when to look again, or why the connection has to close.
	look func(ctx context.Context) (again time.Duration, why error)
	gone func() // is called once, when nobody looks any more

	ctx    context.Context // of the connection
	cancel context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	unhouse func() bool
	resting bool // nobody looks: that waits for wake
	anew    bool // something happened since somebody began to look
	over    bool
}

// join puts a among those of a session, which mu guards, until nobody looks any more; wg
// waits for that.
func (a *attendance) join(all *attendances, mu *sync.Mutex, wg *sync.WaitGroup) {
	wg.Add(1)
	mu.Lock()
	all.add(a)
	mu.Unlock()
	a.gone = func() {
		mu.Lock()
		delete(*all, a)
		mu.Unlock()
		wg.Done()
	}
}

// begin begins to look: now, when woken, and when look says. It ends with ctx, which is
// what begin returns, with the house, or when look says so.
func (a *attendance) begin(ctx context.Context) context.Context {
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.mu.Lock()
	a.unhouse = context.AfterFunc(a.house, a.wake)
	a.mu.Unlock()
	context.AfterFunc(a.ctx, a.wake)
	go a.run()
	return a.ctx
}

// wake looks as soon as may be, beside whoever calls it.
func (a *attendance) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.over:
	case !a.resting:
		a.anew = true
	default:
		a.resting = false
		go a.run()
	}
}

// run looks until there is nothing to do but to wait.
func (a *attendance) run() {
	for a.ctx.Err() == nil && a.house.Err() == nil {
		again, why := a.look(a.ctx)
		if why != nil {
			a.finish(why)
			return
		}
		if a.rest(again) {
			return
		}
	}
	a.finish(errSessionEnded)
}

// rest waits without a goroutine, unless something happened meanwhile.
func (a *attendance) rest(again time.Duration) (rests bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.anew {
		a.anew = false
		return false
	}
	a.resting = true
	if again = max(again, time.Millisecond); a.timer == nil {
		a.timer = time.AfterFunc(again, a.wake)
	} else {
		a.timer.Reset(again)
	}
	return true
}

// finish closes the connection, unless it goes on without us, and lets go of it.
func (a *attendance) finish(why error) {
	a.mu.Lock()
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
	a.unhouse()
	a.mu.Unlock()
	if !a.left() {
		a.cancel(why)
	}
	a.gone()
}

// attendances are those of one session; whoever has them guards them.
type attendances map[*attendance]struct{}

func (all *attendances) add(a *attendance) {
	if *all == nil {
		*all = attendances{}
	}
	(*all)[a] = struct{}{}
}

// wake has all of them look again.
func (all attendances) wake() {
	for a := range all {
		a.wake()
	}
}
