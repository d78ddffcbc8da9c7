package session

import (
	"context"
	"errors"
	"time"

	"github.com/evergate/evergate/auth"
)

// minted is a token that was made of the access token, by the gateway or in an
// exchange, and which one that was: a renewed one makes a new one.
type minted struct {
	token storedToken
	from  string
	by    any // the minter or the method; another one may have other settings
}

// Token implements auth.Session.
func (s *live) Token(ctx context.Context, want auth.Wanted) (auth.Token, error) {
	if want.Kind == auth.NoToken {
		return auth.Token{}, nil
	}
	s = s.current()
	switch want.Kind {
	case auth.IDToken:
		s.e.mu.Lock()
		defer s.e.mu.Unlock()
		stored := s.e.stored()
		return storedToken{Token: stored.IDToken, Issued: stored.Issued, Expires: stored.Expires}.token(), nil
	case auth.Minted:
		return s.mint(ctx, want.Audience)
	case auth.Exchanged:
		return s.exchange(ctx, want)
	}
	return s.access(ctx, want.Resource, "")
}

// forceEvery bounds how often an upstream's word forces a renewal: one that
// refuses every token would otherwise cost a grant a request.
const forceEvery = time.Minute

// Replace implements auth.Session.
func (s *live) Replace(ctx context.Context, want auth.Wanted, refused auth.Token) (auth.Token, error) {
	value := refused.Value.Reveal()
	s = s.current()
	s.e.mu.Lock()
	done := s.e.forced == value && s.e.flight == nil || s.e.forced != value && s.m.cfg.Now().Before(s.e.forceAt)
	stored := s.e.stored()
	current := stored.of(want.Resource).Token
	renewable := stored.renewable()
	s.e.mu.Unlock()
	if want.Kind != auth.AccessToken || value == "" || current == value && (done || !renewable) {
		return refused, nil // what was to be done about it was done
	}
	t, err := s.access(ctx, want.Resource, value)
	if _, ok := err.(*auth.Unavailable); ok {
		return refused, nil
	}
	return t, err
}

// access returns the access token for resource, after a renewal where that is
// due or where an upstream refused the token at hand.
func (s *live) access(ctx context.Context, resource, refused string) (auth.Token, error) {
	m, e := s.m, s.e
	for tried := false; ; {
		e.mu.Lock()
		ended, stored := e.ended, e.stored()
		e.mu.Unlock()
		if ended != "" {
			return auth.Token{}, &auth.Absent{Reason: ended}
		}
		t, now := stored.of(resource), m.cfg.Now()
		switch {
		case !stored.renewable():
			if !now.Before(t.Expires) {
				return auth.Token{}, &auth.Absent{Reason: auth.Over}
			}
			return t.token(), nil
		case t.Token != refused && t.Token != "" && !m.due(e.key, t, now):
			return t.token(), nil
		}
		must := t.Token == refused || m.tooOld(t, now)
		var f *flight
		if !tried {
			f = m.renew(ctx, e, s.h, resource, refused, !must)
		}
		switch {
		case !must:
			return t.token(), nil // the renewal runs beside
		case f == nil:
			e.mu.Lock()
			stored, err := e.usable(m, resource)
			e.mu.Unlock()
			if err != nil {
				return auth.Token{}, err
			}
			return stored.of(resource).token(), nil
		}
		waits := f.waited(ctx)
		select {
		case <-f.done:
			waits.End()
		case <-ctx.Done():
			waits.End()
			return auth.Token{}, &auth.Unavailable{What: auth.TheRenewal, Err: ctx.Err()}
		}
		tried = f.resource == resource
	}
}

// exchange returns a token that the provider gives for the access token of now.
// Sessions exchange one at a time: whoever waits finds it done.
func (s *live) exchange(ctx context.Context, want auth.Wanted) (auth.Token, error) {
	if _, err := s.access(ctx, "", ""); err != nil {
		return auth.Token{}, err
	}
	select {
	case s.e.exchanging <- struct{}{}:
		defer func() { <-s.e.exchanging }()
	case <-ctx.Done():
		return auth.Token{}, &auth.Unavailable{What: "a token for this app", Err: ctx.Err()}
	}
	name := "exchanged\x00" + want.Audience + "\x00" + want.Scope
	method, ok := s.m.set().Methods[s.provider()].(auth.Exchanger)
	if !ok {
		return auth.Token{}, nil // users kept here have nothing to exchange
	}
	stored, t, ok := s.made(name, method)
	if ok {
		return t, nil
	}
	// It is kept for those who come next, also where this request goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	t, err := method.Exchange(ctx, stored.login(), want.Audience, want.Scope)
	if _, down := errors.AsType[*auth.Unavailable](err); err != nil && !down {
		err = &auth.Unavailable{What: "a token for this app", Err: err}
	}
	if err != nil {
		return auth.Token{}, err
	}
	s.e.keep(name, minted{storeToken(t), stored.Token, method})
	return t, nil
}

// provider is how the person signed in.
func (s *live) provider() string {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	return s.e.stored().Identity.Provider
}

// made returns a token that was made of the access token of now, by whoever would make
// it now, and is not due; ok is false where one has to be made of stored.
func (s *live) made(name string, by any) (stored *storedLogin, t auth.Token, ok bool) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	stored = s.e.stored()
	kept := s.e.minted[name]
	ok = kept.from == stored.Token && kept.by == by && kept.token.Token != "" && !s.m.due(s.e.key, kept.token, s.m.cfg.Now())
	return stored, kept.token.token(), ok
}

// keep keeps a token that was made of another, for as long as that is the one.
func (e *entry) keep(name string, t minted) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.minted == nil {
		e.minted = map[string]minted{}
	}
	e.minted[name] = t
}

// mint returns a token that the gateway signs from the claims of now.
func (s *live) mint(ctx context.Context, audience string) (auth.Token, error) {
	minter := s.m.set().Minter
	if minter == nil {
		return auth.Token{}, &auth.Unavailable{What: "the gateway's own tokens"}
	}
	stored, t, ok := s.made(audience, minter)
	if ok {
		return t, nil
	}
	t, err := minter.Mint(ctx, stored.login(), audience)
	if err != nil {
		return auth.Token{}, &auth.Unavailable{What: "the gateway's own tokens", Err: err}
	}
	s.e.keep(audience, minted{storeToken(t), stored.Token, minter})
	return t, nil
}

// renewable reports whether there is anything to renew with: local users need
// nothing, and a provider that gave no refresh token set the session's end.
func (s *storedLogin) renewable() bool { return s.Until.IsZero() }

func (m *Manager) renewsAt(key Key, l *storedLogin) time.Time {
	return l.Expires.Add(-m.window(key, l.Expires.Sub(l.Issued)))
}
