package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// key is one to sign with.
type key struct {
	id, alg string
	private crypto.Signer
}

func newKey(alg string) (*key, error) {
	k := &key{id: rand.Text(), alg: alg}
	var err error
	switch alg {
	case "RS256":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = fmt.Errorf("idp: signing algorithm %q, want RS256 or ES256", alg)
	}
	return k, err
}

// PublicJWK is a public key as a JWK (RFC 7517), for keys of RSA, P-256, P-384,
// P-521 and Ed25519. It is nil for others.
func PublicJWK(kid, alg string, public crypto.PublicKey) map[string]any {
	jwk := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch k := public.(type) {
	case *rsa.PublicKey:
		jwk["kty"] = "RSA"
		jwk["n"] = b64.EncodeToString(k.N.Bytes())
		jwk["e"] = b64.EncodeToString(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return nil
		}
		half := (len(point) - 1) / 2 // after the byte that says uncompressed
		jwk["kty"], jwk["crv"] = "EC", k.Curve.Params().Name
		jwk["x"], jwk["y"] = b64.EncodeToString(point[1:1+half]), b64.EncodeToString(point[1+half:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64.EncodeToString(k)
	default:
		return nil
	}
	return jwk
}

// readJWKS reads the keys of a client, of the kinds that jwt.verify knows.
func readJWKS(text []byte) (map[string]crypto.PublicKey, error) {
	var set struct {
		Keys []struct{ Kid, Kty, Crv, N, E, X, Y string }
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	keys := map[string]crypto.PublicKey{}
	for _, k := range set.Keys {
		var part [4][]byte
		for i, s := range []string{k.N, k.E, k.X, k.Y} {
			var err error
			if part[i], err = b64.DecodeString(s); err != nil {
				return nil, fmt.Errorf("keys: %q: %w", k.Kid, err)
			}
		}
		switch {
		case k.Kty == "RSA" && len(part[0]) >= 256 && len(part[1]) > 0 && len(part[1]) <= 4:
			keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(part[0]), E: int(new(big.Int).SetBytes(part[1]).Int64())}
		case k.Kty == "EC" && k.Crv == "P-256":
			public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, part[2], part[3]))
			if err != nil {
				return nil, fmt.Errorf("keys: %q: %w", k.Kid, err)
			}
			keys[k.Kid] = public
		case k.Kty == "OKP" && k.Crv == "Ed25519" && len(part[2]) == ed25519.PublicKeySize:
			keys[k.Kid] = ed25519.PublicKey(part[2])
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("keys: none that can be used")
	}
	return keys, nil
}

// RotateKeys signs with a new key from now on. The old one is gone from the JWK
// set at once.
func (p *Provider) RotateKeys() error { return p.rotate(false) }

// RotateKeysKeepingOld signs with a new key from now on. All that were published
// stay so.
func (p *Provider) RotateKeysKeepingOld() error { return p.rotate(true) }

func (p *Provider) rotate(keep bool) error {
	k, err := newKey(p.cfg.SigningAlg)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signing = k
	p.everKeys = append(p.everKeys, k)
	if keep {
		p.published = append([]*key{k}, p.published...)
	} else {
		p.published = []*key{k}
	}
	return nil
}

func (p *Provider) signingKey() *key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signing
}

// PublicKey returns the key that checks what is signed now, with its id and
// algorithm.
func (p *Provider) PublicKey() (public crypto.PublicKey, kid, alg string) {
	k := p.signingKey()
	return k.private.Public(), k.id, k.alg
}

// Sign signs a JWT with the provider's key. kid and alg are filled in where the
// header has none. It returns "" for what JSON cannot say.
func (p *Provider) Sign(header, claims map[string]any) string {
	k := p.signingKey()
	h := map[string]any{"alg": k.alg, "kid": k.id}
	maps.Copy(h, header)
	token, err := signJSON(k, h, claims)
	if err != nil {
		return ""
	}
	return token
}

// SignBytes signs a header and a payload exactly as they are, JSON or not. It
// returns "" if that cannot be done.
func (p *Provider) SignBytes(header, payload []byte) string {
	token, err := compact(p.signingKey(), header, payload)
	if err != nil {
		return ""
	}
	return token
}

// ownToken parses a token that this provider signed, with any key it ever had.
// Nothing else of it is checked.
func (p *Provider) ownToken(token string) (*jwt, error) {
	t, err := parse(token)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	keys := slices.Clone(p.everKeys)
	p.mu.Unlock()
	for _, k := range keys {
		if k.id == t.header["kid"] {
			return t, t.verify(k.private.Public(), k.alg)
		}
	}
	return nil, errors.New("the key is not known")
}
