package oidctest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
)

// taken is a token apart, with nothing checked.
type taken struct {
	header    map[string]any
	digest    [32]byte
	input     string
	signature []byte
}

func takeApart(t *testing.T, token string) taken {
	t.Helper()
	dot := strings.LastIndex(token, ".")
	x := taken{input: token[:dot], digest: sha256.Sum256([]byte(token[:dot]))}
	head, err1 := base64.RawURLEncoding.DecodeString(token[:strings.Index(token, ".")])
	sig, err2 := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err1 != nil || err2 != nil || json.Unmarshal(head, &x.header) != nil {
		t.Fatalf("got %.200q, want a JWT", token)
	}
	x.signature = sig
	return x
}

// jwkOf reads a key without any check of what it is good for.
func jwkOf(jwk map[string]any) (rsaKey *rsa.PublicKey, ecKey *ecdsa.PublicKey) {
	part := func(name string) []byte {
		s, _ := jwk[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return b
	}
	if jwk["kty"] == "RSA" {
		return &rsa.PublicKey{N: new(big.Int).SetBytes(part("n")), E: int(new(big.Int).SetBytes(part("e")).Int64())}, nil
	}
	curve := elliptic.P256()
	if jwk["crv"] == "P-384" {
		curve = elliptic.P384()
	}
	k, _ := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, part("x"), part("y")))
	return nil, k
}

// A forgery that fails for another reason than its own proves nothing. Each of
// these gets through where exactly its check is missing.
func TestForgeriesPassWhereTheirCheckIsMissing(t *testing.T) {
	p := oidctest.Start(t)
	public, _, _ := p.PublicKey()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keyed := func(key []byte) func(taken, map[string]any) bool {
		return func(x taken, _ map[string]any) bool {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(x.input))
			return x.header["alg"] == "HS256" && hmac.Equal(mac.Sum(nil), x.signature)
		}
	}
	byKid := func(x taken, jwk map[string]any) bool {
		k, _ := jwkOf(jwk)
		return k != nil && rsa.VerifyPKCS1v15(k, crypto.SHA256, x.digest[:], x.signature) == nil
	}
	inHeader := func(x taken, _ map[string]any) bool {
		jwk, _ := x.header["jwk"].(map[string]any)
		return byKid(x, jwk)
	}
	// textbook is RSA as it is before any library refuses a key.
	textbook := func(x taken, jwk map[string]any) bool {
		k, _ := jwkOf(jwk)
		m := new(big.Int).Exp(new(big.Int).SetBytes(x.signature), big.NewInt(int64(k.E)), k.N)
		return bytes.HasSuffix(m.Bytes(), x.digest[:])
	}
	halves := func(x taken, jwk map[string]any) bool {
		_, k := jwkOf(jwk)
		n := len(x.signature) / 2
		return k != nil && ecdsa.Verify(k, x.digest[:], new(big.Int).SetBytes(x.signature[:n]), new(big.Int).SetBytes(x.signature[n:]))
	}
	for name, naive := range map[string]func(x taken, jwk map[string]any) bool{
		"T-03 HS256 with the public key as PEM": keyed(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"T-03 HS256 with the public key as DER": keyed(der),
		"T-04 HS256 with the client secret":     keyed([]byte(p.ClientSecret)),
		"T-07 jwk in the header":                inHeader,
		"T-07 jwk in the header, known kid":     inHeader,
		"T-10 crit":                             byKid,
		"T-15 key for encryption":               byKid,
		"T-15 key for another algorithm":        byKid,
		"T-15 key that may only encrypt":        byKid,
		"T-16 RS256 with an EC key":             halves,
		"T-16 ES256 with a P-384 key":           halves,
		"T-18 RSA key of 512 bits":              textbook,
		"T-18 RSA key with exponent 1":          textbook,
		"T-18 algorithm that is not announced": func(x taken, jwk map[string]any) bool {
			k, _ := jwkOf(jwk)
			return rsa.VerifyPSS(k, crypto.SHA256, x.digest[:], x.signature, nil) == nil
		},
		"T-17 ES256 in DER": func(x taken, jwk map[string]any) bool {
			_, k := jwkOf(jwk)
			return ecdsa.VerifyASN1(k, x.digest[:], x.signature)
		},
		"T-19 iss with a slash":                byKid,
		"T-31 sub twice, another one last":     byKid,
		"encoding: stray bits":                 byKid,
		"encoding: a JWT in a JWT":             byKid,
		"encoding: claims and more":            byKid,
		"T-31 alg twice":                       byKid,
		"T-28 a logout token":                  byKid,
		"T-20 aud longer than ours":            byKid,
		"T-22 several aud and azp of another":  byKid,
		"T-12 kid absent, several keys":        nil, // signed with the provider's own key, see below
		"T-06 another key under the known kid": nil,
		"T-06 signature of another token":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			list := oidctest.Forgeries(p)
			i := slices.IndexFunc(list, func(f oidctest.Forgery) bool { return f.Name == name })
			if i < 0 {
				t.Fatal("there is no such forgery")
			}
			p.Turn(list[i].Turn)
			defer behave(p)
			r := newReader(t, p)
			x := takeApart(t, grant(t, p).id)
			own, _ := public.(*rsa.PublicKey)
			if naive == nil {
				good := rsa.VerifyPKCS1v15(own, crypto.SHA256, x.digest[:], x.signature) == nil
				if good != strings.HasPrefix(name, "T-12") || len(x.signature) != 256 {
					t.Errorf("got a signature of the provider: %v", good)
				}
				return
			}
			var jwk map[string]any
			for _, k := range r.keys {
				if k["kid"] == x.header["kid"] {
					jwk = k
				}
			}
			if !naive(x, jwk) {
				t.Errorf("it would be refused anyhow: %v", x.header)
			}
		})
	}
}
