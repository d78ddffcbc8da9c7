package proxy

import (
	"context"
	"mime"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// attendAfter is how long a response of unknown length may run before it counts
// as long-lived. Event streams and WebSockets count at once.
const attendAfter = time.Second

// watch sees to it that a response which lives long obeys its session.
func (c *carriage) watch(res *http.Response) {
	if c.login == nil || c.in.Method == http.MethodHead {
		return
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		c.attend()
	case res.ContentLength < 0:
		c.mu.Lock()
		c.timer = time.AfterFunc(attendAfter, c.attend)
		c.mu.Unlock()
	}
}

// attend ties the rest of the response to the session: when that ends, or its
// person may no longer pass, the request upstream is cancelled, and with it both
// connections close.
func (c *carriage) attend() {
	if c.login == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	if c.login.Session == nil {
		c.attendToken()
		return
	}
	attended, activity := c.login.Session.Attend(c.in.Context(), func(login *auth.Login) error {
		if c.route.Policy.Public {
			return nil
		}
		return c.route.Policy.Allow(&login.Identity)
	})
	c.activity = activity
	c.ending.Add(1)
	c.stop = context.AfterFunc(attended, c.sessionEnded)
}

// attendToken ties the rest of the response to a client's own token, which ends
// when it says. mu is held.
func (c *carriage) attendToken() {
	if c.login.AccessToken.Expires.IsZero() {
		return
	}
	ctx, cancel := context.WithDeadline(c.in.Context(), c.login.AccessToken.Expires)
	context.AfterFunc(c.in.Context(), cancel)
	c.ending.Add(1)
	c.stop = context.AfterFunc(ctx, c.sessionEnded)
}

func (c *carriage) sessionEnded() {
	defer c.ending.Done()
	if c.in.Context().Err() == nil {
		web.NoteOf(c.in.Context()).Ended.Store(true)
		c.mu.Lock()
		t := c.tunnel
		c.mu.Unlock()
		if t != nil {
			t.close()
		}
	}
	c.cancel()
}
