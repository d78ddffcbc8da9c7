package proxy

import (
	"errors"
	"sync"
	"time"
)

var (
	// errStalled reports a client that sends nothing more of a body, or takes nothing
	// more of an answer, and keeps a place at the target for that.
	errStalled = errors.New("the client let the transfer stand still")
	// errNotTaken reports a target that does not take the body that is there for it.
	errNotTaken = errors.New("the body of the request was not taken in time")
)

// stall bounds how long one thing may be waited for at a time. Whoever waits says
// begin before and end after it. The zero value bounds nothing.
type stall struct {
	most time.Duration
	cut  cutter // frees whoever waits; it is called once at most

	mu    sync.Mutex // guards what follows, and is held while cut runs
	since time.Time  // zero: nobody waits
	timer *time.Timer
	armed bool
	over  bool // it was cut, or is not watched any more
	hit   bool // it was cut
}

func (s *stall) begin() {
	if s.most <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.since = time.Now()
	switch {
	case s.armed:
	case s.timer == nil:
		s.timer = time.AfterFunc(s.most, s.look)
	default:
		s.timer.Reset(s.most)
	}
	s.armed = true
}

func (s *stall) end() {
	if s.most <= 0 {
		return
	}
	s.mu.Lock()
	s.since = time.Time{}
	s.mu.Unlock()
}

// look runs when a wait may have been too long. Most have ended by then.
func (s *stall) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.since.IsZero() {
		s.armed = false
		return
	}
	if left := s.most - time.Since(s.since); left > 0 {
		s.timer.Reset(left)
		return
	}
	s.over, s.hit = true, true
	s.cut.cut()
}

// close ends the watch, and waits for a cut that is under way. It reports whether
// there was one.
func (s *stall) close() (hit bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
	return s.hit
}

// watchStalls bounds how long this request may hold its place at the target without
// moving: how long the client sends nothing of a body or takes nothing of an answer,
// and how long the target leaves a body lying before it answers. An answer that has
// nothing to say for a while is not bound, and neither is the body of a stream, whose
// client speaks when it has something to say.
func (c *carriage) watchStalls(client time.Duration) {
	c.down.most, c.down.cut = client, cutDown{c}
	if c.in.ContentLength == 0 || isStream(c.in.Header) {
		return
	}
	c.sent.most, c.sent.cut = client, cutSent{c}
	c.taken.most, c.taken.cut = c.route.Upstream.headerTimeout(), cutTaken{c}
}

// cutter is what a stall does in the end. These are pointers to the carriage, which costs
// nothing for the requests that never stall.
type cutter interface{ cut() }

// cutBy is any other end.
type cutBy func()

func (f cutBy) cut() { f() }

type (
	cutDown  struct{ c *carriage }
	cutSent  struct{ c *carriage }
	cutTaken struct{ c *carriage }
)

var past = time.Unix(1, 0)

func (s cutDown) cut()  { _ = s.c.controller().SetWriteDeadline(past) }
func (s cutSent) cut()  { _ = s.c.controller().SetReadDeadline(past) }
func (s cutTaken) cut() { s.c.hangUp() }

// answered ends what is watched until an answer begins.
func (c *carriage) answered() {
	c.sent.close()
	c.taken.close()
}
