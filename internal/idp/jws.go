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
	"slices"
	"strings"
)

var b64 = base64.RawURLEncoding

// compact signs header and payload as they are (RFC 7515 section 7.1), whatever
// the header says.
func compact(k *key, header, payload []byte) (string, error) {
	input := b64.EncodeToString(header) + "." + b64.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, private, digest[:]); err == nil {
			// Two numbers of fixed length, not ASN.1 (RFC 7518 section 3.4).
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	default:
		err = fmt.Errorf("idp: no signatures with a %T", private)
	}
	if err != nil {
		return "", err
	}
	return input + "." + b64.EncodeToString(signature), nil
}

// signJSON signs maps.
func signJSON(k *key, header, claims map[string]any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return compact(k, h, c)
}

// jwt is one that was taken apart, and is not believed yet.
type jwt struct {
	header, claims map[string]any
	input          string
	signature      []byte
}

func parse(token string) (*jwt, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("a JWT has three parts")
	}
	t := &jwt{input: parts[0] + "." + parts[1]}
	for i, into := range []*map[string]any{&t.header, &t.claims} {
		text, err := b64.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, into); err != nil {
			return nil, err
		}
	}
	var err error
	t.signature, err = b64.DecodeString(parts[2])
	return t, err
}

func (t *jwt) text(claim string) string {
	s, _ := t.claims[claim].(string)
	return s
}

// audience is aud as a list, in either of its forms (RFC 7519 section 4.1.3).
func (t *jwt) audience() []string {
	switch aud := t.claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var list []string
		for _, a := range aud {
			if s, ok := a.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// verify checks the signature. The key decides which algorithms there are and
// the header has to agree; pinned leaves one of them, and "" leaves all.
func (t *jwt) verify(public crypto.PublicKey, pinned string) error {
	var algs []string
	switch public.(type) {
	case *rsa.PublicKey:
		algs = []string{"RS256", "PS256"}
	case *ecdsa.PublicKey:
		algs = []string{"ES256"}
	case ed25519.PublicKey:
		algs = []string{"EdDSA"}
	}
	alg, _ := t.header["alg"].(string)
	if !slices.Contains(algs, alg) || pinned != "" && alg != pinned {
		return fmt.Errorf("alg %q does not go with the key", alg)
	}
	digest := sha256.Sum256([]byte(t.input))
	ok := false
	switch key := public.(type) {
	case *rsa.PublicKey:
		if alg == "PS256" {
			ok = rsa.VerifyPSS(key, crypto.SHA256, digest[:], t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], t.signature) == nil
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() && len(t.signature) == 64 {
			r, s := new(big.Int).SetBytes(t.signature[:32]), new(big.Int).SetBytes(t.signature[32:])
			ok = ecdsa.Verify(key, digest[:], r, s)
		}
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, []byte(t.input), t.signature)
	}
	if !ok {
		return errors.New("the signature is wrong")
	}
	return nil
}
