package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// queueTime bounds how long a request waits for a target that has all the
// requests it may have.
const queueTime = 5 * time.Second

// errNoOther reports that every target that could be used was tried.
var errNoOther = errors.New("there is no other target")

// RoundTrip implements http.RoundTripper: it sends a request to one of the
// targets, and to another if it never got anywhere.
func (u *Upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	c := carriageOf(req)
	if u.direct {
		try, res, err := u.targets[0].ask(req, c)
		u.judge(req.Context(), u.targets[0], c, try, res, err)
		return res, err
	}
	var tried []*target
	var failed error // what became of it at the last one
	for {
		t := c.slot // its place is kept where it goes once more with a new token
		if t == nil || failed != nil {
			c.leave()
			var err error
			if t, err = u.take(req.Context(), u.stickyKey(c), tried); err != nil {
				if failed != nil {
					return nil, failed
				}
				return nil, err
			}
		}
		c.slot, c.note.Target = t, t.name
		try, res, err := t.ask(req, c)
		u.judge(req.Context(), t, c, try, res, err)
		if more := len(tried) < u.options.Retries && len(tried)+1 < len(u.targets); err == nil || !more || !try.mayGoOn(req, c, err) {
			return res, err
		}
		if req = again(req); req == nil {
			return nil, err
		}
		u.log.Debug("a request got no answer and goes to another target", "request_id", c.note.ID, "route", c.route.label,
			"upstream", t.name, "err", err)
		tried, failed = append(tried, t), err
	}
}

// stickyKey is what a request is tied to its target by: the public name of its
// session, which is the same for every cookie that the session ever has.
func (u *Upstream) stickyKey(c *carriage) string {
	if u.options.Sticky && c.login != nil && c.login.Session != nil {
		return c.login.Session.ID()
	}
	return ""
}

// waiter is a request that waits for a target to have room.
type waiter struct {
	key   string    // that it is tied to its target by, or ""
	tried []*target // those that it was at
	given chan *target
}

// take chooses a target and counts the request among those under way there,
// waiting a moment where all have as many as they may. The request lets go of it
// by release.
func (u *Upstream) take(ctx context.Context, key string, tried []*target) (*target, error) {
	u.mu.Lock()
	t, full := u.choose(time.Now(), key, tried)
	switch {
	case t == nil:
		u.mu.Unlock()
		return nil, errNoOther
	case !full:
		t.busy++
		u.mu.Unlock()
		return t, nil
	}
	w := &waiter{key: key, tried: tried, given: make(chan *target, 1)}
	u.waiters = append(u.waiters, w)
	u.mu.Unlock()

	timer := time.NewTimer(orDefault(u.options.QueueTime, queueTime))
	defer timer.Stop()
	var err error
	select {
	case t := <-w.given:
		return t, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = &web.Error{Status: http.StatusServiceUnavailable, Code: "upstream_busy", Title: "The app is busy",
			Detail:     "The app behind this address has as much to do as it may be given. Try again in a moment.",
			RetryAfter: queueTime, Err: errors.New("upstream " + t.name + ": as many requests are under way as its connections allow")}
	}
	u.mu.Lock()
	i := slices.Index(u.waiters, w)
	if i >= 0 {
		u.waiters = slices.Delete(u.waiters, i, i+1)
	}
	u.mu.Unlock()
	if i < 0 { // it was given one in this very moment
		u.release(<-w.given)
	}
	return nil, err
}

// release lets go of what take took. Whoever has waited longest gets it.
func (u *Upstream) release(t *target) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t.busy--
	u.admit()
}

// admit lets in who waits and can be served now: something has got room, or a target
// went or came back. The mutex is held.
func (u *Upstream) admit() {
	now := time.Now()
	u.waiters = slices.DeleteFunc(u.waiters, func(w *waiter) bool {
		t, full := u.choose(now, w.key, w.tried)
		if t == nil || full {
			return false
		}
		t.busy++
		w.given <- t
		return true
	})
}
