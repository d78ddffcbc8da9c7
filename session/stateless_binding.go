package session

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Binding implements auth.Bindings.
func (s *Stateless) Binding(r *http.Request) (auth.Binding, error) {
	k, _, _, err := s.behind(r)
	if err != nil {
		return auth.Binding{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return s.proofs.shown(k.bound), nil
}

// behind is the session whose cookies r brings, which need not have proven anything. Nothing
// is renewed by it, and the idle clock stands: browsers come by themselves.
func (s *Stateless) behind(r *http.Request) (k *kept, c cookieSet, host string, err error) {
	host = hostOf(r)
	if c, err = s.read(r, host); err != nil {
		return nil, c, host, err
	}
	k = s.session(c.key)
	if err = s.enter(k, &c); err == nil {
		err = s.stands(r.Context(), k)
	}
	if err != nil {
		return nil, c, host, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.retired.IsZero() {
		// The jar holds a newer sign-in, and would hold the proof of this one beside it.
		return nil, c, host, &auth.Absent{Reason: auth.Ended}
	}
	return k, c, host, nil
}

// mayBind reports whether the session may be bound: it is not, and its person signed in a
// moment ago. A clock that was set back by a lot says nothing of that. mu is held.
func (k *kept) mayBind(now time.Time) bool {
	if k.hot == nil || k.bound.Key != "" {
		return false
	}
	since := now.Sub(k.hot.Created)
	return since < bindWithin && since > -skewLeeway
}

// Offer implements auth.Bindings.
func (s *Stateless) Offer(r *http.Request) (string, error) {
	k, _, host, err := s.behind(r)
	if err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.mayBind(s.cfg.Now()) {
		return "", nil
	}
	return s.proofs.challenge(k.key, host)
}

// Challenge implements auth.Bindings.
func (s *Stateless) Challenge(r *http.Request) (string, error) {
	k, _, host, err := s.behind(r)
	if err != nil {
		return "", err
	}
	return s.proofs.challenge(k.key, host)
}

// Bind implements auth.Bindings. The answer brings the session's cookies anew, with the key in
// them. Where they have no room for it the session stays as it was, and the error is a
// *auth.Refused too.
func (s *Stateless) Bind(header http.Header, r *http.Request, key, challenge string) (auth.Binding, error) {
	k, c, host, err := s.behind(r)
	if err != nil {
		return auth.Binding{}, err
	}
	if !s.proofs.isChallenge(k.key, host, challenge) {
		return auth.Binding{}, errChallenge
	}
	done, err := s.bind(k, &c, host, key)
	ctx := r.Context()
	if large, ok := errors.AsType[*TooLarge](err); ok {
		s.cfg.Log.WarnContext(ctx, "a session is not bound to its device: its cookies have no room for the key",
			"event", "session.too_large", "session", k.key.Name(), "subject", done.id.User, "err", large)
		return auth.Binding{}, &auth.Refused{Reason: "the session's cookies have no room for the key"}
	}
	if err != nil {
		return auth.Binding{}, err
	}
	for _, line := range done.cookies["Set-Cookie"] {
		header.Add("Set-Cookie", line)
	}
	s.tell(ctx, slog.LevelInfo, "the session is bound to a key of its device", about(event.SessionBound, k.key, &done.id), slog.String("host", host))
	if done.without {
		s.leftOut(ctx, k.key, done.id.User)
	}
	return s.proofs.shown(done.binding), nil
}

// newlyBound is what comes of binding a session.
type newlyBound struct {
	binding
	id      auth.Identity
	cookies http.Header
	without bool // the ID token had to make room
}

// bind binds the session that c is of, if it is not bound yet, or leaves it as it is.
func (s *Stateless) bind(k *kept, c *cookieSet, host, key string) (done newlyBound, err error) {
	now := s.cfg.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.ended != "" || k.hot == nil:
		return done, k.absent()
	case !k.mayBind(now):
		return done, errBound
	}
	b := newBinding(key, now)
	cookie, err := s.proofs.cookie(proven{k.key, b.ID}, host)
	if err != nil {
		return done, err
	}
	before := k.hot
	done = newlyBound{binding: b, id: before.Login.Identity, cookies: http.Header{}}
	p := before.payload
	p.Bound = b
	if err = s.change(k, p); err == nil {
		set := k.hot.set
		set.session = c.session
		if err = s.write(done.cookies, host, &set, s.age(p)); err != nil {
			err = &auth.Unavailable{What: "the session's cookies", Err: err}
		}
	}
	if err != nil {
		k.hot = before
		return done, err
	}
	http.SetCookie(headerWriter{done.cookies}, cookie)
	k.bound, done.without = b, before.idToken && !k.hot.idToken
	return done, nil
}

// Prove implements auth.Bindings.
func (s *Stateless) Prove(header http.Header, r *http.Request, challenge string) error {
	k, _, host, err := s.behind(r)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bound.Key == "" || !s.proofs.isChallenge(k.key, host, challenge) {
		return errChallenge
	}
	cookie, err := s.proofs.cookie(proven{k.key, k.bound.ID}, host)
	if err != nil {
		return err
	}
	k.missing = missing{}
	http.SetCookie(headerWriter{header}, cookie)
	return nil
}

// held asks for the proof of what the session is bound to. The error is that of a Manager.
func (s *Stateless) held(r *http.Request, k *kept, host string, login *auth.Login) error {
	k.mu.Lock()
	b := k.bound
	k.mu.Unlock()
	if !auth.NeedsBinding(r.Context()) || s.proofs.holds(r, k.key, host, b, s.cfg.Now()) {
		return nil
	}
	return s.proofs.refuse(r, host, unproven{
		key: k.key, id: &login.Identity, miss: k.miss, tell: s.tell,
		end: func(context.Context) (first bool, err error) {
			if first = k.endUnproven(); first {
				s.revokeThere(login, k.key)
			}
			return first, nil
		},
	})
}

func (k *kept) miss(now time.Time, counts bool) (times int, news bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.missing.miss(now, counts)
}

// endUnproven ends the session, and reports whether it had not ended yet.
func (k *kept) endUnproven() (first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	first = k.ended == ""
	k.end(auth.OtherDevice, every)
	return first
}

// learn notes what a cookie says that the session is bound to. A session is bound once, so two
// keys mean that a cookie from before the first was used after a restart, when nobody knew
// better: the first one counts. mu is held.
func (s *Stateless) learn(k *kept, b binding) {
	switch {
	case b.Key == "" || b.ID == k.bound.ID:
		return
	case k.bound.Key == "":
		k.bound = b
	case b.At.Before(k.bound.At):
		k.second = k.bound.ID
		k.bound, k.missing = b, missing{}
		s.tellSecond(k)
	case b.ID != k.second:
		k.second = b.ID
		s.tellSecond(k)
	}
}

func (s *Stateless) tellSecond(k *kept) {
	s.cfg.Log.Warn("a session was bound to a second key, by a copy of its cookies from before the first: the first one counts",
		"event", "session.second_key", "session", k.key.Name(), "bound", k.bound.At)
}

// carry puts the key that the session is bound to into the set that goes to browsers, where
// that is of a cookie from before. mu is held.
func (s *Stateless) carry(k *kept) {
	if k.hot == nil || k.hot.Bound.ID == k.bound.ID {
		return
	}
	p := k.hot.payload
	p.Bound = k.bound
	if err := s.change(k, p); err != nil {
		s.overgrown(context.Background(), k.key, p.Login.Identity.User, err)
	}
}
