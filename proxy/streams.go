package proxy

import (
	"errors"
	"sync"

	"github.com/evergate/evergate/auth"
)

// Streams are the answers that go on: WebSockets, event streams, and others that have
// run for a while. Gates that take each other's place share it, so that a stream which
// began under one is held to the rules of the next. The zero value is ready.
//
// A stream goes on with the upstream that it began with. Whether its person may have
// it is asked of the route that its address leads to now; where none does any more it
// keeps the rule that it began with.
type Streams struct {
	mu   sync.Mutex // guards what follows
	gate *Gate      // in force; nil is the one that each began under
	open map[*carriage]bool
	over bool // the gateway goes down
}

// Follow puts the rules of g in force, and asks again about streams that have no
// session behind them. The sessions have to ask about theirs: session.Manager's
// Recheck does.
func (s *Streams) Follow(g *Gate) {
	s.mu.Lock()
	s.gate = g
	all := s.list()
	s.mu.Unlock()
	for _, c := range all {
		if (c.login == nil || c.login.Session == nil) && c.mayStill(c.login) != nil {
			c.cut(sessionOver)
		}
	}
}

// End ends WebSockets and event streams, and those that begin from now on: their
// clients come again, to a gateway that stays. Other answers have an end of their own.
func (s *Streams) End() {
	s.mu.Lock()
	s.over = true
	all := s.list()
	s.mu.Unlock()
	for _, c := range all {
		if c.endless {
			c.cut(goingDown)
		}
	}
}

// Len is how many there are.
func (s *Streams) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// list is for whoever holds mu.
func (s *Streams) list() []*carriage {
	all := make([]*carriage, 0, len(s.open))
	for c := range s.open {
		all = append(all, c)
	}
	return all
}

// enter notes that c goes on. It reports whether c has to end at once.
func (s *Streams) enter(c *carriage) (over bool) {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*carriage]bool{}
	}
	s.open[c] = true
	return s.over && c.endless
}

func (s *Streams) leave(c *carriage) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *Streams) current() *Gate {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate
}

var errNobody = errors.New("nobody is signed in")

// mayStill says whether login may go on with c, by the rules in force.
func (c *carriage) mayStill(login *auth.Login) error {
	of := c.route
	name, _, _ := cleanHost(c.in.Host)
	if g := c.streams.current(); g != nil {
		if route, err := g.route(name, c.target, c.in.Method); err == nil {
			of = route
		}
	}
	policy := &of.Policy
	if login != nil && c.asksMoreOfDevice(of) {
		return errUnbound
	}
	if login == nil && !policy.Public {
		return errNobody
	}
	if !policy.Asks() {
		return nil
	}
	var q auth.Question
	c.gate.question(&q, policy, c.in, name, c.target)
	q.Ask(login)
	_, _, err := verdict(policy, &q)
	return err
}

// ending is why the gateway ends a stream, and the close code that a WebSocket gets
// (RFC 6455 section 7.4.2).
type ending struct {
	code   uint16
	reason string
	down   bool // the gateway goes down, and nobody lost anything
}

var (
	sessionOver = ending{code: CloseSessionEnded, reason: "session ended"}
	goingDown   = ending{code: CloseRestart, reason: "come again", down: true}
)

// cut ends a stream beside whoever asks for it; c.end waits for that.
func (c *carriage) cut(why ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || c.in.Context().Err() != nil {
		return
	}
	c.ending.Add(1)
	go c.endStream(why)
}
