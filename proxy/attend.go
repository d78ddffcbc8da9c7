package proxy

import (
	"context"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// attendAfter is how long a response of unknown length may run before it counts
// as long-lived. Event streams and WebSockets count at once.
const attendAfter = time.Second

// watch sees to it that a response which lives long obeys its session and the rules.
func (c *carriage) watch(res *http.Response) {
	if c.in.Method == http.MethodHead {
		return
	}
	switch {
	case isEventStream(res.Header):
		c.endless = true
		c.attend()
	case res.ContentLength < 0:
		c.mu.Lock()
		c.timer = time.AfterFunc(attendAfter, c.attend)
		c.mu.Unlock()
	}
}

// isEventStream reports whether an answer is one (WHATWG HTML, server-sent events).
func isEventStream(h http.Header) bool {
	const stream = "text/event-stream"
	kind := h.Get("Content-Type")
	if len(kind) < len(stream) || !strings.EqualFold(kind[:len(stream)], stream) {
		return false // most are; the rest is read with care
	}
	kind, _, _ = mime.ParseMediaType(kind)
	return kind == stream
}

// watchUpload ties a body that takes long to arrive to its session: without an answer there is
// nothing else that would end with it. A gateway that goes down lets it arrive.
func (c *carriage) watchUpload() {
	if c.in.ContentLength == 0 || c.login == nil || c.login.Session == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uploading = time.AfterFunc(attendAfter, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.done || c.attended || c.stop != nil {
			return
		}
		attended, _ := c.login.Session.Attend(c.in.Context(), c.mayStill)
		c.endWith(attended)
	})
}

// attend ties the rest of the response to the session: when that ends, or its
// person may no longer pass, the request upstream is cancelled, and with it both
// connections close. Where nobody is signed in it is tied to the rules alone.
func (c *carriage) attend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	if c.stop != nil && c.stop() { // of the body that it was sent
		c.ending.Done()
	}
	c.stop = nil
	c.attended = true
	if c.streams.enter(c) {
		c.ending.Add(1)
		go c.endStream(goingDown)
		return
	}
	if c.login == nil || c.login.Session == nil {
		if c.mayStill(c.login) != nil { // the rules changed while the answer began
			c.ending.Add(1)
			go c.endStream(sessionOver)
		} else if c.login != nil {
			c.attendToken()
		}
		return
	}
	attended, activity := c.login.Session.Attend(c.in.Context(), c.mayStill)
	c.activity = activity
	c.endWith(attended)
}

// attendToken ties the rest of the response to a client's own token, which ends
// when it says. mu is held.
func (c *carriage) attendToken() {
	if c.login.AccessToken.Expires.IsZero() {
		return
	}
	ctx, cancel := context.WithDeadline(c.in.Context(), c.login.AccessToken.Expires)
	context.AfterFunc(c.in.Context(), cancel)
	c.endWith(ctx)
}

// endWith ends what goes on once ctx does. mu is held.
func (c *carriage) endWith(ctx context.Context) {
	c.ending.Add(1)
	c.stop = context.AfterFunc(ctx, func() { c.endStream(sessionOver) })
}

func (c *carriage) endStream(why ending) {
	defer c.ending.Done()
	if c.in.Context().Err() == nil {
		if note := web.NoteOf(c.in.Context()); why.down {
			note.Down.Store(true)
		} else {
			note.Ended.Store(true)
		}
		c.mu.Lock()
		t := c.tunnel
		c.mu.Unlock()
		if t != nil {
			t.close(why)
		}
	}
	c.hangUp()
}
