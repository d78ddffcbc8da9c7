package oidctest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evergate/evergate/auth/oidc/oidctest"
)

// refusal says why a token is refused: in a word, for tables.
type refusal string

func (r refusal) Error() string { return string(r) }

// reader is a relying party that takes a token apart by hand, as strictly as the
// standards allow. It is there to show that forgeries are what they say.
type reader struct {
	issuer, client string
	algs           []string
	keys           []map[string]any
}

// newReader learns what the provider publishes now.
func newReader(t *testing.T, p *oidctest.Provider) *reader {
	t.Helper()
	r := &reader{issuer: p.Issuer, client: p.ClientID}
	var md struct {
		Algs []string `json:"id_token_signing_alg_values_supported"`
	}
	var set struct{ Keys []map[string]any }
	for path, into := range map[string]any{"/.well-known/openid-configuration": &md, "/jwks": &set} {
		res, err := p.Browser(t).Get(p.Issuer + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil {
			err = json.Unmarshal(body, into)
		}
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: got %d, %v", path, res.StatusCode, err)
		}
	}
	r.algs, r.keys = md.Algs, set.Keys
	return r
}

// read returns header and claims of a token whose form and signature are good.
func (r *reader) read(token string) (header, claims map[string]any, err error) {
	if len(token) > 1<<20 {
		return nil, nil, refusal("size")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, refusal("form")
	}
	var raw [3][]byte
	for i, p := range parts {
		// Strict: no stray bits. A decoder skips line breaks by itself.
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(p); err != nil || strings.ContainsAny(p, "\r\n") {
			return nil, nil, refusal("form")
		}
	}
	for i, into := range []*map[string]any{&header, &claims} {
		if *into, err = object(raw[i]); err != nil {
			return nil, nil, err
		}
	}
	if _, there := header["crit"]; there {
		return nil, nil, refusal("crit")
	}
	key, err := r.key(header)
	if err != nil {
		return nil, nil, err
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	switch k := key.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], raw[2]) == nil {
			return header, claims, nil
		}
	case *ecdsa.PublicKey:
		if len(raw[2]) == 64 && ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])) {
			return header, claims, nil
		}
	}
	return nil, nil, refusal("signature")
}

// key finds the key for a header.
func (r *reader) key(header map[string]any) (crypto.PublicKey, error) {
	alg, _ := header["alg"].(string)
	if !slices.Contains([]string{"RS256", "ES256"}, alg) || !slices.Contains(r.algs, alg) {
		return nil, refusal("alg")
	}
	kid, named := header["kid"].(string)
	if _, there := header["kid"]; there && !named {
		return nil, refusal("kid")
	}
	var found crypto.PublicKey
	for _, k := range r.keys {
		if named && k["kid"] != kid {
			continue
		}
		if found != nil {
			return nil, refusal("kid")
		}
		if use, there := k["use"]; there && use != "sig" {
			return nil, refusal("key")
		}
		if _, there := k["key_ops"]; there {
			return nil, refusal("key") // none of ours has any
		}
		if of, there := k["alg"]; there && of != alg {
			return nil, refusal("key")
		}
		if found = public(k, alg); found == nil {
			return nil, refusal("key")
		}
	}
	if found == nil {
		return nil, refusal("kid")
	}
	return found, nil
}

func public(jwk map[string]any, alg string) crypto.PublicKey {
	part := func(name string) []byte {
		s, _ := jwk[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return b
	}
	switch {
	case alg == "RS256" && jwk["kty"] == "RSA":
		n, e := new(big.Int).SetBytes(part("n")), new(big.Int).SetBytes(part("e"))
		if n.BitLen() < 2048 || n.BitLen() > 8192 || e.Int64() < 3 {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	case alg == "ES256" && jwk["crv"] == "P-256":
		if k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, part("x"), part("y"))); err == nil {
			return k
		}
	}
	return nil
}

// object reads a JSON object that has no member twice and nothing after it.
func object(text []byte) (map[string]any, error) {
	var m map[string]any
	if !utf8.Valid(text) || json.Unmarshal(text, &m) != nil || m == nil {
		return nil, refusal("form")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var walk func() error
	walk = func() error {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'):
			seen := map[string]bool{}
			for dec.More() {
				name, err := dec.Token()
				if err != nil {
					return err
				}
				if s, _ := name.(string); seen[s] {
					return refusal("twice")
				} else {
					seen[s] = true
				}
				if err := walk(); err != nil {
					return err
				}
			}
			_, err = dec.Token()
		case json.Delim('['):
			for dec.More() {
				if err := walk(); err != nil {
					return err
				}
			}
			_, err = dec.Token()
		}
		return err
	}
	if err := walk(); err != nil {
		if r, ok := errors.AsType[refusal](err); ok {
			return nil, r
		}
		return nil, refusal("form")
	}
	return m, nil
}

const leeway = 60.0 // seconds

// common checks what all tokens have.
func (r *reader) common(c map[string]any) error {
	now := float64(time.Now().Unix())
	exp, hasExp := c["exp"].(float64)
	iat, hasIat := c["iat"].(float64)
	nbf, hasNbf := c["nbf"].(float64)
	switch {
	case c["iss"] != r.issuer:
		return refusal("iss")
	case !slices.Contains(audience(c), r.client):
		return refusal("aud")
	case !hasExp || exp < now-leeway || exp > 1e11:
		return refusal("exp")
	case !hasIat || iat > now+leeway || iat < now-24*3600:
		return refusal("iat")
	case hasNbf && nbf > now+leeway:
		return refusal("nbf")
	}
	return nil
}

func audience(c map[string]any) (list []string) {
	switch aud := c["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		for _, a := range aud {
			s, _ := a.(string)
			list = append(list, s)
		}
	}
	return list
}

// idToken checks an ID token (OIDC Core section 3.1.3.7).
func (r *reader) idToken(token, nonce, access string) error {
	h, c, err := r.read(token)
	if err != nil {
		return err
	}
	if typ, there := h["typ"]; there && typ != "JWT" {
		return refusal("typ")
	}
	if err := r.common(c); err != nil {
		return err
	}
	sub, _ := c["sub"].(string)
	azp, hasAzp := c["azp"]
	sum := sha256.Sum256([]byte(access))
	atHash, hasHash := c["at_hash"]
	switch {
	case hasAzp && azp != r.client, !hasAzp && len(audience(c)) > 1:
		return refusal("azp")
	case sub == "":
		return refusal("sub")
	case c["nonce"] != nonce:
		return refusal("nonce")
	case hasHash && atHash != base64.RawURLEncoding.EncodeToString(sum[:16]):
		return refusal("at_hash")
	}
	return nil
}

// logoutToken checks a logout token (OIDC Back-Channel Logout 1.0 section 2.6).
func (r *reader) logoutToken(token string) error {
	h, c, err := r.read(token)
	if err != nil {
		return err
	}
	if typ, there := h["typ"]; there && typ != "logout+jwt" {
		return refusal("typ")
	}
	if err := r.common(c); err != nil {
		return err
	}
	events, _ := c["events"].(map[string]any)
	_, isObject := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	_, hasNonce := c["nonce"]
	sub, _ := c["sub"].(string)
	sid, _ := c["sid"].(string)
	jti, _ := c["jti"].(string)
	switch {
	case !isObject:
		return refusal("events")
	case hasNonce:
		return refusal("nonce")
	case sub == "" && sid == "":
		return refusal("whom")
	case jti == "":
		return refusal("jti")
	case c["iat"].(float64) < float64(time.Now().Unix())-600:
		return refusal("iat")
	}
	return nil
}
