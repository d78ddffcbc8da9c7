package session

import (
	"context"
	"errors"

	"github.com/evergate/evergate/auth"
)

// Token implements auth.Session.
func (l *carriedLive) Token(ctx context.Context, want auth.Wanted) (auth.Token, error) {
	switch want.Kind {
	case auth.NoToken:
		return auth.Token{}, nil
	case auth.Minted:
		return l.mint(ctx, want.Audience)
	case auth.Exchanged:
		return l.exchange(ctx, want)
	}
	stored, err := l.s.access(ctx, l.k, &l.c, want.Resource, "")
	if err != nil {
		return auth.Token{}, err
	}
	if want.Kind == auth.IDToken {
		return storedToken{Token: stored.IDToken, Issued: stored.Issued, Expires: stored.Expires}.token(), nil
	}
	return stored.of(want.Resource).token(), nil
}

// Replace implements auth.Session.
func (l *carriedLive) Replace(ctx context.Context, want auth.Wanted, refused auth.Token) (auth.Token, error) {
	value, k := refused.Value.Reveal(), l.k
	k.mu.Lock()
	done := k.forced == value && k.flight == nil || k.forced != value && l.s.cfg.Now().Before(k.forceAt)
	current, renewable := "", true
	if k.hot != nil {
		current, renewable = k.hot.Login.of(want.Resource).Token, k.hot.Login.renewable()
	}
	k.mu.Unlock()
	if want.Kind != auth.AccessToken || value == "" || current == value && (done || !renewable) {
		return refused, nil // what was to be done about it was done
	}
	stored, err := l.s.access(ctx, k, &l.c, want.Resource, value)
	if _, ok := errors.AsType[*auth.Unavailable](err); ok {
		return refused, nil
	}
	if err != nil {
		return auth.Token{}, err
	}
	return stored.of(want.Resource).token(), nil
}

// exchange returns a token that the provider gives for the access token of now.
// Sessions exchange one at a time: whoever waits finds it done.
func (l *carriedLive) exchange(ctx context.Context, want auth.Wanted) (auth.Token, error) {
	select {
	case l.k.exchanging <- struct{}{}:
		defer func() { <-l.k.exchanging }()
	case <-ctx.Done():
		return auth.Token{}, &auth.Unavailable{What: "a token for this app", Err: ctx.Err()}
	}
	stored, err := l.s.access(ctx, l.k, &l.c, "", "")
	if err != nil {
		return auth.Token{}, err
	}
	name := "exchanged\x00" + want.Audience + "\x00" + want.Scope
	method, ok := l.s.set().Methods[stored.Identity.Provider].(auth.Exchanger)
	if !ok {
		return auth.Token{}, nil
	}
	if t, ok := l.made(name, stored.Token, method); ok {
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
	l.keep(name, minted{storeToken(t), stored.Token, method})
	return t, nil
}

// mint returns a token that the gateway signs from the claims of now.
func (l *carriedLive) mint(ctx context.Context, audience string) (auth.Token, error) {
	minter := l.s.set().Minter
	if minter == nil {
		return auth.Token{}, &auth.Unavailable{What: "the gateway's own tokens"}
	}
	stored, err := l.s.access(ctx, l.k, &l.c, "", "")
	if err != nil {
		return auth.Token{}, err
	}
	if t, ok := l.made(audience, stored.Token, minter); ok {
		return t, nil
	}
	t, err := minter.Mint(ctx, stored.login(), audience)
	if err != nil {
		return auth.Token{}, &auth.Unavailable{What: "the gateway's own tokens", Err: err}
	}
	l.keep(audience, minted{storeToken(t), stored.Token, minter})
	return t, nil
}

// made returns a token that was made of an access token, by whoever would make it now,
// and is not due.
func (l *carriedLive) made(name, from string, by any) (auth.Token, bool) {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	m := l.k.minted[name]
	return m.token.token(), m.from == from && m.by == by && m.token.Token != "" && !l.s.due(l.k.key, m.token, l.s.cfg.Now())
}

// keep keeps a token that was made of another, for as long as that is the one.
func (l *carriedLive) keep(name string, t minted) {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.k.hot == nil {
		return
	}
	if l.k.minted == nil {
		l.k.minted = map[string]minted{}
	}
	l.k.minted[name] = t
}
