package session

import (
	"context"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
)

// carriedLive implements auth.Session for one request of a Stateless.
type carriedLive struct {
	s    *Stateless
	k    *kept
	c    cookieSet // what the request brought
	host string
}

// ID implements auth.Session.
func (l *carriedLive) ID() string { return l.k.key.Name() }

// Unconfirmed implements auth.Session. There is one host.
func (l *carriedLive) Unconfirmed() bool { return false }

// Bound implements auth.Session.
func (l *carriedLive) Bound() bool {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	return l.k.bound.Key != ""
}

// Due implements auth.Session: such a cookie can only go with the answer.
func (l *carriedLive) Due() bool { return false }

// Times implements auth.Session.
func (l *carriedLive) Times() auth.Times {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.k.hot == nil {
		return auth.Times{}
	}
	return auth.Times{
		Ends:     l.s.ends(l.k),
		IdleEnds: l.k.seen.Add(l.s.set().IdleTimeout),
		Renews:   l.s.renewsAt(l.k.key, &l.k.hot.Login),

		Remembered: l.k.hot.Remember,
	}
}

func (s *Stateless) renewsAt(key Key, l *storedLogin) time.Time {
	return l.Expires.Add(-s.window(key, l.Expires.Sub(l.Issued)))
}

// age is what a session's cookies live for, or zero to end with the browser.
func (s *Stateless) age(p payload) time.Duration {
	if !p.Remember {
		return 0
	}
	return p.Created.Add(s.set().MaxLifetime).Sub(s.cfg.Now())
}

// Deliver implements auth.Session. A response to a cookie that is not the newest
// carries the newest, whoever renewed; and now and then the last use.
func (l *carriedLive) Deliver(ctx context.Context, header http.Header) {
	s, k := l.s, l.k
	k.mu.Lock()
	if k.ended != "" || k.hot == nil || !k.retired.IsZero() {
		k.mu.Unlock()
		return // the jar holds a newer sign-in, or nothing more
	}
	if before := k.hot; !before.lost && k.seen.Sub(before.Seen) >= s.coarse() {
		if s.change(k, before.payload) != nil {
			k.hot = before // a byte too long by another time; the cookie in the jar is as good
		}
	}
	h := k.hot
	k.mu.Unlock()
	if h.lost || h.set.digest == l.c.digest {
		return
	}
	set := h.set
	set.session = l.c.session
	if err := s.write(header, l.host, &set, s.age(h.payload)); err != nil {
		s.cfg.Log.ErrorContext(ctx, "a session could not be sealed", "session", l.ID(), "err", err)
	}
}

// Attend implements auth.Session. What attends ends with ctx, and with the Stateless. What
// it renews is delivered with the next response to a request.
func (l *carriedLive) Attend(ctx context.Context, allowed func(*auth.Login) error) (context.Context, func()) {
	if l.s.left.Load() {
		return ctx, func() {}
	}
	a := &attendance{house: l.s.ctx, left: l.s.left.Load}
	a.look = func(ctx context.Context) (time.Duration, error) { return l.look(ctx, allowed) }
	a.join(&l.k.streams, &l.k.mu, &l.s.wg)
	l.k.mu.Lock()
	if l.k.ended == "" && l.k.hot == nil {
		l.s.adopt(l.k, &l.c) // the upstream took long, and the tokens were forgotten meanwhile
	}
	l.k.mu.Unlock()
	return a.begin(ctx), func() { l.k.use(l.s.cfg.Now()) }
}

// look says why a stream has to close, or in how long to look again if nothing happens to
// the session until then.
func (l *carriedLive) look(ctx context.Context, allowed func(*auth.Login) error) (again time.Duration, why error) {
	s, k := l.s, l.k
	if s.stands(ctx, k) != nil {
		return 0, errSessionEnded
	}
	k.mu.Lock()
	if k.ended != "" || k.hot == nil {
		k.mu.Unlock()
		return 0, errSessionEnded
	}
	if s.suspected(k) != nil {
		k.mu.Unlock()
		return 0, errSuspected
	}
	stored := &k.hot.Login
	ends := earlier(s.ends(k), k.seen.Add(s.set().IdleTimeout))
	retryAt := k.trouble[""].retryAt
	k.mu.Unlock()
	if allowed(stored.login()) != nil {
		return 0, errNotAllowed
	}
	now := s.cfg.Now()
	again = ends.Sub(now)
	switch {
	case !stored.renewable():
	case s.due(k.key, stored.storedToken, now):
		s.renew(ctx, k, "", "")
		again = min(again, max(retryAt.Sub(now), time.Second))
	default:
		again = min(again, s.renewsAt(k.key, stored).Sub(now))
	}
	return again, nil
}
