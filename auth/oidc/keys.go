package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/MicahParks/jwkset"
)

// algorithms are those that are believed, and what kind of key each is for. None
// is symmetric: a public key must never pass for a shared secret (RFC 8725
// section 2.1).
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

const (
	// leastRSA is the least size of an RSA key, in bits (RFC 7518 section 3.3).
	leastRSA = 2048
	// mostRSA is the size beyond which checking a signature is work for a machine
	// that somebody wants to keep busy.
	mostRSA = 8192
)

// publicKey is one key of a provider.
type publicKey struct {
	id, alg string // alg is "" where the key does not say
	key     crypto.PublicKey
}

// fits reports whether the key is one for alg.
func (k *publicKey) fits(alg string) bool {
	if k.alg != "" && k.alg != alg && !(k.alg == "Ed25519" && alg == "EdDSA") {
		return false
	}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return alg[0] == 'R' || alg[0] == 'P'
	case *ecdsa.PublicKey:
		return alg == map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// keySet are the keys of a provider.
type keySet struct{ keys []publicKey }

// find returns the key for a token. One without kid is for the only key that fits.
func (s *keySet) find(kid, alg string) *publicKey {
	var found *publicKey
	for i := range s.keys {
		k := &s.keys[i]
		if !k.fits(alg) || kid != "" && k.id != kid {
			continue
		}
		if found != nil {
			return nil
		}
		found = k
	}
	return found
}

var errUnknownKey = errors.New("it is signed with a key that the provider does not publish")

// key returns the key for a token. Keys are fetched again for one that is not
// known, and not as often as somebody who makes tokens up would like.
func (m *Method) key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	set, err := m.keys.fresh(ctx, m, m.fetchKeys)
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("keys: %w", err))
	}
	if k := set.find(kid, alg); k != nil {
		return k.key, nil
	}
	set, err = m.keys.renew(ctx, m, m.fetchKeys, set, func() bool { return m.limiter.allow(m.cfg.Now()) })
	if err != nil {
		return nil, m.outage(ctx, fmt.Errorf("keys: %w", err))
	}
	if k := set.find(kid, alg); k != nil {
		return k.key, nil
	}
	if err := m.keys.lastError(); err != nil {
		return nil, m.outage(ctx, fmt.Errorf("keys: %w", err)) // it may be among those of now
	}
	return nil, errUnknownKey
}

func (m *Method) fetchKeys(ctx context.Context) (*keySet, time.Duration, error) {
	md, err := m.metadata(ctx)
	if err != nil {
		return nil, 0, err
	}
	var set *keySet
	a, err := m.get(ctx, md.Keys)
	if err == nil {
		set, err = readKeys(a)
	}
	if err != nil {
		m.cfg.Log.WarnContext(ctx, "the provider's keys cannot be had; those of before are kept", "event", "provider.keys", "err", err)
		return nil, 0, err
	}
	return set, a.maxAge(), nil
}

// readKeys reads a JWK set (RFC 7517 section 5). A key that cannot be used is
// none; the others are not to blame for it.
func readKeys(a *answer) (*keySet, error) {
	if a.status != http.StatusOK {
		return nil, a.unwanted()
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := a.decode(&raw); err != nil {
		return nil, err
	}
	set := &keySet{}
	for _, text := range raw.Keys {
		if k, ok := readKey(text); ok {
			set.keys = append(set.keys, k)
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("there is no key among them that can check a signature")
	}
	return set, nil
}

func readKey(text json.RawMessage) (publicKey, bool) {
	var jwk jwkset.JWKMarshal
	if json.Unmarshal(text, &jwk) != nil || jwk.USE != "" && jwk.USE != jwkset.UseSig {
		return publicKey{}, false
	}
	if len(jwk.KEYOPS) > 0 && !slices.Contains(jwk.KEYOPS, jwkset.KeyOpsVerify) {
		return publicKey{}, false
	}
	// A certificate adds nothing that is believed here: the keys come over TLS.
	jwk.X5U, jwk.X5C, jwk.X5T, jwk.X5TS256 = "", nil, "", ""
	parsed, err := jwkset.NewJWKFromMarshal(jwk, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipAll: true})
	if err != nil {
		return publicKey{}, false
	}
	k := publicKey{id: jwk.KID, alg: string(jwk.ALG), key: parsed.Key()}
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return k, key.N.BitLen() >= leastRSA && key.N.BitLen() <= mostRSA && key.E >= 3
	case *ecdsa.PublicKey:
		_, err := key.ECDH() // refuses points that are not on the curve
		return k, err == nil
	case ed25519.PublicKey:
		return k, true
	}
	return publicKey{}, false
}
