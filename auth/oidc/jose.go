package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
)

const (
	// maxToken bounds a JWT. Real ones with hundreds of groups have some 20 KiB.
	maxToken = 64 << 10
	// leeway is how far clocks may disagree (R9).
	leeway = 60 * time.Second
	// oldestIDToken is how long ago an ID token may have been signed that has just
	// come from the provider itself.
	oldestIDToken = 24 * time.Hour
)

// verified is a JWT whose signature, issuer and times are good.
type verified struct {
	typ, alg string
	claims   map[string]any
}

// verify checks what every JWT of a provider has to be: signed by a key that the
// provider publishes with an algorithm that fits it, from this issuer, and of
// now. The caller checks whom it is for and what it is. The error is a
// *auth.Unavailable where the keys cannot be had, and a *auth.Refused otherwise.
func (m *Method) verify(ctx context.Context, raw string, algs []string) (*verified, error) {
	refused := func(why error) (*verified, error) {
		return nil, &auth.Refused{Reason: why.Error()}
	}
	if !isCompact(raw) {
		return refused(fmt.Errorf("it is no signed JWT of at most %d bytes", maxToken))
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods(algs), jwt.WithIssuer(m.cfg.Issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithTimeFunc(m.cfg.Now), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
	)
	claims := jwt.MapClaims{}
	t, err := parser.ParseWithClaims(raw, claims, m.keyOf(ctx))
	if u, ok := errors.AsType[*auth.Unavailable](err); ok {
		return nil, u
	}
	if err != nil {
		return refused(err)
	}
	if err := noDuplicates(raw); err != nil {
		return refused(err)
	}
	if _, there := claims["iat"]; !there {
		return refused(errors.New("it does not say when it was issued"))
	}
	if err := wellFormed(claims); err != nil {
		return refused(err)
	}
	typ, isText := t.Header["typ"].(string)
	if _, there := t.Header["typ"]; there && !isText {
		return refused(errors.New("its typ is no text")) // and would pass for none
	}
	return &verified{typ: strings.TrimPrefix(strings.ToLower(typ), "application/"), alg: t.Method.Alg(), claims: claims}, nil
}

// wellFormed refuses what the checks of single claims would take for something that is not
// there: a time that no clock shows, which overflows into one that is long past, and an
// audience that is no name.
func wellFormed(claims map[string]any) error {
	for _, name := range []string{"exp", "iat", "nbf"} {
		if _, there := claims[name]; !there {
			continue
		}
		if _, ok := moment(claims, name); !ok {
			return fmt.Errorf("its %s is no time", name)
		}
	}
	if all, ok := claims["aud"].([]any); ok && len(list(all)) != len(all) {
		return errors.New("one of its audiences has no name")
	}
	return nil
}

// isCompact reports whether raw can be a signed JWT (RFC 7515 section 7.1). Go's
// base64 skips line breaks: without this one token would have many spellings.
func isCompact(raw string) bool {
	return len(raw) <= maxToken && strings.Count(raw, ".") == 2 &&
		strings.Trim(raw, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// keyOf finds the key of a JWT. Nothing that comes with the token says how to
// check it (RFC 8725 sections 3.1 and 3.10).
func (m *Method) keyOf(ctx context.Context) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		if _, crit := t.Header["crit"]; crit {
			return nil, errors.New("its header has crit, which nothing here understands")
		}
		if b64, there := t.Header["b64"]; there && b64 != true {
			return nil, errors.New("its payload is not encoded")
		}
		kid, isText := t.Header["kid"].(string)
		if _, there := t.Header["kid"]; there && !isText {
			return nil, errors.New("its kid is no text")
		}
		return m.key(ctx, kid, t.Method.Alg())
	}
}

// algsFor are the algorithms to believe of those that a provider lists. RS256 is
// what it means by listing none (OIDC Core section 3.1.3.7).
func algsFor(listed []string) []string {
	algs := []string{} // nil would be every algorithm there is
	for _, a := range algorithms {
		if slices.Contains(listed, a) || a == "EdDSA" && slices.Contains(listed, "Ed25519") {
			algs = append(algs, a)
		}
	}
	if len(listed) == 0 {
		algs = []string{"RS256"}
	}
	return algs
}

// noDuplicates refuses a JWT that says a thing twice: two readers would believe
// two things of it (RFC 7519 section 4).
func noDuplicates(raw string) error {
	parts := strings.Split(raw, ".")
	for _, part := range parts[:2] {
		text, err := jwt.NewParser(jwt.WithStrictDecoding()).DecodeSegment(part)
		if err != nil {
			return errors.New("it is not encoded as it should be")
		}
		if err := noDuplicateKeys(text); err != nil {
			return err
		}
	}
	return nil
}

func noDuplicateKeys(text []byte) error {
	return noDuplicateNames(text, func(name string) string { return name })
}

// noDuplicateFields is noDuplicateKeys for what is read into a struct: encoding/json takes a
// field's name in any case, and the last one of several.
func noDuplicateFields(text []byte) error {
	return noDuplicateNames(text, func(name string) string { return strings.ToLower(strings.ToUpper(name)) })
}

// noDuplicateNames takes names for the same that fold makes the same.
func noDuplicateNames(text []byte, fold func(string) string) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	type level struct {
		keys  map[string]bool // nil in a list
		value bool            // a value comes next
	}
	var open []level
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return errors.New("it is no JSON")
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			open = open[:len(open)-1]
		} else if n := len(open); n > 0 && open[n-1].keys != nil && !open[n-1].value {
			name, _ := tok.(string)
			if name = fold(name); open[n-1].keys[name] {
				return fmt.Errorf("it says %.40q twice", name)
			}
			open[n-1].keys[name], open[n-1].value = true, true
			continue
		} else if ok && len(open) > 32 {
			return errors.New("it is nested too deep")
		} else if ok && d == '{' {
			open = append(open, level{keys: map[string]bool{}})
			continue
		} else if ok {
			open = append(open, level{})
			continue
		}
		if n := len(open); n > 0 {
			open[n-1].value = false
		} else if dec.More() {
			return errors.New("it goes on after its end")
		}
	}
}

// text is a claim that is a string, or "".
func text(claims map[string]any, name string) string {
	s, _ := claims[name].(string)
	return s
}

// moment is a claim that is a time (RFC 7519 section 2, NumericDate).
func moment(claims map[string]any, name string) (time.Time, bool) {
	n, ok := claims[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(f), 0), true
}

// list is a claim that is a string or a list of them. What is in the list and is
// no string is left out.
func list(v any) (all []string) {
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok && s != "" {
				all = append(all, s)
			}
		}
	}
	return all
}
