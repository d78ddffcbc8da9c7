package oidc

import (
	"context"
	"errors"
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
	closed bool
	failed int
	retry  time.Time // not before
	err    error     // why the last fetch failed
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

// lastError is why the last fetch failed, or nil if it did not.
func (c *cache[T]) lastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// get returns the value, waiting for it only where there is none yet.
func (c *cache[T]) get(ctx context.Context, m *Method, fetch func(context.Context) (*T, time.Duration, error)) (*T, error) {
	d := c.good.Load()
	if d != nil && m.cfg.Now().Before(d.until) {
		return d.value, nil
	}
	f := c.start(m, fetch)
	if d != nil {
		return d.value, nil
	}
	return c.wait(ctx, f)
}

// renew returns something newer than seen where there is such a thing: what came
// meanwhile, what is on its way, or what a fetch brings that allow lets be made.
func (c *cache[T]) renew(ctx context.Context, m *Method, fetch func(context.Context) (*T, time.Duration, error), seen *T, allow func() bool) (*T, error) {
	c.mu.Lock()
	if v := c.last(); v != seen {
		c.mu.Unlock()
		return v, nil
	}
	f := c.flight
	if f == nil && !c.closed && allow() {
		f = c.launch(m, fetch)
	}
	c.mu.Unlock()
	return c.wait(ctx, f)
}

// fresh is get for what must not be believed for longer than it may be kept: it
// waits a moment for what is due for a refresh.
func (c *cache[T]) fresh(ctx context.Context, m *Method, fetch func(context.Context) (*T, time.Duration, error)) (*T, error) {
	if d := c.good.Load(); d == nil || m.cfg.Now().Before(d.until) {
		return c.get(ctx, m, fetch)
	}
	ctx, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	if v, err := c.wait(ctx, c.start(m, fetch)); err == nil {
		return v, nil
	}
	return c.last(), nil
}

// staleWait bounds the wait for something newer than what is at hand.
const staleWait = 2 * time.Second

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
	if err := c.lastError(); err != nil {
		return nil, err
	}
	return nil, errClosed
}

var errClosed = errors.New("this provider is not used any more: the configuration has changed, or the gateway is going down")

// start begins a fetch or joins the one under way. It returns nil while the last
// failure asks to wait.
func (c *cache[T]) start(m *Method, fetch func(context.Context) (*T, time.Duration, error)) *fetching {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flight != nil:
		return c.flight
	case c.closed, m.cfg.Now().Before(c.retry):
		return nil
	}
	return c.launch(m, fetch)
}

// close lets no more fetches begin.
func (c *cache[T]) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// launch begins a fetch. mu is held.
func (c *cache[T]) launch(m *Method, fetch func(context.Context) (*T, time.Duration, error)) *fetching {
	f := &fetching{done: make(chan struct{})}
	c.flight = f
	// Whoever asked may go away; others wait for the same.
	m.wg.Go(func() {
		value, age, err := fetch(m.ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flight, c.err = nil, err
		if err != nil {
			wait := min(time.Second<<min(c.failed, 5), 30*time.Second)
			if e, ok := errors.AsType[*Error](err); ok {
				wait = max(wait, e.retryAfter)
			}
			c.retry = m.cfg.Now().Add(wait)
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
