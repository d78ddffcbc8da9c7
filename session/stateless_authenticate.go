package session

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Authenticate implements auth.Authenticator. A renewal that is due is waited for:
// the refresh token that comes with it belongs into the headers of the response.
func (s *Stateless) Authenticate(r *http.Request) (*auth.Login, error) {
	host := hostOf(r)
	c, err := s.read(r, host)
	if err != nil {
		return nil, err
	}
	ctx, k := r.Context(), s.session(c.key)
	if err := s.enter(k, &c); err != nil {
		return nil, err
	}
	seen, err := s.standing(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := s.held(r, k, host, seen.login); err != nil {
		return nil, err
	}
	if !k.walk.isFrom(r) || seen.suspect {
		if err := s.suspect(r, k); err != nil {
			return nil, err
		}
	}
	if auth.IsGlance(ctx) {
		return s.glance(k, &c, host)
	}
	k.use(s.cfg.Now())
	stored, err := s.access(ctx, k, &c, "", "")
	if err != nil {
		return nil, err
	}
	login := seen.login
	if seen.of != stored {
		login = stored.login()
	}
	login.Session = &carriedLive{s: s, k: k, c: c, host: host}
	return login, nil
}

// glance is the login as it is, with whatever token it has.
func (s *Stateless) glance(k *kept, c *cookieSet, host string) (*auth.Login, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != "" || k.hot == nil {
		return nil, k.absent()
	}
	login := k.hot.Login.login()
	login.Session = &carriedLive{s: s, k: k, c: *c, host: host}
	return login, nil
}

// enter takes in the cookie. Where it is not accepted it stays in the jar, which
// may hold a newer one by now: only what nobody can read is deleted.
func (s *Stateless) enter(k *kept, c *cookieSet) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	reason := s.adopt(k, c)
	switch {
	case reason == "":
		return nil
	case reason == auth.Damaged:
		absent := &auth.Absent{Reason: reason}
		for _, name := range s.names {
			absent.Clear = append(absent.Clear, s.clear(name))
		}
		return absent
	case k.ended == "":
		s.cfg.Log.Info("a cookie came whose refresh token was replaced long ago; it is not served", "event", "session.spent_cookie",
			"session", k.key.Name(), "generation", c.generation, "current", k.generation)
		return &auth.Absent{Reason: reason}
	}
	return k.absent()
}

// stands ends the session if it is over, or if its method withdraws it.
func (s *Stateless) stands(ctx context.Context, k *kept) error {
	_, err := s.standing(ctx, k)
	return err
}

// seen is a login that was found standing, and what it was made of.
type seen struct {
	of      *storedLogin
	login   *auth.Login
	suspect bool // it has to be signed in again, maybe
}

// standing is stands, and returns the login that it looked at.
func (s *Stateless) standing(ctx context.Context, k *kept) (seen, error) {
	k.mu.Lock()
	if k.ended != "" || k.hot == nil {
		defer k.mu.Unlock()
		return seen{}, k.absent()
	}
	of := &k.hot.Login
	reason, login, suspect := s.over(k, s.cfg.Now()), of.login(), k.trail.Suspect != ""
	k.mu.Unlock()
	if reason == "" {
		err := s.check(login)
		if err == nil {
			return seen{of, login, suspect}, nil
		}
		reason = auth.Withdrawn
		s.tell(ctx, slog.LevelInfo, "session withdrawn", because(about(event.SessionWithdrawn, k.key, &login.Identity), withdrawal(err), err))
	}
	if over := timeOver(reason); over != "" {
		s.tell(ctx, slog.LevelInfo, "the time of a session is over", because(about(event.SessionEnded, k.key, &login.Identity), over, nil))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end(reason, every)
	if reason == auth.Over && login.RefreshToken.IsZero() {
		k.silent = login.Identity.Provider
	}
	return seen{}, k.absent()
}

func (s *Stateless) check(login *auth.Login) error { return check(s.set().Methods, login) }

// use moves the idle clock.
func (k *kept) use(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used, k.seen = now, later(k.seen, now)
}

// aheadTime bounds how long a request with a valid token waits for a renewal: a
// provider that is slow must not be felt before that token has run out.
const aheadTime = 3 * time.Second

// access returns the session once its token for resource is good, after a renewal
// where that is due or where an upstream refused the token at hand. Where the
// renewal does not work that is the session as it was, while its token is valid.
func (s *Stateless) access(ctx context.Context, k *kept, c *cookieSet, resource, refused string) (*storedLogin, error) {
	for tried := false; ; {
		k.mu.Lock()
		if k.ended == "" && k.hot == nil {
			s.adopt(k, c) // a long request, and the tokens were forgotten meanwhile
		}
		if k.ended != "" || k.hot == nil {
			defer k.mu.Unlock()
			return nil, k.absent()
		}
		stored, failing := &k.hot.Login, k.trouble[resource].failed > 0
		k.mu.Unlock()
		t, now := stored.of(resource), s.cfg.Now()
		switch {
		case !stored.renewable():
			if now.Before(t.Expires) {
				return stored, nil
			}
			return nil, s.expired(k, stored)
		case t.Token != refused && t.Token != "" && !s.due(k.key, t, now):
			return stored, nil
		}
		must := t.Token == refused || t.Token == "" || mustWait(t, now)
		var f *flight
		if !tried {
			f = s.renew(ctx, k, resource, refused)
		}
		if f == nil {
			return s.usable(k, resource)
		}
		if failing && !must {
			return stored, nil // it runs beside; nobody waits for a provider that is away
		}
		switch landed, err := f.wait(ctx, must); {
		case err != nil:
			return nil, err
		case !landed:
			return stored, nil
		}
		tried = f.resource == resource
	}
}

// wait waits for a renewal: for as long as it takes, or where it need not be for
// aheadTime.
func (f *flight) wait(ctx context.Context, must bool) (landed bool, err error) {
	defer f.waited(ctx).End()
	var enough <-chan time.Time
	if !must {
		timer := time.NewTimer(aheadTime)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-f.done:
		return true, nil
	case <-enough:
		return false, nil
	case <-ctx.Done():
		return false, &auth.Unavailable{What: auth.TheRenewal, Err: ctx.Err()}
	}
}

// expired ends a session that has no token and nothing to get one with.
func (s *Stateless) expired(k *kept, stored *storedLogin) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.end(auth.Over, every)
	k.silent = stored.Identity.Provider
	return k.absent()
}
