package bound

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// maxProof bounds a proof, in bytes. One with an RSA key of 4096 bits has about 2000.
	maxProof = 4 << 10
	// proofType is the "typ" of every proof.
	proofType = "dbsc+jwt"

	leastRSA = 2048
	mostRSA  = 4096
)

// Algorithms are what a browser may sign with (RFC 7518 section 3.1), the preferred one first.
// The draft knows "none" too, which proves nothing.
var Algorithms = []string{"ES256", "RS256"}

// Key is the public half of what a browser holds, as a JWK (RFC 7517) with nothing but the
// members that make the key (RFC 7638 section 3.2). The zero value is no key.
type Key struct {
	alg string
	jwk string
}

// ParseKey reads what String made.
func ParseKey(text string) (Key, error) {
	key, _, err := parseJWK([]byte(text))
	return key, err
}

// String is the JWK. It is public.
func (k Key) String() string { return k.jwk }

// Registers checks the proof that comes with a registration, which is signed by the key that
// it brings along. It returns that key, and the challenge that was signed: whether it is one,
// and whose, is for the caller.
func Registers(proof string) (key Key, challenge string, err error) {
	key, challenge, err = check(proof, func(header map[string]any) ([]byte, error) {
		brought, there := header["jwk"]
		if !there {
			return nil, errors.New("it brings no key")
		}
		return json.Marshal(brought)
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("the registration of a device key: %w", err)
	}
	return key, challenge, nil
}

// Signed checks a later proof of whoever holds k, and returns the challenge that was signed. A
// key that the proof brings along is not looked at.
func (k Key) Signed(proof string) (challenge string, err error) {
	_, challenge, err = check(proof, func(map[string]any) ([]byte, error) { return []byte(k.jwk), nil })
	if err != nil {
		return "", fmt.Errorf("the proof of a device key: %w", err)
	}
	return challenge, nil
}

// check looks at a proof that has to be signed by the key whose JWK jwkOf gives for its header.
// Of its claims only the challenge counts: the draft has no others.
func check(proof string, jwkOf func(header map[string]any) ([]byte, error)) (key Key, challenge string, err error) {
	if proof = unquote(proof); len(proof) > maxProof {
		return Key{}, "", fmt.Errorf("it has %d bytes, more than %d", len(proof), maxProof)
	}
	if strings.Trim(proof, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return Key{}, "", errors.New("it is no JWT in its compact form")
	}
	var claims jwt.RegisteredClaims
	_, err = jwt.NewParser(jwt.WithValidMethods(Algorithms), jwt.WithStrictDecoding()).ParseWithClaims(proof, &claims, func(t *jwt.Token) (any, error) {
		if typ, _ := t.Header["typ"].(string); !strings.EqualFold(typ, proofType) {
			return nil, fmt.Errorf("its typ is not %s", proofType)
		}
		if _, crit := t.Header["crit"]; crit {
			return nil, errors.New("its header has crit, which nothing here understands")
		}
		text, err := jwkOf(t.Header)
		if err != nil {
			return nil, err
		}
		var public any
		if key, public, err = parseJWK(text); err != nil {
			return nil, err
		}
		if key.alg != t.Method.Alg() {
			return nil, fmt.Errorf("it is signed by %s, and the key is for %s", t.Method.Alg(), key.alg)
		}
		return public, nil
	})
	if err != nil {
		return Key{}, "", err
	}
	if claims.ID == "" {
		return Key{}, "", errors.New("it signs no challenge")
	}
	return key, claims.ID, nil
}

// unquote takes a value of a header as a string (RFC 9651 section 3.3.3), as the draft has it,
// or bare, as Chromium sends it.
func unquote(value string) string {
	value = strings.TrimSpace(value)
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1] // neither a JWT nor a name of ours holds anything to be escaped
	}
	return value
}

// parseJWK reads a public key that may be bound to.
func parseJWK(text []byte) (Key, any, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(text, &m); err != nil {
		return Key{}, nil, errors.New("its key is no JWK")
	}
	bare := jwkset.JWKMarshal{KTY: m.KTY, CRV: m.CRV, X: m.X, Y: m.Y, E: m.E, N: m.N} // and no private half
	jwk, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return Key{}, nil, fmt.Errorf("its key: %w", err)
	}
	alg := ""
	switch key := jwk.Key().(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return Key{}, nil, errors.New("its key is not of the curve P-256")
		}
		if _, err := key.ECDH(); err != nil {
			return Key{}, nil, errors.New("its key is no point of the curve")
		}
		alg = "ES256"
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < leastRSA || n > mostRSA || key.E < 3 || key.E%2 == 0 {
			return Key{}, nil, fmt.Errorf("its RSA key has %d bits, want %d to %d, and an odd exponent from 3 on", n, leastRSA, mostRSA)
		}
		alg = "RS256"
	default:
		return Key{}, nil, errors.New("its key is of a kind that nothing here is signed by")
	}
	normal, err := json.Marshal(bare)
	if err != nil {
		return Key{}, nil, err
	}
	return Key{alg: alg, jwk: string(normal)}, jwk.Key(), nil
}
