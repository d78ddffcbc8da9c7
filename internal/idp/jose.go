package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// key signs tokens.
type key struct {
	id     string
	signer crypto.Signer
}

// b64 encodes as JOSE does.
func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// RotateKeys makes a new key and publishes it alone, at once.
func (p *Provider) RotateKeys() { p.rotate(false) }

// RotateKeysKeepingOld goes on publishing the key of before.
func (p *Provider) RotateKeysKeepingOld() { p.rotate(true) }

func (p *Provider) rotate(keep bool) {
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // never fails (crypto/rand)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keyCount++
	fresh := []*key{{fmt.Sprintf("key-%d", p.keyCount), signer}}
	if keep {
		fresh = append(fresh, p.keys...)
	}
	p.keys = fresh
}

func (p *Provider) signing() *key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[0]
}

// published is the JWK set.
func (p *Provider) published() map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []any
	for _, k := range p.keys {
		public := k.signer.Public().(*rsa.PublicKey)
		keys = append(keys, map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": k.id,
			"n": b64(public.N.Bytes()), "e": b64(big.NewInt(int64(public.E)).Bytes())})
	}
	return map[string]any{"keys": keys}
}

// PublicKey is the key that signs now.
func (p *Provider) PublicKey() *rsa.PublicKey { return p.signing().signer.Public().(*rsa.PublicKey) }

// Sign makes a JWT of header and claims with the key that signs now.
func (p *Provider) Sign(header, claims map[string]any) string {
	return SignWith(p.signing().signer, header, claims)
}

// Header is the header of the provider's tokens.
func (p *Provider) Header(typ string) map[string]any {
	return map[string]any{"alg": "RS256", "kid": p.signing().id, "typ": typ}
}

// SignText is Sign for a payload as it stands.
func (p *Provider) SignText(header map[string]any, payload string) string {
	return signText(p.signing().signer, header, []byte(payload))
}

// SignWith makes a JWT with any key; the header says what it likes.
func SignWith(signer crypto.Signer, header, claims map[string]any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err) // claims of a test that cannot be JSON
	}
	return signText(signer, header, body)
}

func signText(signer crypto.Signer, header map[string]any, body []byte) string {
	head, err := json.Marshal(header)
	if err != nil {
		panic(err)
	}
	input := b64(head) + "." + b64(body)
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	switch k := signer.(type) {
	case *rsa.PrivateKey:
		sig, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, k, sum[:]); err == nil {
			sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, []byte(input))
	}
	if err != nil {
		panic(err)
	}
	return input + "." + b64(sig)
}

// check verifies a JWT of a client and returns its claims.
func check(public crypto.PublicKey, raw string) (map[string]any, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errors.New("no JWT")
	}
	var header struct {
		Alg string `json:"alg"`
	}
	claims := map[string]any{}
	head, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	body, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	sig, err3 := base64.RawURLEncoding.DecodeString(parts[2])
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if err := errors.Join(json.Unmarshal(head, &header), json.Unmarshal(body, &claims)); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	ok := false
	switch k := public.(type) {
	case *rsa.PublicKey:
		switch header.Alg {
		case "RS256":
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
		case "PS256":
			ok = rsa.VerifyPSS(k, crypto.SHA256, sum[:], sig, nil) == nil
		}
	case *ecdsa.PublicKey:
		ok = header.Alg == "ES256" && k.Curve == elliptic.P256() && len(sig) == 64 &&
			ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case ed25519.PublicKey:
		ok = header.Alg == "EdDSA" && ed25519.Verify(k, []byte(parts[0]+"."+parts[1]), sig)
	}
	if !ok {
		return nil, errors.New("bad signature")
	}
	return claims, nil
}

// HalfHash is at_hash for RS256 (OIDC Core section 3.1.3.6).
func HalfHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64(sum[:16])
}
