package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

const fuzzNow = 1_800_000_000

// fuzzSigner signs what the corpora in testdata/fuzz hold.
var fuzzSigner = ed25519.NewKeyFromSeed([]byte("evergate evergate evergate fuzzy"))

// offline is a Method that knows its provider's metadata and two keys, and asks it nothing.
func offline(t testing.TB) *Method {
	t.Helper()
	m, err := New(Config{Name: "corp", Issuer: "https://op.test", ClientID: "gateway", ClientSecret: secret.New("s"), Now: func() time.Time { return time.Unix(fuzzNow, 0) },
		Once: func(context.Context, string, time.Time) (bool, error) { return true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	g := elliptic.P256().Params() // whose private key is 1
	second, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, g.Gx.FillBytes(make([]byte, 32)), g.Gy.FillBytes(make([]byte, 32))))
	if err != nil {
		t.Fatal(err)
	}
	later := time.Unix(fuzzNow, 0).Add(time.Hour)
	m.meta.good.Store(&dated[metadata]{&metadata{Issuer: "https://op.test", IDTokenAlgs: []string{"EdDSA", "ES256", "HS256", "none"}}, later})
	m.keys.good.Store(&dated[keySet]{&keySet{[]publicKey{
		{id: "one", key: fuzzSigner.Public()}, {id: "two", key: second},
	}}, later})
	m.limiter = limiter{every: time.Hour} // no kid is worth a fetch
	return m
}

func refused(err error) *auth.Refused {
	r, _ := errors.AsType[*auth.Refused](err)
	return r
}

const (
	goodIDToken = `{"iss":"https://op.test","sub":"alice","aud":"gateway","iat":1800000000,"exp":1800000300,"nonce":"n"}`
	goodLogout  = `{"iss":"https://op.test","sub":"alice","sid":"s","aud":"gateway","iat":1800000000,"exp":1800000120,"jti":"j","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`
)

// FuzzSignedToken signs a header and claims as they come, and offers them as an ID token and as
// a logout token. What is taken is what a plain reading says, in all that it has to say; and
// nothing is taken for both.
func FuzzSignedToken(f *testing.F) {
	for _, header := range []string{`{"alg":"EdDSA","kid":"one"}`, `{"alg":"EdDSA","typ":"JWT"}`, `{"alg":"EdDSA","typ":"logout+jwt"}`, `{"alg":"none"}`, `{"alg":"ES256","kid":"one"}`, `{"alg":"EdDSA","kid":"two"}`,
		`{"alg":"EdDSA","crit":["exp"]}`, `{"alg":"EdDSA","alg":"none"}`, `{"alg":"EdDSA","b64":false}`, `{"alg":"EdDSA","kid":7}`, `{"alg":"EdDSA","jwk":{}}`, `{"alg":"EdDSA","typ":"at+jwt"}`} {
		f.Add(header, goodIDToken)
		f.Add(header, goodLogout)
	}
	for _, claims := range []string{
		strings.Replace(goodIDToken, `"n"`, `"x"`, 1), strings.Replace(goodIDToken, `"aud":"gateway"`, `"aud":["a","gateway"],"azp":"gateway"`, 1), strings.Replace(goodIDToken, `{`, `{"sub":"bob",`, 1),
		strings.Replace(goodIDToken, `"nonce"`, `"azp":"other","nonce"`, 1), strings.Replace(goodIDToken, `"aud":"gateway"`, `"aud":["gateway","other"]`, 1), strings.Replace(goodIDToken, `"aud":"gateway"`, `"aud":"other"`, 1),
		strings.Replace(goodIDToken, `1800000300`, `1.8000003e9`, 1), strings.Replace(goodIDToken, `1800000300`, `-1`, 1), strings.Replace(goodIDToken, `"exp":1800000300`, `"exp":"1800000300"`, 1),
		strings.Replace(goodIDToken, `alice`, `al\nice`, 1), strings.Replace(goodIDToken, `"nonce"`, `"at_hash":"QGXb1iiMWG21yD8RBJGj_A","nonce"`, 1), strings.Replace(goodIDToken, `{`, `{"nbf":1800000061,`, 1),
		strings.Replace(goodLogout, `{`, `{"nonce":null,`, 1), strings.Replace(goodLogout, `"sub":"alice",`, ``, 1), strings.Replace(goodLogout, `"sub":"alice"`, `"sub":""`, 1), strings.Replace(goodLogout, `:{}`, `:null`, 1),
		strings.Replace(goodLogout, `"jti":"j"`, `"jti":1`, 1), `null`, `[]`, ``, `{}{}`, goodIDToken + " ", goodLogout + "x",
	} {
		f.Add(`{"alg":"EdDSA","kid":"one"}`, claims)
	}
	m := offline(f)
	md := m.meta.last()
	f.Fuzz(func(t *testing.T, header, claims string) {
		b64 := base64.RawURLEncoding.EncodeToString
		body := b64([]byte(header)) + "." + b64([]byte(claims))
		raw := body + "." + b64(ed25519.Sign(fuzzSigner, []byte(body)))
		got, err := m.idToken(t.Context(), raw, md, expected{nonce: "n", accessToken: "access"})
		if err != nil && refused(err) == nil {
			t.Fatalf("got %v, want a refusal", err)
		}
		want := readPlainly(header, claims)
		switch {
		case err == nil && !want.idToken():
			t.Fatalf("taken as an ID token: %s %s", header, claims)
		case err != nil && want.simple && want.idToken():
			t.Fatalf("not taken as an ID token, by %v: %s %s", err, header, claims)
		case err == nil && text(got, "sub") != want.text("sub"):
			t.Fatalf("signed in as %q: %s", text(got, "sub"), claims)
		}
		subject, sid, lerr := m.LogoutToken(t.Context(), raw)
		if lerr != nil && (refused(lerr) == nil || subject+sid != "") {
			t.Fatalf("got %q, %q, %v, want a refusal and nobody", subject, sid, lerr)
		}
		switch {
		case lerr == nil && err == nil:
			t.Fatalf("taken for both: %s %s", header, claims)
		case lerr == nil && !want.logout():
			t.Fatalf("taken as a logout token: %s %s", header, claims)
		case lerr != nil && want.simple && want.logout():
			t.Fatalf("not taken as a logout token, by %v: %s %s", lerr, header, claims)
		case lerr == nil && (subject != want.text("sub") || sid != want.text("sid") || subject+sid == ""):
			t.Fatalf("it ends the session of %q, %q: %s", subject, sid, claims)
		}
		// Whoever changes a signed token has none.
		for _, changed := range []string{body + ".", raw[:len(raw)-1], raw + "A", raw + ".", body + "." + b64(make([]byte, 64)), strings.Replace(raw, ".", "..", 1), raw + "\n"} {
			if _, err := m.idToken(t.Context(), changed, md, expected{nonce: "n"}); refused(err) == nil {
				t.Fatalf("a changed token: got %v, want a refusal", err)
			}
			if _, _, err := m.LogoutToken(t.Context(), changed); refused(err) == nil {
				t.Fatalf("a changed logout token: got %v, want a refusal", err)
			}
		}
	})
}

// reading is a token as somebody reads it who has its two parts and RFC 7519 before them.
type reading struct {
	header, claims map[string]any
	good           bool
	simple         bool // nothing about it is unusual, so that it has to be taken where it is good
}

func readPlainly(header, claims string) (r reading) {
	ok := unique(header, &r.header) && unique(claims, &r.claims)
	_, crit := r.header["crit"]
	kid, hasKID := r.header["kid"]
	b64, hasB64 := r.header["b64"]
	iat, hasIAT := r.time("iat")
	exp, hasExp := r.time("exp")
	nbf, hasNBF := r.time("nbf")
	_, saysNBF := r.claims["nbf"]
	r.good = ok && len(header)+len(claims) < 48<<10 && r.header["alg"] == "EdDSA" && !crit && (!hasKID || kid == "one" || kid == "") && (!hasB64 || b64 == true) &&
		r.claims["iss"] == "https://op.test" && hasIAT && hasExp && exp > fuzzNow-61 && iat < fuzzNow+61 && hasNBF == saysNBF && (!hasNBF || nbf < fuzzNow+61)
	_, azp := r.claims["azp"]
	_, hash := r.claims["at_hash"]
	typ, hasTyp := r.header["typ"]
	_, isText := r.claims["aud"].(string)
	r.simple = len(r.header) == 1+count(hasKID && kid == "one")+count(hasTyp && typ == "JWT") && isText && !azp && !hash && !saysNBF &&
		r.integer("iat") && r.integer("exp") && exp > fuzzNow && iat <= fuzzNow && iat > fuzzNow-3000 && strings.Trim(claims, plainLetters) == "" && len(claims) < 4000
	return r
}

const plainLetters = `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789{}[]:,"./-_`

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *reading) text(name string) string {
	s, _ := r.claims[name].(string)
	return s
}

func (r *reading) time(name string) (float64, bool) {
	n, ok := r.claims[name].(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

func (r *reading) integer(name string) bool {
	n, ok := r.claims[name].(json.Number)
	_, whole := new(big.Int).SetString(string(n), 10)
	return ok && whole && len(n) == 10
}

// isFor reports whether the audience is us, and returns how many there are.
func (r *reading) isFor() (us bool, audiences int) {
	switch aud := r.claims["aud"].(type) {
	case string:
		return aud == "gateway", 1
	case []any:
		for _, a := range aud {
			if s, ok := a.(string); ok && s != "" {
				audiences++
				us = us || s == "gateway"
			}
		}
	}
	return us, audiences
}

func (r *reading) kind() string {
	typ, _ := r.header["typ"].(string)
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

func (r *reading) idToken() bool {
	us, audiences := r.isFor()
	azp, hasAZP := r.claims["azp"]
	hash, hasHash := r.claims["at_hash"]
	_, hasEvents := r.claims["events"]
	sub := r.text("sub")
	iat, _ := r.time("iat")
	return r.good && us && (audiences == 1 || hasAZP) && (!hasAZP || azp == "gateway") && !hasEvents && r.text("nonce") == "n" && (!hasHash || hash == halfHash("EdDSA", "access")) &&
		(r.kind() == "" || r.kind() == "jwt") && sub != "" && len(sub) <= 255 && strings.IndexFunc(sub, func(c rune) bool { return c < ' ' || c > '~' }) < 0 && iat > fuzzNow-86_402
}

func (r *reading) logout() bool {
	us, _ := r.isFor()
	events, _ := r.claims["events"].(map[string]any)
	_, isLogout := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	_, hasNonce := r.claims["nonce"]
	_, hasSub := r.claims["sub"]
	_, hasSID := r.claims["sid"]
	iat, _ := r.time("iat")
	return r.good && us && isLogout && !hasNonce && (hasSub || hasSID) && (!hasSub || r.text("sub") != "") && (!hasSID || r.text("sid") != "") && r.text("jti") != "" &&
		(r.kind() == "" || r.kind() == "jwt" || r.kind() == "logout+jwt") && iat > fuzzNow-3602
}

// unique reads one JSON object, in which nothing is said twice at any depth.
func unique(text string, into *map[string]any) bool {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if dec.Decode(into) != nil || *into == nil || strings.TrimSpace(text[dec.InputOffset():]) != "" {
		return false
	}
	dec = json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	return uniqueValue(dec, 0)
}

func uniqueValue(dec *json.Decoder, depth int) bool {
	tok, err := dec.Token()
	open, isDelim := tok.(json.Delim)
	if err != nil || depth > 40 {
		return false
	}
	if !isDelim {
		return true
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			name, err := dec.Token()
			s, _ := name.(string)
			if err != nil || seen[s] {
				return false
			}
			seen[s] = true
		}
		if !uniqueValue(dec, depth+1) {
			return false
		}
	}
	_, err = dec.Token()
	return err == nil
}
