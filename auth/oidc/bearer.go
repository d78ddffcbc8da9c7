package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

// Bearers finds who is behind an access token that a client brings itself. It is
// an auth.Authenticator.
type Bearers struct {
	byIssuer map[string][]*Method
	opaque   []*Method // those that are asked about tokens that are no JWTs
}

var _ auth.Authenticator = (*Bearers)(nil)

// NewBearers takes tokens of those methods that name audiences for them.
func NewBearers(methods ...*Method) *Bearers {
	b := &Bearers{byIssuer: map[string][]*Method{}}
	for _, m := range methods {
		if len(m.cfg.BearerAudiences) > 0 {
			b.byIssuer[m.cfg.Issuer] = append(b.byIssuer[m.cfg.Issuer], m)
			if m.cfg.Introspection {
				b.opaque = append(b.opaque, m)
			}
		}
	}
	return b
}

// Authenticate implements auth.Authenticator. A token that is not valid is a
// *auth.Refused with the code invalid_token.
func (b *Bearers) Authenticate(r *http.Request) (*auth.Login, error) {
	lines := r.Header["Authorization"]
	if len(lines) == 0 {
		return nil, &auth.Absent{Reason: auth.NoCookie}
	}
	scheme, raw, _ := strings.Cut(lines[0], " ")
	if len(lines) > 1 || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return nil, invalidToken("want exactly one Authorization header, with a Bearer token")
	}
	err := invalidToken("it is of no issuer that is configured for clients' own tokens")
	for _, m := range b.byIssuer[unverifiedIssuer(raw)] {
		var login *auth.Login
		if login, err = m.bearer(r.Context(), raw); err == nil {
			return login, nil
		}
	}
	if len(b.opaque) == 0 || isCompact(raw) || len(raw) > maxOpaque {
		return nil, err
	}
	for _, m := range b.opaque {
		var login *auth.Login
		if login, err = m.introspect(r.Context(), raw); err == nil {
			return login, nil
		}
		if _, down := errors.AsType[*auth.Unavailable](err); down {
			return nil, err
		}
	}
	return nil, err
}

// maxOpaque bounds a token that is no JWT.
const maxOpaque = 4 << 10

func invalidToken(why string) error {
	return &auth.Refused{Reason: "access token: " + why, Code: "invalid_token"}
}

// unverifiedIssuer says whose keys to try. Nothing else is believed of it.
func unverifiedIssuer(raw string) string {
	if !isCompact(raw) {
		return ""
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		return ""
	}
	return text(claims, "iss")
}

// bearer checks an access token (RFC 9068 section 4, RFC 8725).
func (m *Method) bearer(ctx context.Context, raw string) (*auth.Login, error) {
	v, err := m.verify(ctx, raw, algorithms)
	if refused, ok := errors.AsType[*auth.Refused](err); ok {
		return nil, invalidToken(refused.Reason)
	}
	if err != nil {
		return nil, err
	}
	c := v.claims
	_, isBound := c["cnf"]
	aud, sub := list(c["aud"]), text(c, "sub")
	kind := otherKind(c)
	switch {
	case kind != "":
		return nil, invalidToken("it is a token of another kind: " + kind)
	case v.typ != "at+jwt" && slices.Contains(aud, m.cfg.ClientID):
		return nil, invalidToken("it is a token of another kind: it is for the client itself, as ID tokens are")
	case v.typ != "at+jwt" && v.typ != "jwt" && v.typ != "":
		return nil, invalidToken("its typ is not at+jwt")
	case !m.isForHere(aud):
		return nil, invalidToken("it is for another audience")
	case !isSubject(sub):
		return nil, invalidToken("its subject is missing, or is none")
	case isBound:
		// Whoever has it without the key has stolen it (RFC 7800 section 3).
		return nil, invalidToken("it is bound to a key, and nothing here shows that the client has it")
	}
	login := &auth.Login{Identity: m.identity(c), AMR: list(c["amr"]), ACR: text(c, "acr"),
		AccessToken: auth.Token{Value: secret.New(raw), Issued: m.cfg.Now()}}
	if exp, ok := moment(c, "exp"); ok {
		login.AccessToken.Expires = exp
	}
	if at, ok := moment(c, "auth_time"); ok {
		login.AuthTime = at
	}
	m.tellOfOwnGroups(ctx, c, &login.Identity)
	if err := m.allows(login); err != nil {
		return nil, invalidToken(err.Error())
	}
	return login, nil
}

// otherKind says what shows that a token is no access token, whatever its header says that it is, or
// is "". A nonce and hashes are in ID tokens (OIDC Core section 2), events in logout tokens (OIDC
// Back-Channel Logout 1.0 section 2.4) and others of RFC 8417. And some providers say it in
// words: Keycloak by the claim typ, Cognito and Hydra by token_use.
func otherKind(claims map[string]any) string {
	for _, name := range [...]string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		if _, there := claims[name]; there {
			return "no access token has the claim " + name
		}
	}
	for _, said := range kindsByWord {
		if word, there := claims[said.claim]; there {
			if s, isText := word.(string); !isText || !slices.Contains(said.access, strings.ToLower(s)) {
				return "its claim " + said.claim + " does not say that it is an access token"
			}
		}
	}
	return ""
}

// kindsByWord are claims that say of what kind a token is, and what they say of an access token.
var kindsByWord = []struct {
	claim  string
	access []string
}{
	{"typ", []string{"bearer", "at+jwt", "application/at+jwt", "jwt", "access", "dpop"}},
	{"token_use", []string{"access", "access_token"}},
}

// isForHere reports whether a client's own token is for one of our audiences.
func (m *Method) isForHere(aud []string) bool {
	return slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(m.cfg.BearerAudiences, a) })
}
