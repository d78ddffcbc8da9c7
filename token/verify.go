package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxToken = 16 << 10
	leeway   = 60 * time.Second
)

// ErrToken reports a token that is not to be believed.
var ErrToken = errors.New("token: refused")

// Verify checks a token that this issuer has signed, for audience ("" is the
// configured one), and returns its claims. The algorithm is the key's, never
// the token's choice (RFC 8725 section 3.1). The error is an ErrToken, or an
// *auth.Unavailable as long as shared keys were never within reach.
func (i *Issuer) Verify(_ context.Context, raw, audience string) (*Claims, error) {
	if audience == "" {
		audience = i.cfg.Audience
	}
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, fmt.Errorf("%w: it is no compact JWT of at most %d bytes", ErrToken, maxToken)
	}
	set, err := i.cfg.Keys.load()
	if err != nil {
		return nil, err
	}
	var c Claims
	_, err = jwt.NewParser(
		jwt.WithIssuer(i.cfg.Issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(i.cfg.Now), jwt.WithStrictDecoding(),
		jwt.WithValidMethods([]string{ES256, RS256, EdDSA}),
	).ParseWithClaims(raw, &c, set.keyFor)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	case c.Subject == "" || c.ClientID != ClientID || c.IssuedAt == nil:
		return nil, fmt.Errorf("%w: sub, iat or client_id is missing or wrong", ErrToken)
	}
	return &c, nil
}

// keyFor picks the key by kid, and refuses headers that would have a key or a
// rule brought along.
func (s *keySet) keyFor(t *jwt.Token) (any, error) {
	for _, name := range []string{"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"} {
		if _, there := t.Header[name]; there {
			return nil, fmt.Errorf("its header has %s", name)
		}
	}
	if typ, _ := t.Header["typ"].(string); strings.TrimPrefix(strings.ToLower(typ), "application/") != headerType {
		return nil, fmt.Errorf("its typ is not %s", headerType)
	}
	kid, _ := t.Header["kid"].(string)
	k, ok := s.byID[kid]
	if !ok {
		return nil, errors.New("its kid is unknown")
	}
	if t.Method.Alg() != k.method.Alg() {
		return nil, fmt.Errorf("its alg is %s, its key is for %s", t.Method.Alg(), k.method.Alg())
	}
	return k.signer.Public(), nil
}
