package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzDiscovery: what a provider says of itself is believed where it is this provider, and each
// address is one that a secret may be sent to. No word of it stands in what is logged of it but
// the issuer's.
func FuzzDiscovery(f *testing.F) {
	for _, body := range []string{
		`{"issuer":"ISS","authorization_endpoint":"ISS/a","token_endpoint":"ISS/t","jwks_uri":"ISS/k","end_session_endpoint":"","scopes_supported":["openid"],"authorization_response_iss_parameter_supported":true}`,
		`{"issuer":"ISS/","authorization_endpoint":"ISS/a","token_endpoint":"ISS/t","jwks_uri":"ISS/k"}`,
		`{"issuer":"ISS","authorization_endpoint":"http://a.example/a","token_endpoint":"//t.example","jwks_uri":"https://k.example#x"}`,
		`{"issuer":"ISS","authorization_endpoint":"http://localhost/a","token_endpoint":"https://user:pass@t.example","jwks_uri":"file:///etc/passwd"}`,
		`{"issuer":"ISS","authorization_endpoint":"ISS/a#x","token_endpoint":"ISS/t","jwks_uri":"ISS/k"}`, `{"issuer":"ISS","authorization_endpoint":"ISS/a","token_endpoint":"ISS/t","jwks_uri":"ISS/k","revocation_endpoint":"http://r.example/"}`,
		`{"issuer":"https://login.example/{tenantid}/v2.0"}`, `{"issuer":["ISS"]}`, `[]`, `null`, ``, `{"ISSUER":"ISS"}`,
	} {
		f.Add(body, "https://op.test", 200)
		f.Add(body, "http://localhost:9", 200)
	}
	f.Add("{}", "https://op.test", 503)
	f.Fuzz(func(t *testing.T, body, issuer string, status int) {
		own, err := url.Parse(issuer)
		if err != nil || !safeURL(own, own) {
			return // New takes no such issuer
		}
		body = strings.ReplaceAll(body, "ISS", issuer)
		md, err := readMetadata(&answer{status: status, header: http.Header{}, body: []byte(body)}, issuer)
		if (err == nil) != (md != nil) {
			t.Fatalf("got %+v, %v, want one of the two", md, err)
		}
		if err != nil {
			if text := err.Error(); len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
				t.Fatalf("the error is not fit for a log: %q", text)
			}
			return
		}
		var said map[string]any // exact names; the last of several that are alike counts
		if json.Unmarshal([]byte(body), &said) != nil || status != 200 || md.Issuer != issuer {
			t.Fatalf("it is believed with status %d and issuer %q, want %q: %s", status, md.Issuer, issuer, body)
		}
		for name, address := range map[string]string{"a": md.Authorize, "t": md.Token, "k": md.Keys, "": md.Userinfo, " ": md.EndSession, "  ": md.Revocation, "   ": md.PAR} {
			if address == "" && strings.TrimSpace(name) == "" {
				continue
			}
			u, err := url.Parse(address)
			secure := err == nil && u.Scheme == "https" || err == nil && u.Scheme == "http" && own.Scheme == "http"
			if !secure || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
				t.Fatalf("it is believed with %q: %s", address, body)
			}
		}
		again, err := json.Marshal(md)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := readMetadata(&answer{status: 200, header: http.Header{}, body: again}, issuer); err != nil || !reflect.DeepEqual(same, md) {
			t.Fatalf("it is read from its own writing as %+v, %v, want %+v", same, err, md)
		}
	})
}

// FuzzKeySet: what a provider publishes gives keys that can check signatures and do nothing
// else, each for the algorithms of its kind; and what is published anew of them is the same.
func FuzzKeySet(f *testing.F) {
	for _, body := range []string{
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","use":"sig","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"oct","k":"AAAA","kid":"hs"}]}`,
		`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"AAAA"}]}`,
		`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("AQAB", 86) + `","e":"AQAB","alg":"RS256"},{"kty":"RSA","n":"` + strings.Repeat("_", 342) + `","e":"Aw"}]}`,
		`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`,
		`{"keys":[{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{},null,7]}`, `{"keys":{}}`, `{"keys":[]}`, `[]`, ``,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		set, err := readKeys(&answer{status: 200, header: http.Header{}, body: []byte(body)})
		if (err == nil) != (set != nil) || set != nil && len(set.keys) == 0 {
			t.Fatalf("got %+v, %v, want keys or an error", set, err)
		}
		if err != nil {
			return
		}
		var again []any
		for i := range set.keys {
			k := &set.keys[i]
			var algs []string
			for _, alg := range append([]string{"none", "HS256", "HS512", "ES256K", "Ed25519"}, algorithms...) {
				if k.fits(alg) {
					algs = append(algs, alg)
				}
			}
			if want := fitting(k); !slices.Equal(algs, want) {
				t.Fatalf("%+v is for %v, want %v: %s", k, algs, want, body)
			}
			again = append(again, published(t, k))
		}
		text, err := json.Marshal(map[string]any{"keys": again})
		if err != nil {
			t.Fatal(err)
		}
		if same, err := readKeys(&answer{status: 200, header: http.Header{}, body: text}); err != nil || !reflect.DeepEqual(same, set) {
			t.Fatalf("published anew they are %+v, %v, want %+v", same, err, set)
		}
		for _, alg := range algorithms {
			if k := set.find("", alg); k != nil && !k.fits(alg) {
				t.Fatalf("%s: got a key that is for something else", alg)
			}
		}
	})
}

// fitting are the algorithms of the kind of k, in the order of algorithms, or the one that it
// says.
func fitting(k *publicKey) (algs []string) {
	var kind []string
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 8192 && key.E >= 3 {
			kind = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		}
	case *ecdsa.PublicKey:
		if _, err := key.Bytes(); err == nil { // only of a point on the curve
			kind = map[elliptic.Curve][]string{elliptic.P256(): {"ES256"}, elliptic.P384(): {"ES384"}, elliptic.P521(): {"ES512"}}[key.Curve]
		}
	case ed25519.PublicKey:
		if len(key) == 32 {
			kind = []string{"EdDSA"}
		}
	}
	for _, alg := range kind {
		if k.alg == "" || k.alg == alg || k.alg == "Ed25519" && alg == "EdDSA" {
			algs = append(algs, alg)
		}
	}
	return algs
}

// published is k as a provider publishes it.
func published(t *testing.T, k *publicKey) map[string]any {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	var jwk map[string]any
	switch key := crypto.PublicKey(k.key).(type) {
	case *rsa.PublicKey:
		jwk = map[string]any{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := (len(point) - 1) / 2
		jwk = map[string]any{"kty": "EC", "crv": key.Curve.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		jwk = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
	default:
		t.Fatalf("got a key of type %T, which checks no signature that is believed", key)
	}
	jwk["kid"], jwk["alg"] = k.id, k.alg
	return jwk
}

// FuzzCallbackAnswer: a code is taken from a callback that says it once, of this issuer, and
// tells of no error.
func FuzzCallbackAnswer(f *testing.F) {
	for _, query := range []string{
		"code=c&state=s", "code=c&state=s&iss=https%3A%2F%2Fop.test", "code=c&iss=https%3A%2F%2Fevil.example", "code=c&code=d", "error=access_denied&error_description=%0d%0a", "error=%22&code=c",
		"iss=&code=c", "code=", "", "code=c&error=", "%63ode=c", "code=c;state=s", "state=a&state=b&code=c",
	} {
		f.Add(query, false)
		f.Add(query, true)
	}
	m := offline(f)
	f.Fuzz(func(t *testing.T, query string, issParameter bool) {
		answer, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		code, err := m.code(t.Context(), answer, &metadata{IssParameter: issParameter})
		count := map[string]int{}
		first := map[string]string{}
		for pair := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			name, _ = url.QueryUnescape(name)
			value, _ = url.QueryUnescape(value)
			if count[name]++; count[name] == 1 {
				first[name] = value
			}
		}
		once := count["code"] == 1 && count["state"] <= 1 && count["iss"] <= 1 && count["error"] <= 1
		ours := first["iss"] == m.cfg.Issuer || count["iss"] == 0 && !issParameter
		want := once && ours && first["code"] != "" && first["error"] == ""
		if (err == nil) != want || want && code != first["code"] || !want && code != "" {
			t.Fatalf("%q: got %q, %v, want it taken: %v", query, code, err, want)
		}
		if err != nil {
			if refused(err) == nil {
				t.Fatalf("%q: got %v, want a refusal", query, err)
			}
			if code := refused(err).Code; len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\", r) }) {
				t.Fatalf("%q: the code %q is not fit to be shown", query, code)
			}
		}
	})
}
