package session

import (
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// suspected is that of a Manager. mu is held.
func (s *Stateless) suspected(k *kept) error {
	if k.trail.Suspect == "" || k.hot == nil || s.set().Risks.of(k.trail.Suspect) != StepUp {
		return nil
	}
	if !k.retired.IsZero() {
		return &auth.Absent{Reason: auth.Ended}
	}
	return signInAgain(k.hot.Login.login())
}

// suspect looks at a request that does not come from where the one before it came from, or
// whose session has to be signed in again. What it finds lies in memory, and in the cookies
// from the next answer on.
func (s *Stateless) suspect(r *http.Request, k *kept) error {
	here := spotOf(r)
	found, of, end, err := s.meet(k, &here, s.cfg.Now())
	switch ctx := r.Context(); {
	case end != nil:
		tellEnd(ctx, s.tell, of, found)
		s.revokeThere(end, k.key)
	default:
		tellSignals(ctx, s.tell, of, found)
	}
	return err
}

// meet notes from where a request comes, and acts on the signals that it gives. End is the login
// of a session that ended by it.
func (s *Stateless) meet(k *kept, here *spot, now time.Time) (found []signal, of event.Event, end *auth.Login, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := s.suspected(k); err != nil {
		return nil, of, nil, err
	}
	risks := &s.set().Risks
	if *risks == (Risks{}) || k.hot == nil || !k.retired.IsZero() {
		return nil, of, nil, nil
	}
	of = about("", k.key, &k.hot.Login.Identity)
	walk, beside := k.walk.Load().to(*here, now)
	var after trail
	after, found = k.trail.met(&k.from, here, beside, risks)
	if len(found) > 0 && worst(found).action == Revoke {
		of.Name, end = event.SessionRevoked, k.hot.Login.login()
		k.end(revokedFor(found), every)
		return found, of, end, k.absent()
	}
	k.walk.Store(walk)
	if !after.same(k.trail) {
		k.trail = after
		s.takeAlong(k)
	}
	return found, of, nil, s.suspected(k)
}

// takeAlong has the cookies of the session say what its trail is. Where they have no room for it
// the process alone remembers. mu is held.
func (s *Stateless) takeAlong(k *kept) {
	if k.hot == nil || k.hot.Trail.same(k.trail) {
		return
	}
	before, generation, token := k.hot, k.generation, k.token
	p := before.payload
	p.From, p.Trail = k.from, k.trail
	if s.change(k, p) != nil {
		k.hot, k.generation, k.token = before, generation, token
	}
}

// recall takes in what a cookie says of where its session was used from. mu is held.
func (k *kept) recall(p *payload) {
	if k.from == (origin{}) {
		k.from = p.From
	}
	k.trail = k.trail.merged(p.Trail)
}
