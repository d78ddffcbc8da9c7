package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
)

// userinfo asks for the claims that are not in the ID token (OIDC Core
// section 5.3), with the access token that has just come.
func (m *Method) userinfo(ctx context.Context, t *tokens, subject string, md *metadata) (map[string]any, error) {
	if md.Userinfo == "" {
		m.cfg.Log.WarnContext(ctx, "the provider has no userinfo endpoint, and the configuration wants its claims: set userinfo: false", "event", "provider.userinfo")
		return nil, nil
	}
	a, err := m.getWith(ctx, md.Userinfo, t)
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("userinfo: %w", err))
	}
	if a.status != http.StatusOK {
		return nil, m.outage(ctx, fmt.Errorf("userinfo: %w", a.unwanted()))
	}
	claims := map[string]any{}
	if strings.HasPrefix(strings.ToLower(a.header.Get("Content-Type")), "application/jwt") {
		v, err := m.verifyUserinfo(ctx, string(a.body), md)
		if err != nil {
			return nil, err
		}
		claims = v
	} else if err := a.decode(&claims); err != nil {
		return nil, m.outage(ctx, fmt.Errorf("userinfo: %w", err))
	} else if err := noDuplicateKeys(a.body); err != nil {
		return nil, &auth.Refused{Reason: "userinfo: " + err.Error()}
	}
	// An answer about somebody else must not be mixed in (section 5.3.2).
	if text(claims, "sub") != subject {
		return nil, errSubject
	}
	for _, name := range protocolClaims {
		delete(claims, name)
	}
	return claims, nil
}

// verifyUserinfo reads a signed answer of the userinfo endpoint, which need not
// expire (OIDC Core section 5.3.2).
func (m *Method) verifyUserinfo(ctx context.Context, raw string, md *metadata) (map[string]any, error) {
	algs := algsFor(md.UserinfoAlgs)
	if len(md.UserinfoAlgs) == 0 {
		algs = algsFor(md.IDTokenAlgs)
	}
	raw = strings.TrimSpace(raw)
	if !isCompact(raw) {
		return nil, &auth.Refused{Reason: "userinfo: its answer is no signed JWT, and says that it is one"}
	}
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithValidMethods(algs), jwt.WithIssuer(m.cfg.Issuer), jwt.WithAudience(m.cfg.ClientID),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(m.cfg.Now), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
	).ParseWithClaims(raw, claims, m.keyOf(ctx))
	if u, ok := errors.AsType[*auth.Unavailable](err); ok {
		return nil, u
	}
	if err == nil {
		err = noDuplicates(raw)
	}
	if err != nil {
		return nil, &auth.Refused{Reason: "userinfo: " + err.Error()}
	}
	return claims, nil
}
