package dashboard

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// look is something that takes a while to find out. It is looked at again while somebody
// watches, by one at a time, and nobody waits long for it: what was seen last is shown.
type look[T any] struct {
	find func(ctx context.Context) T
	// every is how old what was seen may become. A look that takes long is taken less often.
	every time.Duration
	// most is how long it may take; zero means lookTime.
	most time.Duration

	mu   sync.Mutex // guards what follows
	seen T
	at   time.Time // zero: never
	next time.Time
	busy chan struct{} // closed when the look under way is over; nil is none
}

const (
	lookPatience = 300 * time.Millisecond
	lookTime     = 10 * time.Second
	lookShare    = 20 // a look may take a twentieth of the time
)

// get returns what was seen last, and when.
func (l *look[T]) get(ctx context.Context, wg *sync.WaitGroup) (T, time.Time) {
	l.mu.Lock()
	if l.busy == nil && !time.Now().Before(l.next) && ctx.Err() == nil {
		busy := make(chan struct{})
		l.busy = busy
		wg.Go(func() {
			defer close(busy)
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(l.most, lookTime))
			defer cancel()
			began := time.Now()
			seen := l.find(ctx)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.seen, l.at, l.busy = seen, time.Now(), nil
			l.next = l.at.Add(max(l.every, lookShare*l.at.Sub(began)))
		})
	}
	busy := l.busy
	l.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-time.After(lookPatience):
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen, l.at
}
