package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
)

// jwk is a public key as RFC 7517 writes it. The fields are in the order that
// the thumbprint of RFC 7638 needs: sorted, required members only.
type jwk struct {
	Alg string `json:"alg"`
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	Kid string `json:"kid"`
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	Use string `json:"use"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

func newJWK(key crypto.PublicKey) (jwk, error) {
	method, err := methodOf(key)
	if err != nil {
		return jwk{}, err
	}
	j := jwk{Alg: method.Alg(), Use: "sig"}
	var thumb string
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 0x04, X, Y
		if err != nil {
			return jwk{}, fmt.Errorf("token: encode an EC key: %w", err)
		}
		j.Kty, j.Crv, j.X, j.Y = "EC", "P-256", b64(point[1:33]), b64(point[33:])
		thumb = fmt.Sprintf(`{"crv":"%s","kty":"%s","x":"%s","y":"%s"}`, j.Crv, j.Kty, j.X, j.Y)
	case *rsa.PublicKey:
		j.Kty, j.N, j.E = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
		thumb = fmt.Sprintf(`{"e":"%s","kty":"%s","n":"%s"}`, j.E, j.Kty, j.N)
	case ed25519.PublicKey:
		j.Kty, j.Crv, j.X = "OKP", "Ed25519", b64(k)
		thumb = fmt.Sprintf(`{"crv":"%s","kty":"%s","x":"%s"}`, j.Crv, j.Kty, j.X)
	}
	sum := sha256.Sum256([]byte(thumb))
	j.Kid = b64(sum[:])
	return j, nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
