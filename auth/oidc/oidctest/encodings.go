package oidctest

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// encodings are all ways of writing a token down that are not the one of JWTs. The
// provider itself signs them wherever that can be.
func (p *Provider) encodings() []fake {
	good := func(h, c map[string]any) string { return p.SignBytes(toJSON(h), toJSON(c)) }
	// payload signs what make makes of the claims.
	payload := func(rewrite func(c []byte) []byte) func(h, c map[string]any) string {
		return func(h, c map[string]any) string { return p.SignBytes(toJSON(h), rewrite(toJSON(c))) }
	}
	twice := func(member string) func([]byte) []byte {
		return func(c []byte) []byte { return append([]byte("{"+member+","), c[1:]...) }
	}
	twiceLast := func(member string) func([]byte) []byte {
		return func(c []byte) []byte { return append(bytes.TrimSuffix(c, []byte("}")), ","+member+"}"...) }
	}
	return []fake{
		{name: "T-31 sub twice, another one first", what: "has two subjects", sign: payload(twice(`"sub":"somebody else"`))},
		{name: "T-31 sub twice, another one last", what: "has two subjects", sign: payload(twiceLast(`"sub":"somebody else"`))},
		{name: "T-31 iss twice", what: "has two issuers", sign: payload(twice(`"iss":"https://other.example"`))},
		{name: "T-31 exp twice", what: "ends twice", sign: payload(twice(`"exp":1`))},
		{name: "T-31 alg twice", what: "has two algorithms", sign: func(h, c map[string]any) string {
			return p.SignBytes(append([]byte(`{"alg":"none",`), toJSON(h)[1:]...), toJSON(c))
		}},
		{name: "encoding: nothing", what: "is empty", sign: func(_, _ map[string]any) string { return "" }},
		{name: "encoding: two parts", what: "ends after the claims", sign: func(h, c map[string]any) string { return inputOf(h, c) }},
		{name: "encoding: four parts", what: "has one part more than a JWT", sign: func(h, c map[string]any) string { return good(h, c) + ".e30" }},
		{name: "encoding: five parts", what: "looks encrypted", sign: func(_, _ map[string]any) string {
			return b64([]byte(`{"alg":"dir","enc":"A256GCM"}`)) + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"
		}},
		{name: "encoding: padded", what: "has the = that JWTs have not", sign: func(h, c map[string]any) string {
			signed := good(h, c)
			dot := strings.LastIndex(signed, ".")
			return signed + strings.Repeat("=", -(len(signed)-dot-1)&3)
		}},
		{name: "encoding: stray bits", what: "has bits in its last letter that are no signature", sign: func(h, c map[string]any) string {
			return strayBits(good(h, c))
		}},
		{name: "encoding: line break", what: "has a line break in its signature", sign: func(h, c map[string]any) string {
			signed := good(h, c)
			return signed[:len(signed)-4] + "\n" + signed[len(signed)-4:]
		}},
		{name: "encoding: JSON serialization", what: "is a JWS in its other form", sign: func(h, c map[string]any) string {
			parts := strings.Split(good(h, c), ".")
			return string(toJSON(map[string]any{"protected": parts[0], "payload": parts[1], "signature": parts[2]}))
		}},
		{name: "encoding: claims are an array", what: "is signed, and claims nothing", sign: payload(func(c []byte) []byte {
			return append(append([]byte("["), c...), ']')
		})},
		{name: "encoding: claims are null", what: "is signed, and claims nothing", sign: payload(func([]byte) []byte { return []byte("null") })},
		{name: "encoding: claims and more", what: "has a second object after its claims", sign: payload(func(c []byte) []byte {
			return append(c, ` {"sub":"somebody else"}`...)
		})},
		{name: "encoding: no JSON", what: "is signed text", sign: payload(func([]byte) []byte { return []byte("sub=alice") })},
		{name: "encoding: a JWT in a JWT", what: "has another token for its claims", sign: func(h, c map[string]any) string {
			h["cty"] = "JWT"
			return p.SignBytes(toJSON(h), []byte(good(map[string]any{"alg": h["alg"], "kid": h["kid"]}, c)))
		}},
		{name: "encoding: 20000 levels", what: "is nested deeper than any reader's stack should go", sign: payload(
			twice(`"deep":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)))},
		{name: "encoding: 3 MB", what: "is larger than any token", sign: payload(twice(`"long":"` + strings.Repeat("x", 3<<20) + `"`))},
	}
}

// strayBits sets a bit that the last letter of a signature has and its last byte
// has not. Signatures whose length leaves no such bit come back as they were; those
// of RSA and P-256 do not.
func strayBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	other := token[:len(token)-1] + string(alphabet[last^1])
	dot := strings.LastIndex(token, ".") + 1
	a, err1 := base64.RawURLEncoding.DecodeString(token[dot:])
	b, err2 := base64.RawURLEncoding.DecodeString(other[dot:])
	if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
		return token
	}
	return other
}
