package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// What a forger has. It cannot fail but by running out of randomness, which Go
// does not report as an error.
var (
	forgerRSA  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	forgerP256 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	forgerP384 = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func toJSON(v any) []byte { return must(json.Marshal(v)) }

func sum256(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// inputOf is what a signature is over (RFC 7515 section 5.1).
func inputOf(header, claims map[string]any) string {
	return b64(toJSON(header)) + "." + b64(toJSON(claims))
}

// rs256 signs as the forger.
func rs256(header, claims map[string]any) string {
	input := inputOf(header, claims)
	return input + "." + b64(must(rsa.SignPKCS1v15(nil, forgerRSA(), crypto.SHA256, sum256(input))))
}

func ps256(header, claims map[string]any) string {
	input := inputOf(header, claims)
	return input + "." + b64(must(rsa.SignPSS(rand.Reader, forgerRSA(), crypto.SHA256, sum256(input), nil)))
}

func hs256(key []byte, header, claims map[string]any) string {
	header["alg"] = "HS256"
	input := inputOf(header, claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// ecdsaOver signs with any curve and hash, as two numbers of the curve's size.
func ecdsaOver(key *ecdsa.PrivateKey, hash crypto.Hash, header, claims map[string]any) string {
	input := inputOf(header, claims)
	h := hash.New()
	h.Write([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	size := (key.Curve.Params().BitSize + 7) / 8
	must(size, err)
	return input + "." + b64(append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...))
}

// padded is a digest as RSA signs it (RFC 8017 section 9.2), in size bytes.
func padded(input string, size int) []byte {
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, sum256(input)...)
	em := make([]byte, size)
	for i := range em {
		em[i] = 0xff
	}
	em[0], em[1], em[size-len(info)-1] = 0, 1, 0
	copy(em[size-len(info):], info)
	return em
}

// weakRSA is a key of 512 bits, which crypto/rsa refuses to make or to use.
type weakRSA struct{ n, d *big.Int }

var forgerWeak = sync.OnceValue(func() weakRSA {
	e, one := big.NewInt(65537), big.NewInt(1)
	for {
		p, q := must(rand.Prime(rand.Reader, 256)), must(rand.Prime(rand.Reader, 256))
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		n := new(big.Int).Mul(p, q)
		if d := new(big.Int).ModInverse(e, phi); d != nil && n.BitLen() == 512 {
			return weakRSA{n, d}
		}
	}
})

func (k weakRSA) sign(header, claims map[string]any) string {
	input := inputOf(header, claims)
	m := new(big.Int).SetBytes(padded(input, 64))
	return input + "." + b64(m.Exp(m, k.d, k.n).FillBytes(make([]byte, 64)))
}

func rsaJWK(kid string, n *big.Int, e int64) map[string]any {
	return map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(n.Bytes()), "e": b64(big.NewInt(e).Bytes())}
}

// selfSigned is a certificate of the forger's key, in the encoding of x5c.
func selfSigned() string {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "provider"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, forgerRSA().Public(), forgerRSA()))
	return base64.StdEncoding.EncodeToString(der)
}

// serveLure is where forged tokens say that their keys are.
func (p *Provider) serveLure(w http.ResponseWriter, r *http.Request) {
	p.lured.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(toJSON(map[string]any{"keys": []any{idp.PublicJWK("forger", "RS256", forgerRSA().Public())}}))
}
