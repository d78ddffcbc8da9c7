package oidc

import (
	"context"
	"crypto"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// expected is what an ID token has to agree with.
type expected struct {
	nonce       string // "" at a renewal, where none is needed
	accessToken string
	subject     string // "" at sign-in
	maxAge      *time.Duration
}

// idToken checks an ID token (OIDC Core sections 3.1.3.7 and 12.2) and returns its
// claims. The error is a *auth.Refused, which is errSubject for another subject,
// or a *auth.Unavailable.
func (m *Method) idToken(ctx context.Context, raw string, md *metadata, want expected) (map[string]any, error) {
	v, err := m.verify(ctx, raw, algsFor(md.IDTokenAlgs))
	if refused, ok := errors.AsType[*auth.Refused](err); ok {
		return nil, &auth.Refused{Reason: "ID token: " + refused.Reason}
	}
	if err != nil {
		return nil, err
	}
	switch err := m.checkIDToken(v, want); {
	case errors.Is(err, errSubject):
		return nil, errSubject
	case err != nil:
		return nil, &auth.Refused{Reason: "ID token: " + err.Error()}
	}
	return v.claims, nil
}

func (m *Method) checkIDToken(v *verified, want expected) error {
	c := v.claims
	if v.typ != "" && v.typ != "jwt" {
		return fmt.Errorf("its typ is %.40q: a token of another kind (RFC 8725 section 3.11)", v.typ)
	}
	aud := list(c["aud"])
	azp, hasAZP := c["azp"]
	_, hasEvents := c["events"]
	issued, _ := moment(c, "iat")
	switch sub := text(c, "sub"); {
	case !slices.Contains(aud, m.cfg.ClientID):
		return errors.New("it is for another client")
	case hasAZP && azp != m.cfg.ClientID:
		return errors.New("it was given to another client")
	case len(aud) > 1 && !hasAZP:
		return errors.New("it is for several audiences and does not say to whom it was given")
	case hasEvents:
		return errors.New("it tells of an event, as logout tokens do")
	case m.cfg.Now().Sub(issued) > oldestIDToken:
		return fmt.Errorf("it was issued more than %s ago", oldestIDToken)
	case !isSubject(sub):
		return errors.New("its subject is missing, or is none")
	case want.subject != "" && sub != want.subject:
		return errSubject
	}
	if want.nonce != "" && subtle.ConstantTimeCompare([]byte(text(c, "nonce")), []byte(want.nonce)) != 1 {
		return errors.New("its nonce is not the one of this sign-in")
	}
	if hash, there := c["at_hash"]; there && want.accessToken != "" {
		if s, ok := hash.(string); !ok || subtle.ConstantTimeCompare([]byte(s), []byte(halfHash(v.alg, want.accessToken))) != 1 {
			return errors.New("it came with another access token")
		}
	}
	if want.maxAge != nil {
		at, ok := moment(c, "auth_time")
		age := m.cfg.Now().Sub(at)
		if !ok || age > *want.maxAge+leeway || age < -leeway {
			return errors.New("the sign-in at the provider is older than max_age, or it does not say how old it is")
		}
	}
	return nil
}

// errSubject ends a session: it would go on as somebody else's.
var errSubject = &auth.Refused{Reason: "the provider answered for another subject", Event: event.SubjectChanged}

// halfHash is at_hash (OIDC Core section 3.1.3.6).
func halfHash(alg, token string) string {
	h := crypto.SHA256
	switch {
	case strings.HasSuffix(alg, "384"):
		h = crypto.SHA384
	case strings.HasSuffix(alg, "512"), alg == "EdDSA":
		h = crypto.SHA512
	}
	sum := h.New()
	sum.Write([]byte(token))
	b := sum.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(b[:len(b)/2])
}

// isSubject reports whether s can be a subject: ASCII, at most 255 letters (OIDC
// Core section 2, "sub").
func isSubject(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
