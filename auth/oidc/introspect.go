package oidc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

const (
	// introspectionTime is how long an answer is believed: a token that is revoked
	// goes on being good for so long.
	introspectionTime = 30 * time.Second
	maxIntrospected   = 10_000
)

// introspections are answers about tokens that only the provider can read, by
// digest. The zero value is ready.
type introspections struct {
	mu    sync.Mutex // guards known
	known map[string]introspected
}

type introspected struct {
	login *auth.Login // nil: not good
	until time.Time
}

func (i *introspections) get(name string, now time.Time) (introspected, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	known, ok := i.known[name]
	return known, ok && now.Before(known.until)
}

func (i *introspections) put(name string, in introspected) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil || len(i.known) >= maxIntrospected {
		i.known = map[string]introspected{} // rather ask again than grow
	}
	i.known[name] = in
}

// introspect asks the provider about a token that is no JWT (RFC 7662).
func (m *Method) introspect(ctx context.Context, raw string) (*auth.Login, error) {
	name, now := sha256Text([]byte(raw)), m.cfg.Now()
	if known, ok := m.asked.get(name, now); ok {
		if known.login == nil {
			return nil, invalidToken("the provider said that it is not good")
		}
		return known.login, nil
	}
	claims, err := m.askAbout(ctx, raw)
	if err != nil {
		return nil, err
	}
	login := m.introspectedLogin(ctx, claims, raw)
	in := introspected{login: login, until: now.Add(introspectionTime)}
	if login != nil && !login.AccessToken.Expires.IsZero() && login.AccessToken.Expires.Before(in.until) {
		in.until = login.AccessToken.Expires
	}
	m.asked.put(name, in)
	if login == nil {
		return nil, invalidToken("the provider says that it is not good, or not for here")
	}
	return login, nil
}

func (m *Method) askAbout(ctx context.Context, raw string) (map[string]any, error) {
	md, err := m.metadata(ctx)
	if err != nil {
		return nil, err
	}
	if md.Introspection == "" {
		return nil, invalidToken("it is no JWT, and the provider has no introspection endpoint")
	}
	a, err := m.post(ctx, md.Introspection, url.Values{"token": {raw}, "token_type_hint": {"access_token"}}, md)
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("introspection: %w", err))
	}
	claims := map[string]any{}
	if a.status != http.StatusOK {
		return nil, m.outage(ctx, fmt.Errorf("introspection: %w", &Error{Status: a.status}))
	}
	if err := a.decode(&claims); err != nil {
		return nil, m.outage(ctx, fmt.Errorf("introspection: %w", err))
	}
	for _, name := range []string{"exp", "nbf", "auth_time"} { // as verified claims have their times
		if f, ok := claims[name].(float64); ok {
			claims[name] = json.Number(fmt.Sprintf("%.0f", f))
		}
	}
	return claims, nil
}

// introspectedLogin is who is behind an answer, or nil if the token is not good
// for this gateway.
func (m *Method) introspectedLogin(ctx context.Context, claims map[string]any, raw string) *auth.Login {
	now, sub := m.cfg.Now(), text(claims, "sub")
	exp, hasEnd := moment(claims, "exp")
	nbf, hasStart := moment(claims, "nbf")
	iss, hasIssuer := claims["iss"]
	_, isBound := claims["cnf"]
	// A provider knows of refresh tokens too, and says of them that they are active.
	kind := strings.ToLower(text(claims, "token_type"))
	switch {
	case otherKind(claims) != "", strings.Contains(kind, "refresh"), strings.Contains(kind, "id_token"):
		return nil
	case claims["active"] != true, !isSubject(sub), isBound,
		hasEnd && !now.Before(exp), hasStart && now.Add(leeway).Before(nbf), hasIssuer && iss != m.cfg.Issuer,
		!m.isForHere(list(claims["aud"])):
		return nil
	}
	// How it was proven is said as in a JWT (RFC 9470 section 6.2).
	login := &auth.Login{Identity: m.identity(claims), AMR: list(claims["amr"]), ACR: text(claims, "acr"),
		AccessToken: auth.Token{Value: secret.New(raw), Issued: now, Expires: exp}}
	if at, ok := moment(claims, "auth_time"); ok {
		login.AuthTime = at
	}
	m.tellOfOwnGroups(ctx, claims, &login.Identity)
	if m.allows(login) != nil {
		return nil
	}
	return login
}
