package session

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Begin implements auth.Sessions. What would not fit the cookies is refused here,
// with its size and what to do about it.
func (s *Stateless) Begin(header http.Header, r *http.Request, login *auth.Login, remember bool) error {
	if login.RefreshToken.IsZero() && login.Until.IsZero() {
		return errors.New("session: session.store: cookie is for providers that give refresh tokens, and " +
			login.Identity.Provider + " gave none: use session.store: bolt or redis")
	}
	ctx, host, now := r.Context(), hostOf(r), s.cfg.Now()
	p := payload{Created: now, Seen: now, Remember: remember, Login: storeLogin(login)}
	if s.set().Risks != (Risks{}) {
		p.From, p.Trail = originOf(r), s.known(r, host, login)
	}
	set, idToken, err := s.fit(p, 1)
	if large, ok := errors.AsType[*TooLarge](err); ok {
		s.revokeThere(login, Key{})
		return large.page()
	}
	if err != nil {
		return err
	}
	_, _ = rand.Read(set.session[:]) // never fails (crypto/rand)
	cookies := http.Header{}
	if err := s.write(cookies, host, &set, s.age(p)); err != nil {
		return err
	}
	k := s.session(set.session.Key())
	replaced := s.retire(r, host, login)
	k.mu.Lock()
	s.warm(k, p, set, now)
	k.recall(&p)
	k.hot.idToken, k.generation, k.token, k.replaced = idToken, 1, digestToken(p.Login.RefreshToken), replaced
	k.mu.Unlock()
	for _, line := range cookies["Set-Cookie"] {
		header.Add("Set-Cookie", line)
	}
	s.tell(ctx, slog.LevelInfo, "signed in", about(event.SessionStarted, k.key, &login.Identity))
	if !idToken && p.Login.IDToken != "" {
		s.leftOut(ctx, k.key, login.Identity.User)
	}
	return nil
}

// known is what the session that login begins takes over from the one that r brings.
func (s *Stateless) known(r *http.Request, host string, login *auth.Login) trail {
	c, err := s.read(r, host)
	if err != nil {
		return trail{}
	}
	k := s.session(c.session.Key())
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.adopt(k, &c) != "" || k.hot == nil || !isOf(&k.hot.Login.Identity, login) {
		return trail{}
	}
	return k.trail.after(&k.from)
}

// retire ends the session that r brings: at once if it is somebody else's (a planted
// one), and after the grace time if it is the same person's, so that what their other
// tabs have under way is still answered. It returns those that live on for a while.
func (s *Stateless) retire(r *http.Request, host string, login *auth.Login) []Key {
	c, err := s.read(r, host)
	if err != nil {
		return nil
	}
	k := s.session(c.session.Key())
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.adopt(k, &c) != "" || k.hot == nil {
		return nil
	}
	old := k.hot.Login.Identity
	if !isOf(&old, login) {
		k.end(auth.Ended, every)
		s.tell(r.Context(), slog.LevelInfo, "somebody else signed in in the same browser", because(about(event.SessionEnded, k.key, &old), event.Replaced, nil))
		return nil
	}
	if k.retired.IsZero() {
		k.retired = s.cfg.Now().Add(s.set().Grace)
		k.wake()
	}
	all := append([]Key{k.key}, k.replaced...)
	return all[:min(len(all), maxReplaced)]
}

// End implements auth.Sessions. The cookie need not be the newest: a sign-out is
// never too late.
func (s *Stateless) End(header http.Header, r *http.Request) (*auth.Login, error) {
	c, err := s.read(r, hostOf(r))
	if _, ok := errors.AsType[*auth.Unavailable](err); ok {
		return nil, err
	}
	var login *auth.Login
	if err == nil {
		login = s.endSession(context.WithoutCancel(r.Context()), &c)
	}
	s.clearAll(header)
	return login, nil
}

func (s *Stateless) endSession(ctx context.Context, c *cookieSet) *auth.Login {
	k := s.session(c.session.Key())
	k.mu.Lock()
	if reason := s.adopt(k, c); reason == auth.Damaged || k.ended != "" || k.generation == 0 {
		k.mu.Unlock()
		return nil
	}
	if k.hot == nil {
		// A spent cookie of a session whose newest token lies in another jar, if anywhere.
		if p, err := unpack(c.data); err == nil {
			k.hot = &hot{payload: p}
		}
	}
	var login *auth.Login
	if k.hot != nil {
		login = k.hot.Login.login()
	}
	replaced := k.replaced
	k.end(auth.Ended, every)
	k.mu.Unlock()
	for _, key := range replaced {
		other := s.session(key)
		other.mu.Lock()
		other.end(auth.Ended, every)
		other.mu.Unlock()
	}
	if login != nil {
		s.tell(ctx, slog.LevelInfo, "signed out", because(about(event.SessionEnded, k.key, &login.Identity), event.SignedOut, nil))
		s.revokeThere(login, k.key)
	}
	return login
}

// Unsupported says that something cannot be done without a store.
type Unsupported struct {
	// What it is, such as "signing out from elsewhere".
	What string
}

func (u *Unsupported) Error() string {
	return "session.store: cookie cannot do this: " + u.What + "; use session.store: bolt or redis"
}

// EndAll implements auth.Sessions, which it cannot: a session is found by its cookie
// alone. It ends those whose tokens are in memory just now and says how many, with
// an *Unsupported all the same.
func (s *Stateless) EndAll(ctx context.Context, provider, subject, sid string) (int, error) {
	ended := 0
	for _, k := range s.snapshot() {
		k.mu.Lock()
		if k.ended != "" || k.hot == nil || subject == "" && sid == "" || k.hot.Login.Identity.Provider != provider ||
			subject != "" && k.hot.Login.Identity.Subject != subject || sid != "" && k.hot.Login.SID != sid {
			k.mu.Unlock()
			continue
		}
		login := k.hot.Login.login()
		k.end(auth.Elsewhere, every)
		k.mu.Unlock()
		ended++
		s.tell(ctx, slog.LevelInfo, "signed out from elsewhere", because(about(event.SessionRevoked, k.key, &login.Identity), event.ByProvider, nil))
		s.revokeThere(login, k.key)
	}
	return ended, &Unsupported{What: "finding a person's sessions to end them"}
}
