// Package dpop proves that whoever sends a token holds the key that it is bound to
// (DPoP, RFC 9449): a copied token is worth nothing without the key.
//
// A Key is private and stays with its session. With each request goes a proof, a JWT
// that the key signs for this one request and that nobody can use for another. Servers
// may want a value of their own in it, a nonce; Nonces remembers the last of each.
package dpop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"

	"github.com/evergate/evergate/internal/secret"
)

// Algorithm is what proofs are signed with (RFC 7518 section 3.4). Every provider that
// has DPoP knows it, and its keys are small enough for a cookie.
const Algorithm = "ES256"

// Key is the private half of a key on P-256. However it is printed, it does not show. Nil
// is no key, for which Reveal and Thumbprint are "".
type Key struct {
	private    *ecdsa.PrivateKey
	text       string
	jwk        jwk
	thumbprint string
}

// jwk is the public half (RFC 7517), with the members that make the key in the order in
// which its thumbprint is made of them (RFC 7638 section 3.3).
type jwk struct {
	CRV string `json:"crv"`
	KTY string `json:"kty"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

var b64 = base64.RawURLEncoding

// NewKey makes a key.
func NewKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for DPoP: %w", err)
	}
	return keyOf(private)
}

// ParseKey reads what Reveal gave; "" is no key. The error does not quote the text.
func ParseKey(text string) (*Key, error) {
	if text == "" {
		return nil, nil
	}
	b, err := b64.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("read a key for DPoP: it is no base64url")
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		return nil, errors.New("read a key for DPoP: it is no private key on P-256")
	}
	return keyOf(private)
}

func keyOf(private *ecdsa.PrivateKey) (*Key, error) {
	scalar, err := private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("a key for DPoP: %w", err)
	}
	point, err := private.PublicKey.Bytes() // 4, X, Y (SEC 1 section 2.3.3)
	if err != nil {
		return nil, fmt.Errorf("a key for DPoP: %w", err)
	}
	half := (len(point) - 1) / 2
	k := &Key{private: private, text: b64.EncodeToString(scalar),
		jwk: jwk{CRV: "P-256", KTY: "EC", X: b64.EncodeToString(point[1 : 1+half]), Y: b64.EncodeToString(point[1+half:])}}
	k.thumbprint = digest(fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k.jwk.X, k.jwk.Y))
	return k, nil
}

// Reveal is the private key as text, of 43 letters. It goes nowhere but under a seal.
func (k *Key) Reveal() string {
	if k == nil {
		return ""
	}
	return k.text
}

// Thumbprint names the key (RFC 7638). It is public: providers write it into tokens as
// cnf.jkt (RFC 9449 section 6.1).
func (k *Key) Thumbprint() string {
	if k == nil {
		return ""
	}
	return k.thumbprint
}

// Format implements fmt.Formatter, so that no verb shows the key.
func (k *Key) Format(f fmt.State, _ rune) {
	if k != nil {
		_, _ = f.Write([]byte(secret.Mask))
	}
}

// LogValue implements slog.LogValuer.
func (k *Key) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }

// MarshalText implements encoding.TextMarshaler, and so what JSON has of the key.
func (k *Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return b64.EncodeToString(sum[:])
}
