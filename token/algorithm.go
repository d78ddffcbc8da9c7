package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// The signing algorithms (RFC 7518 section 3.1, RFC 8037). Not every stock
// library has EdDSA.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
)

// rsaBits is the size of the RSA keys that are made here (NIST SP 800-57 part
// 1, beyond 2030); minRSABits of those that are read.
const (
	rsaBits    = 3072
	minRSABits = 2048
)

func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, unknownAlgorithm(algorithm)
}

func unknownAlgorithm(name string) error {
	return fmt.Errorf("token: unknown algorithm %q, want ES256, RS256 or EdDSA", name)
}

// methodOf pins the one algorithm that a key is for.
func methodOf(key crypto.PublicKey) (jwt.SigningMethod, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jwt.SigningMethodES256, nil
		}
		return nil, fmt.Errorf("token: an EC key on %s, want P-256", k.Curve.Params().Name)
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSABits {
			return jwt.SigningMethodRS256, nil
		}
		return nil, fmt.Errorf("token: an RSA key of %d bits, want at least %d", k.N.BitLen(), minRSABits)
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA, nil
	}
	return nil, fmt.Errorf("token: a key of type %T, want EC P-256, RSA or Ed25519", key)
}
