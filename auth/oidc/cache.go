package oidc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// cache keeps the last good value of something that the provider publishes. A
// value that is due for a refresh is served while that runs beside; a refresh
// that fails leaves it in place.
type cache[T any] struct {
	good atomic.Pointer[dated[T]]

	mu     sync.Mutex // guards the rest
	flight *fetching
	failed int
	retry  time.Time // not before
	err    error     // why the last fetch failed
	over   bool      // nothing is fetched any more
}

type dated[T any] struct {
	value *T
	until time.Time
}

// fetching is one fetch that is under way.
type fetching struct{ done chan struct{} }

// last is the last good value, however old, or nil.
func (c *cache[T]) last() *T {
	if d := c.good.Load(); d != nil {
		return d.value
	}
	return nil
}

// get returns the value, waiting for it only where there is none yet.
func (c *cache[T]) get(ctx context.Context, m *Method, fetch func(context.Context) (*T, time.Duration, error)) (*T, error) {
	d := c.good.Load()
	if d != nil && m.cfg.Now().Before(d.until) {
		return d.value, nil
	}
	f := c.start(m, fetch, false)
	if d != nil {
		return d.value, nil
	}
	return c.wait(ctx, f)
}

// renew fetches anew and waits for that, whatever is at hand.
func (c *cache[T]) renew(ctx context.Context, m *Method, fetch func(context.Context) (*T, time.Duration, error)) (*T, error) {
	return c.wait(ctx, c.start(m, fetch, true))
}

func (c *cache[T]) wait(ctx context.Context, f *fetching) (*T, error) {
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if v := c.last(); v != nil {
		return v, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return nil, c.err
}

// end lets no fetch begin any more.
func (c *cache[T]) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
}

// start begins a fetch or joins the one under way. It returns nil while the last
// failure asks to wait.
func (c *cache[T]) start(m *Method, fetch func(context.Context) (*T, time.Duration, error), now bool) *fetching {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flight != nil:
		return c.flight
	case c.over, !now && m.cfg.Now().Before(c.retry):
		return nil
	}
	f := &fetching{done: make(chan struct{})}
	c.flight = f
	// Whoever asked may go away; others wait for the same.
	m.wg.Go(func() {
		value, age, err := fetch(m.ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flight, c.err = nil, err
		if err != nil {
			c.retry = m.cfg.Now().Add(min(time.Second<<min(c.failed, 5), 30*time.Second))
			c.failed++
		} else {
			c.failed, c.retry = 0, time.Time{}
			c.good.Store(&dated[T]{value, m.cfg.Now().Add(age)})
		}
		close(f.done)
	})
	return f
}

// limiter lets so many pass at once, and then one in every so often.
type limiter struct {
	every time.Duration
	burst int

	mu   sync.Mutex // guards the rest
	left float64
	at   time.Time
}

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() {
		l.left = float64(l.burst)
	} else {
		l.left = min(float64(l.burst), l.left+max(now.Sub(l.at), 0).Seconds()/l.every.Seconds())
	}
	l.at = now
	if l.left < 1 {
		return false
	}
	l.left--
	return true
}
