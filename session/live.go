package session

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
)

// live implements auth.Session for one request.
type live struct {
	m    *Manager
	e    *entry
	h    handle
	host string
	away bool // the store was out of reach: nothing is handed out
}

// ID implements auth.Session.
func (s *live) ID() string { return s.e.name }

// Times implements auth.Session.
func (s *live) Times() auth.Times {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	st, skew := s.e.at.state, s.e.at.skew
	if st == nil {
		return auth.Times{}
	}
	return auth.Times{
		Ends:     s.m.ends(st).Add(-skew),
		IdleEnds: s.e.seen.Add(s.m.set().IdleTimeout).Add(-skew),
		Renews:   s.m.renewsAt(s.e.key, s.e.stored()),

		Remembered: st.Remember,
	}
}

// current is s by what is known now: its entry may have been forgotten while the request
// was under way.
func (s *live) current() *live {
	s.e.mu.Lock()
	forgotten := s.e.forgotten
	s.e.mu.Unlock()
	if !forgotten {
		return s
	}
	now := *s
	now.e = s.m.adopt(s.e)
	return &now
}

// Bound implements auth.Session.
func (s *live) Bound() bool {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.e.at.state != nil && s.e.at.state.Bound[s.host].Key != ""
}

// Unconfirmed implements auth.Session.
func (s *live) Unconfirmed() bool {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	st := s.e.at.state
	if st != nil && st.Home == s.host {
		return false // as on most hosts
	}
	return st != nil && st.unconfirmed(s.host, s.m.cfg.Now().Add(s.e.at.skew), s.m.cfg.confirmAt)
}

// Due implements auth.Session.
func (s *live) Due() bool {
	s.e.mu.Lock()
	st, skew := s.e.at.state, s.e.at.skew
	s.e.mu.Unlock()
	if s.away || st == nil || st.Retired || s.m.unrest() > 0 {
		return false
	}
	use := Use{Generation: s.h.generation, Child: s.h.child}
	return st.Families[s.host].Due(use, s.m.cfg.Now().Add(skew), s.m.rules(st))
}

// Deliver implements auth.Session.
func (s *live) Deliver(ctx context.Context, header http.Header) {
	use := Use{Generation: s.h.generation, Child: s.h.child, Fetch: auth.IsFetch(ctx)}
	s.e.mu.Lock()
	known := s.e.at.state
	s.e.mu.Unlock()
	if known == nil || !known.Families[s.host].isParent(use) {
		return // the usual case costs no look at the store
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for range maxTries {
		l, err := s.m.load(ctx, s.h)
		if err != nil || l.state.Retired || s.m.unrest() > 0 {
			return // ended, replaced by a newer sign-in, or not now: the parent goes on working
		}
		fam, changed, ok := l.state.Families[s.host].Deliver(use, l.now, s.m.rules(l.state))
		if !ok {
			return
		}
		if changed {
			if _, err := s.m.save(ctx, l, l.state.withFamily(s.host, fam)); errors.Is(err, ErrConflict) {
				continue
			} else if err != nil {
				return
			}
		}
		child := s.h
		child.generation, child.child = fam.Generation, newChild()
		cookie, err := s.m.handleCookie(child, s.host, l.state, l.now)
		if err != nil {
			s.m.cfg.Log.ErrorContext(ctx, "a handle could not be sealed", "session", s.ID(), "err", err)
			return
		}
		header.Add("Set-Cookie", cookie.String())
		return
	}
}

var (
	errSessionEnded = errors.New("the session has ended")
	errNotAllowed   = errors.New("the session may not use this route any more")
	errSuspected    = errors.New("the session has to be signed in again")
)

// Attend implements auth.Session. What attends ends with ctx, and with the Manager.
func (s *live) Attend(ctx context.Context, allowed func(*auth.Login) error) (context.Context, func()) {
	if s.m.left.Load() {
		return ctx, func() {}
	}
	s = s.current()
	a := &attendance{house: s.m.ctx, left: s.m.left.Load}
	a.look = func(ctx context.Context) (time.Duration, error) { return s.look(ctx, allowed) }
	a.join(&s.e.streams, &s.e.mu, &s.m.wg)
	s.e.watch(s.m.cfg.Store)
	return a.begin(ctx), s.activity
}

// refresh looks at the store where it may know something newer, once for all streams.
func (s *live) refresh(ctx context.Context) {
	if s.e.takeUnsure() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		s.m.reload(ctx, s.e)
	}
}

func (s *live) activity() {
	s.e.mu.Lock()
	now := s.m.cfg.Now().Add(s.e.at.skew)
	s.e.mu.Unlock()
	s.e.use(now)
}

// look says why a stream has to close, or in how long to look again if nothing happens to
// the session until then.
func (s *live) look(ctx context.Context, allowed func(*auth.Login) error) (again time.Duration, why error) {
	s.refresh(ctx)
	s.e.mu.Lock()
	ended, at, stored := s.e.ended, s.e.at, s.e.stored()
	retryAt := s.e.trouble[""].retryAt
	s.e.mu.Unlock()
	if ended != "" {
		return 0, errSessionEnded
	}
	login := stored.login()
	l := loaded{version: at, entry: s.e, now: s.m.cfg.Now().Add(at.skew)}
	if err := s.stillStands(ctx, &l, login); err != nil {
		return 0, err
	}
	if s.m.suspected(at.state) != nil {
		return 0, errSuspected
	}
	if err := allowed(login); err != nil {
		return 0, errNotAllowed
	}
	idleEnds := l.lastSeen(s.m).Add(s.m.set().IdleTimeout)
	again = earlier(s.m.ends(at.state), idleEnds).Sub(l.now)
	switch now := s.m.cfg.Now(); {
	case !stored.renewable():
	case s.m.due(s.e.key, stored.storedToken, now):
		s.m.renew(ctx, s.e, s.h, "", "", false)
		again = min(again, max(retryAt.Sub(now), time.Second))
	default:
		again = min(again, s.m.renewsAt(s.e.key, stored).Sub(now))
	}
	return again, nil
}

func (s *live) stillStands(ctx context.Context, l *loaded, login *auth.Login) error {
	if s.m.over(l) == "" && s.m.check(login) == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	_ = s.m.stands(ctx, l) // ends it, and says why in the log
	return errSessionEnded
}
