package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A browser without a screen that holds a key of its own: what it says of the key has to get to
// the gateway through a front proxy, at the gateway's own pages and with the question, and to
// no app.

// deviceKey is a key as a browser holds one (ES256, RFC 7518 section 3.4).
type deviceKey struct{ *ecdsa.PrivateKey }

func newDeviceKey(t *testing.T) deviceKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return deviceKey{key}
}

// proof signs a challenge, and brings the public key where it registers.
func (k deviceKey) proof(t *testing.T, challenge string, registers bool) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	header := map[string]any{"typ": "dbsc+jwt", "alg": "ES256"}
	if registers {
		point, err := k.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		text := base64.RawURLEncoding.EncodeToString
		header["jwk"] = map[string]string{"kty": "EC", "crv": "P-256", "x": text(point[1:33]), "y": text(point[33:])}
	}
	signed := part(header) + "." + part(map[string]string{"jti": challenge})
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.PrivateKey, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	both := make([]byte, 64)
	r.FillBytes(both[:32])
	s.FillBytes(both[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(both)
}

var (
	challengeOf = regexp.MustCompile(`challenge="([^"]+)"`)
	quoted      = regexp.MustCompile(`^"([^"]+)"`)
)

// boundPerson is a browser without a screen whose session may be bound to a key.
type boundPerson struct {
	*person
	public  string
	offered string // what it is to sign with a new key
	key     deviceKey
	id      string // of the binding
	at      page   // the answer to the registration
}

// newBoundPerson signs alice in, over a server that listens at listen.
func newBoundPerson(t *testing.T, public, listen string) *boundPerson {
	t.Helper()
	b := &boundPerson{person: newPerson(t), public: public, key: newDeviceKey(t)}
	b.c.Transport = frontClient(t, listen).Transport
	b.c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if all := challengeOf.FindStringSubmatch(req.Response.Header.Get("Secure-Session-Registration")); all != nil {
			b.offered = all[1]
		}
		return nil
	}
	if at := b.signIn(public+"/", map[string]string{"username": "alice", "password": "correct horse battery"}); at.status != http.StatusOK || !strings.Contains(at.body, ">alice<") {
		t.Fatalf("signed in: got %d at %s: %.500s", at.status, at.url, at.body)
	}
	b.c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

// ask sends a request with headers, given as names and values in turn.
func (b *boundPerson) ask(method, path string, headers ...string) page {
	b.t.Helper()
	req, err := http.NewRequest(method, b.public+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return b.do(req)
}

// bind registers the key, and proves it once.
func (b *boundPerson) bind() {
	b.t.Helper()
	if b.offered == "" {
		b.t.Fatal("the browser is not asked to make a key")
	}
	b.at = b.ask("POST", "/.evergate/dbsc/register", "Secure-Session-Response", b.key.proof(b.t, b.offered, true))
	var config struct {
		ID string `json:"session_identifier"`
	}
	if err := json.Unmarshal([]byte(b.at.body), &config); err != nil || b.at.status != http.StatusOK || config.ID == "" {
		b.t.Fatalf("registration: got %d, %v: %s", b.at.status, err, b.at.body)
	}
	b.id = config.ID
	challenge := quoted.FindStringSubmatch(b.at.header.Get("Secure-Session-Challenge"))
	if challenge == nil {
		b.t.Fatalf("registration: no challenge in %v", b.at.header)
	}
	if got := b.ask("POST", "/.evergate/dbsc/refresh", "Sec-Secure-Session-Id", b.id, "Secure-Session-Response", b.key.proof(b.t, challenge[1], false)); got.status != http.StatusOK || got.body != "" {
		b.t.Fatalf("the proof of the key: got %d: %s", got.status, got.body)
	}
}

// dropProof has the bound cookie be over.
func (b *boundPerson) dropProof() {
	b.t.Helper()
	var left []*http.Cookie
	for _, c := range b.c.Jar.Cookies(b.at.url) {
		if strings.HasSuffix(c.Name, "-bound") {
			left = append(left, &http.Cookie{Name: c.Name, MaxAge: -1, Path: "/", Secure: true})
		}
	}
	if len(left) != 1 {
		b.t.Fatalf("the browser has %d bound cookies, want 1", len(left))
	}
	b.c.Jar.SetCookies(b.at.url, left)
}

// frontBound binds a session through a front proxy, proves its key, and says that the proof was
// skipped.
func frontBound(t *testing.T, front frontProxy) {
	t.Parallel()
	app, port := newFrontApp(t), freePort(t)
	public := "https://apps.evergate.test:" + port
	s := newFrontSetup(t, front, public, port, fmt.Sprintf(`identity: [ local: { users_file: users.yaml } ]
session: { rotation_grace: 1s }
routes:
  - upstream: %q
`, app.URL), map[string]string{"users.yaml": "users: {}\n"}, newCertificates(t, "apps.evergate.test"))
	b := newBoundPerson(t, public, s.listen)
	b.bind()
	time.Sleep(1500 * time.Millisecond) // what was under way at the registration may do without
	app.taken()
	if got := b.ask("GET", "/told", "Secure-Session-Response", evil, "Sec-Secure-Session-Id", evil, "Secure-Session-Skipped", "quota_exceeded"); got.status != http.StatusOK || !strings.Contains(got.body, "alice") {
		t.Errorf("with both cookies: got %d: %s", got.status, got.body)
	}
	for _, r := range app.taken() {
		for name := range r.header {
			if strings.Contains(name, "Secure-Session") {
				t.Errorf("the app gets %s", name)
			}
		}
		if strings.Contains(r.header.Get("Cookie"), "evergate") {
			t.Errorf("the app gets a cookie of the gateway's: %s", r.header.Get("Cookie"))
		}
	}
	b.dropProof()
	if got := b.ask("GET", "/told", "Secure-Session-Skipped", `unreachable;session_identifier="`+b.id+`"`); got.status != http.StatusServiceUnavailable {
		t.Errorf("a browser that says that it could not prove its key: got %d, want 503 and its session kept", got.status)
	}
	if got := b.ask("GET", "/told"); got.status == http.StatusOK || got.status >= 500 {
		t.Errorf("a browser that says nothing: got %d, want it sent to sign in", got.status)
	}
	if seen := app.taken(); len(seen) > 0 {
		t.Errorf("the app saw %d requests without the proof", len(seen))
	}
}

func TestFrontNginxBound(t *testing.T)   { frontBound(t, nginxFront{}) }
func TestFrontHAProxyBound(t *testing.T) { frontBound(t, haproxyFront{}) }
func TestFrontCaddyBound(t *testing.T)   { frontBound(t, caddyFront{}) }
func TestFrontTraefikBound(t *testing.T) { frontBound(t, traefikFront{}) }
func TestFrontEnvoyBound(t *testing.T)   { frontBound(t, envoyFront{}) }
