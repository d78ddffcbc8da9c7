package oidctest

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha512" // for crypto.SHA384
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"

	"github.com/evergate/evergate/internal/idp"
)

// fake is a token that is wrong whatever it is for.
type fake struct {
	name, what string
	// sign makes it. header and claims are those of a good one.
	sign func(header, claims map[string]any) string
	// keys are published beside the provider's, and algs are said to be in use.
	keys []map[string]any
	algs []string
}

// prepare turns what goes with the token.
func (f fake) prepare(k *idp.Knobs) {
	if len(f.keys) > 0 {
		k.MutateJWKS = func(set map[string]any) {
			all, _ := set["keys"].([]any)
			for _, key := range f.keys {
				all = append(all, key)
			}
			set["keys"] = all
		}
	}
	if len(f.algs) > 0 {
		k.MutateMetadata = func(m map[string]any) {
			m["id_token_signing_alg_values_supported"] = append([]string{"RS256"}, f.algs...)
		}
	}
}

// signatures are all ways in which a signature proves nothing.
func (p *Provider) signatures() []fake {
	good := func(h, c map[string]any) string { return p.SignBytes(toJSON(h), toJSON(c)) }
	unsigned := func(alg any) func(h, c map[string]any) string {
		return func(h, c map[string]any) string {
			if h["alg"] = alg; alg == nil {
				delete(h, "alg")
			}
			return inputOf(h, c) + "."
		}
	}
	forged := func(more map[string]any) func(h, c map[string]any) string {
		return func(h, c map[string]any) string {
			for name, value := range more {
				if h[name] = value; value == nil {
					delete(h, name)
				}
			}
			return rs256(h, c)
		}
	}
	secret := func(key func() []byte) func(h, c map[string]any) string {
		return func(h, c map[string]any) string { return hs256(key(), h, c) }
	}
	public := func() any { k, _, _ := p.PublicKey(); return k }
	return []fake{
		{name: "T-01 alg none", what: "says that it is not signed", sign: unsigned("none")},
		{name: "T-02 alg nOnE", what: "says so in other letters", sign: unsigned("nOnE")},
		{name: "T-02 alg empty", what: "names no algorithm", sign: unsigned("")},
		{name: "T-02 alg missing", what: "has no alg", sign: unsigned(nil)},
		{name: "T-02 alg null", what: "has an alg that is null", sign: func(_, c map[string]any) string {
			return b64([]byte(`{"alg":null,"typ":"JWT"}`)) + "." + b64(toJSON(c)) + "."
		}},
		{name: "T-02 alg none, and signed", what: "says none and has the signature of a good one", sign: func(h, c map[string]any) string {
			h["alg"] = "none"
			return good(h, c)
		}},
		{name: "T-03 HS256 with the public key as PEM", what: "takes the public key for a shared secret", sign: secret(func() []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public()))})
		})},
		{name: "T-03 HS256 with the public key as DER", what: "the same without the armour", sign: secret(func() []byte {
			return must(x509.MarshalPKIXPublicKey(public()))
		})},
		{name: "T-03 HS256 with nothing", what: "is keyed with no bytes at all", sign: secret(func() []byte { return nil })},
		{name: "T-04 HS256 with the client secret", what: "is signed by whoever knows the client secret", sign: secret(func() []byte { return []byte(p.ClientSecret) })},
		{name: "T-05 signature stripped", what: "says RS256 and has an empty signature", sign: func(h, c map[string]any) string { return inputOf(h, c) + "." }},
		{name: "T-06 signature of another token", what: "has the provider's signature of something else", sign: func(h, c map[string]any) string {
			other := good(h, map[string]any{"iss": c["iss"]})
			return inputOf(h, c) + other[strings.LastIndex(other, "."):]
		}},
		{name: "T-06 claims changed after signing", what: "was good until somebody changed the subject", sign: func(h, c map[string]any) string {
			signed := good(h, c)
			c["sub"] = "somebody else"
			return inputOf(h, c) + signed[strings.LastIndex(signed, "."):]
		}},
		{name: "T-06 another key under the known kid", what: "is signed by a stranger", sign: forged(nil)},
		{name: "T-07 jwk in the header", what: "brings its own key", sign: forged(map[string]any{"jwk": idp.PublicJWK("forger", "RS256", forgerRSA().Public()), "kid": "forger"})},
		{name: "T-07 jwk in the header, known kid", what: "brings its own key under the provider's name", sign: func(h, c map[string]any) string {
			kid, _ := h["kid"].(string)
			h["jwk"] = idp.PublicJWK(kid, "RS256", forgerRSA().Public())
			return rs256(h, c)
		}},
		{name: "T-08 jku", what: "says where its keys are", sign: forged(map[string]any{"jku": p.lure.URL + "/jwks", "kid": "forger"})},
		{name: "T-08 x5u", what: "says where its certificate is", sign: forged(map[string]any{"x5u": p.lure.URL + "/cert", "kid": "forger"})},
		{name: "T-09 x5c", what: "brings its own certificate", sign: func(h, c map[string]any) string {
			h["x5c"], h["kid"] = []string{selfSigned()}, "forger"
			return rs256(h, c)
		}},
		{name: "T-10 crit", what: "has an extension that must be understood", sign: func(h, c map[string]any) string {
			h["crit"], h["x"] = []string{"x"}, 1
			return good(h, c)
		}},
		{name: "T-11 b64 false", what: "says that its claims are not encoded", sign: func(h, c map[string]any) string {
			h["crit"], h["b64"] = []string{"b64"}, false
			return good(h, c)
		}},
		{name: "T-12 kid is a path", what: "names a file as its key", sign: forged(map[string]any{"kid": "../../../../dev/null"})},
		{name: "T-12 kid is SQL", what: "names a query as its key", sign: forged(map[string]any{"kid": "' OR 1=1 --"})},
		{name: "T-12 kid of 100 kB", what: "names its key at length", sign: forged(map[string]any{"kid": strings.Repeat("k", 100<<10)})},
		{name: "T-12 kid is a number", what: "names its key with no text", sign: forged(map[string]any{"kid": 1})},
		{name: "T-12 kid unknown", what: "names a key that nobody publishes", sign: forged(map[string]any{"kid": "forger"})},
		{name: "T-12 kid absent, not the provider's key", what: "names no key and is signed by a stranger", sign: forged(map[string]any{"kid": nil})},
		{name: "T-12 kid absent, several keys", what: "leaves open which of two keys it is; OpenID Connect lets that be refused",
			sign: func(h, c map[string]any) string { delete(h, "kid"); return good(h, c) },
			keys: []map[string]any{idp.PublicJWK("second", "RS256", forgerRSA().Public())}},
		{name: "T-15 key for encryption", what: "is signed with a key that is not for that", sign: forged(map[string]any{"kid": "enc"}),
			keys: []map[string]any{changed(idp.PublicJWK("enc", "RS256", forgerRSA().Public()), "use", "enc")}},
		{name: "T-15 key for another algorithm", what: "is RS256 with a key for RS512", sign: forged(map[string]any{"kid": "rs512"}),
			keys: []map[string]any{idp.PublicJWK("rs512", "RS512", forgerRSA().Public())}},
		{name: "T-15 key that may only encrypt", what: "is signed with a key whose key_ops say otherwise", sign: forged(map[string]any{"kid": "ops"}),
			keys: []map[string]any{without(changed(idp.PublicJWK("ops", "RS256", forgerRSA().Public()), "key_ops", []string{"encrypt"}), "use")}},
		{name: "T-16 RS256 with an EC key", what: "says RSA and its key is none", sign: func(h, c map[string]any) string {
			h["kid"] = "ec"
			return ecdsaOver(forgerP256(), crypto.SHA256, h, c)
		}, keys: []map[string]any{without(idp.PublicJWK("ec", "", forgerP256().Public()), "alg")}},
		{name: "T-16 ES384 with a P-256 key", what: "has a curve that is not of its algorithm", sign: func(h, c map[string]any) string {
			h["kid"], h["alg"] = "ec", "ES384"
			return ecdsaOver(forgerP256(), crypto.SHA384, h, c)
		}, keys: []map[string]any{without(idp.PublicJWK("ec", "", forgerP256().Public()), "alg")}, algs: []string{"ES256", "ES384"}},
		{name: "T-16 ES256 with a P-384 key", what: "the same the other way round", sign: func(h, c map[string]any) string {
			h["kid"], h["alg"] = "ec", "ES256"
			return ecdsaOver(forgerP384(), crypto.SHA256, h, c)
		}, keys: []map[string]any{without(idp.PublicJWK("ec", "", forgerP384().Public()), "alg")}, algs: []string{"ES256", "ES384"}},
		{name: "T-17 ES256 in DER", what: "has a signature in the encoding of certificates", sign: func(h, c map[string]any) string {
			h["kid"], h["alg"] = "ec", "ES256"
			input := inputOf(h, c)
			return input + "." + b64(must(forgerP256().Sign(rand.Reader, sum256(input), crypto.SHA256)))
		}, keys: []map[string]any{idp.PublicJWK("ec", "ES256", forgerP256().Public())}, algs: []string{"ES256"}},
		{name: "T-17 ES256 of zeros", what: "has a signature that fits everything where zero is not ruled out", sign: func(h, c map[string]any) string {
			h["kid"], h["alg"] = "ec", "ES256"
			return inputOf(h, c) + "." + b64(make([]byte, 64))
		}, keys: []map[string]any{idp.PublicJWK("ec", "ES256", forgerP256().Public())}, algs: []string{"ES256"}},
		{name: "T-18 RSA key of 512 bits", what: "is signed with a key that can be factored", sign: func(h, c map[string]any) string {
			h["kid"] = "weak"
			return forgerWeak().sign(h, c)
		}, keys: []map[string]any{rsaJWK("weak", forgerWeak().n, 65537)}},
		{name: "T-18 RSA key with exponent 1", what: "needs no key to be signed", sign: func(h, c map[string]any) string {
			h["kid"] = "one"
			input := inputOf(h, c)
			return input + "." + b64(padded(input, 256))
		}, keys: []map[string]any{rsaJWK("one", forgerRSA().N, 1)}},
		{name: "T-18 RSA key of 16384 bits", what: "costs more to check than to make", sign: func(h, c map[string]any) string {
			h["kid"] = "large"
			return inputOf(h, c) + "." + b64(padded("", 2048))
		}, keys: []map[string]any{rsaJWK("large", new(big.Int).SetBit(big.NewInt(1), 16383, 1), 65537)}},
		{name: "T-18 algorithm that is not announced", what: "is PS256, where the metadata say RS256", sign: func(h, c map[string]any) string {
			h["kid"], h["alg"] = "pss", "PS256"
			return ps256(h, c)
		}, keys: []map[string]any{idp.PublicJWK("pss", "PS256", forgerRSA().Public())}},
	}
}

func changed(m map[string]any, name string, value any) map[string]any {
	m[name] = value
	return m
}

func without(m map[string]any, name string) map[string]any {
	delete(m, name)
	return m
}
