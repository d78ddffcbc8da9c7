package dpop_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/dpop/dpopcheck"
)

// The key of RFC 9449's examples has no private half there; this is the one of RFC 7517
// appendix A.2, whose thumbprint other programs compute to the same.
const (
	scalar     = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
	pointX     = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
	pointY     = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
	thumbprint = "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
)

func TestKeyOfRFC7517(t *testing.T) {
	k, err := dpop.ParseKey(scalar)
	if err != nil || k.Reveal() != scalar || k.Thumbprint() != thumbprint {
		t.Fatalf("got %q with the thumbprint %q, %v", k.Reveal(), k.Thumbprint(), err)
	}
	header, _ := parts(t, prove(t, k, dpop.Request{Method: "GET", URL: "https://a.test/"}))
	want := map[string]any{"kty": "EC", "crv": "P-256", "x": pointX, "y": pointY}
	if fmt.Sprint(header["jwk"]) != fmt.Sprint(want) {
		t.Errorf("got the JWK %v, want %v", header["jwk"], want)
	}
	if header["typ"] != "dpop+jwt" || header["alg"] != "ES256" || len(header) != 3 {
		t.Errorf("got the header %v", header)
	}
}

// TestThumbprintOfRFC9449: the JWK of its section 4.1 has the jkt of its section 6.1.
func TestThumbprintOfRFC9449(t *testing.T) {
	text := `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`
	var jwk map[string]string
	if err := json.Unmarshal([]byte(text), &jwk); err != nil {
		t.Fatal(err)
	}
	if got := dpopcheck.Thumbprint(jwk); got != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
		t.Errorf("the verifier of these tests takes the wrong thumbprint: %s", got)
	}
}

// TestVerifierAgainstRFC9449 holds the verifier of these tests to the proofs that the
// standard prints (sections 4.1 and 7.1).
func TestVerifierAgainstRFC9449(t *testing.T) {
	const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	const atToken = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	const atResource = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	for _, c := range []struct {
		proof string
		want  dpopcheck.Want
	}{
		{atToken, dpopcheck.Want{Method: "POST", URL: "https://server.example.com/token", Time: time.Unix(1562262616, 0)}},
		{atResource, dpopcheck.Want{Method: "GET", URL: "https://resource.example.org/protectedresource", Token: token, Thumbprint: jkt, Time: time.Unix(1562262618, 0)}},
	} {
		if got, err := dpopcheck.Verify(c.proof, c.want); err != nil || got.Thumbprint != jkt {
			t.Errorf("%s %s: got %+v, %v", c.want.Method, c.want.URL, got, err)
		}
	}
}

// TestProofs: each is good for its own request, and for no other.
func TestProofs(t *testing.T) {
	k, now := newKey(t), time.Unix(1_800_000_000, 0)
	asked := dpop.Request{Method: "POST", URL: "https://a.test:8443/x%2Fy/?q=secret#part", Token: "token of alice", Nonce: "nonce-1", Time: now}
	good := dpopcheck.Want{Method: "POST", URL: "https://a.test:8443/x%2Fy/", Token: "token of alice", Nonce: "nonce-1", Thumbprint: k.Thumbprint(), Time: now}
	proof := prove(t, k, asked)
	if _, err := dpopcheck.Verify(proof, good); err != nil {
		t.Fatal(err)
	}
	if _, claims := parts(t, proof); strings.Contains(fmt.Sprint(claims), "secret") || strings.Contains(fmt.Sprint(claims), "alice") {
		t.Errorf("the proof tells of the query or of the token: %v", claims)
	}
	for name, other := range map[string]func(*dpopcheck.Want){
		"another method": func(w *dpopcheck.Want) { w.Method = "GET" },
		"another path":   func(w *dpopcheck.Want) { w.URL = "https://a.test:8443/x/y/" },
		"another host":   func(w *dpopcheck.Want) { w.URL = "https://b.test:8443/x%2Fy/" },
		"another token":  func(w *dpopcheck.Want) { w.Token = "token of bob" },
		"another nonce":  func(w *dpopcheck.Want) { w.Nonce = "nonce-2" },
		"another key":    func(w *dpopcheck.Want) { w.Thumbprint = newKey(t).Thumbprint() },
		"another time":   func(w *dpopcheck.Want) { w.Time = now.Add(10 * time.Minute) },
	} {
		want := good
		if other(&want); passes(proof, want) {
			t.Errorf("it is good for %s", name)
		}
	}
	_, bare := parts(t, prove(t, k, dpop.Request{Method: "GET", URL: "https://a.test/", Time: now}))
	for _, name := range []string{"ath", "nonce"} {
		if _, there := bare[name]; there {
			t.Errorf("a proof without token and nonce has %s", name)
		}
	}
}

func passes(proof string, want dpopcheck.Want) bool {
	_, err := dpopcheck.Verify(proof, want)
	return err == nil
}

// TestNoProofTwice: the same request has a new proof each time.
func TestNoProofTwice(t *testing.T) {
	k, seen := newKey(t), map[string]bool{}
	for range 1000 {
		_, claims := parts(t, prove(t, k, dpop.Request{Method: "GET", URL: "https://a.test/", Time: time.Unix(1_800_000_000, 0)}))
		id, _ := claims["jti"].(string)
		if len(id) < 16 || seen[id] {
			t.Fatalf("got the jti %q, want a new one each time", id)
		}
		seen[id] = true
	}
}

// TestKeyNeverShows prints a key in every way that a log, an error or an API has.
func TestKeyNeverShows(t *testing.T) {
	k := newKey(t)
	var b bytes.Buffer
	holder := struct{ Key *dpop.Key }{k}
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x %d %v %+v %#v\n", k, k, k, k, k, k, k, holder, holder, &holder)
	if err := json.NewEncoder(&b).Encode(holder); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "key", k, "holder", holder)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "key", k, "holder", holder)
	if strings.Contains(b.String(), k.Reveal()) || strings.Count(b.String(), "[redacted]") < 8 {
		t.Errorf("got %s", &b)
	}
	if none := (*dpop.Key)(nil); none.Reveal() != "" || none.Thumbprint() != "" || fmt.Sprint(none) != "" {
		t.Error("no key shows something")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	if k, err := dpop.ParseKey(""); k != nil || err != nil {
		t.Errorf("got %v, %v for no key", k, err)
	}
	for _, text := range []string{"x", scalar[1:], scalar + "A", scalar + "=", strings.Repeat("A", 43), strings.Repeat("_", 42) + "8", "secret text"} {
		k, err := dpop.ParseKey(text)
		if err == nil || k != nil || strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %v, %v, want an error that does not quote it", text, k, err)
		}
	}
}

func TestNonces(t *testing.T) {
	var n dpop.Nonces
	header := func(lines ...string) http.Header { return http.Header{dpop.NonceHeader: lines} }
	n.Learn("a", header("one"))
	n.Learn("b", header("other"))
	n.Learn("a", header("two"))
	for _, none := range [][]string{{}, {""}, {"with space"}, {`quo"te`}, {`back\slash`}, {"lätin"}, {"x", "y"}, {strings.Repeat("x", 513)}} {
		n.Learn("a", header(none...))
	}
	if n.For("a") != "two" || n.For("b") != "other" || n.For("c") != "" {
		t.Errorf("got %q, %q, %q, want the newest of each that can be one", n.For("a"), n.For("b"), n.For("c"))
	}
	for i := range 1000 {
		n.Learn(fmt.Sprint("server ", i), header("x"))
	}
	remembered := 0
	for i := range 1000 {
		if n.For(fmt.Sprint("server ", i)) != "" {
			remembered++
		}
	}
	if remembered == 0 || remembered > 64 || n.For("server 999") == "" {
		t.Errorf("%d servers are remembered, want some, the last one among them, and 64 at most", remembered)
	}
}

func TestBound(t *testing.T) {
	k := newKey(t)
	jwt := func(claims string) string {
		b := base64.RawURLEncoding
		return b.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + b.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for token, want := range map[string]string{
		jwt(`{"cnf":{"jkt":"` + k.Thumbprint() + `"}}`): "",
		jwt(`{"cnf":{"jkt":"` + thumbprint + `"}}`):     "another key",
		jwt(`{"sub":"x"}`):                              "no cnf.jkt",
		jwt(`{"cnf":{"x5t#S256":"x"}}`):                 "no cnf.jkt",
		jwt(`{"cnf":"` + k.Thumbprint() + `"}`):         "no cnf.jkt",
		"opaque":                                        "", "a.b.c": "", "with.four.dots.in": "", jwt("no JSON"): "",
	} {
		err := k.Bound(token)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", token, err, want)
		}
	}
}

func newKey(t *testing.T) *dpop.Key {
	t.Helper()
	k, err := dpop.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := dpop.ParseKey(k.Reveal())
	if err != nil || again.Thumbprint() != k.Thumbprint() {
		t.Fatalf("a key that was read again is another one: %v", err)
	}
	return again
}

func prove(t *testing.T, k *dpop.Key, r dpop.Request) string {
	t.Helper()
	proof, err := k.Prove(r)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func parts(t *testing.T, proof string) (header, claims map[string]any) {
	t.Helper()
	for i, part := range strings.Split(proof, ".")[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil {
			err = json.Unmarshal(text, []*map[string]any{&header, &claims}[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func BenchmarkProve(b *testing.B) {
	k, err := dpop.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	r := dpop.Request{Method: "GET", URL: "https://a.test/a/path", Token: strings.Repeat("t", 800), Nonce: "nonce", Time: time.Now()}
	for b.Loop() {
		if _, err := k.Prove(r); err != nil {
			b.Fatal(err)
		}
	}
}
