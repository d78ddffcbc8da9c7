package attacks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the cases about sessions that are bound to a device need of a lab besides.

const (
	boundCookie  = "__Host-evergate-bound"
	registerPath = "/.evergate/dbsc/register"
	refreshPath  = "/.evergate/dbsc/refresh"
	// boundLife is the least that session.bound_for takes, and boundGrace how much longer a bound
	// cookie is taken.
	boundLife  = 10 * time.Second
	boundGrace = time.Second
)

const boundRoutes = usualRoutes + `  - match: { path: /lax/ }
    device_bound: off
    upstream: %[1]q
  - match: { path: /strict/ }
    device_bound: require
    upstream: %[1]q
`

const boundSession = "session: { bound_for: 10s, rotation_grace: 1s }\n"

// browser is a jar, and the key of its device. Nobody copies that.
type browser struct {
	*jar
	key  *ecdsa.PrivateKey
	id   string // of its binding
	next string // the challenge that it was given last
	held time.Time
}

func (l *lab) newKey() *ecdsa.PrivateKey {
	l.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return must(l.t, key, err)
}

// arrive is a browser whose person has just signed in, with the challenge that it is offered.
func (l *lab) arrive(user string) (b *browser, offered string) {
	l.t.Helper()
	b = &browser{jar: l.newJar("the browser of " + user), key: l.newKey()}
	l.before.audit = len(l.events())
	form := url.Values{"username": {user}, "password": {password}, "rd": {"/"}}.Encode()
	r := b.keep(l.post("/.evergate/login", form, b.lines("Origin: https://"+l.host)...))
	r.status(l.t, http.StatusSeeOther)
	l.settled("session.started")
	return b, b.offer(r.Header.Get("Location"))
}

var boundOffer = regexp.MustCompile(`^\(ES256 RS256\);path="` + registerPath + `";challenge="([^"]+)"$`)

// offer is the challenge that an answer offers the browser to bind its session with.
func (b *browser) offer(target string) string {
	b.l.t.Helper()
	r := b.keep(b.l.get(target, b.lines()...))
	m := boundOffer.FindStringSubmatch(r.Header.Get("Secure-Session-Registration"))
	if m == nil {
		b.l.t.Fatalf("%s: got %d with the offer %q, want one", target, r.StatusCode, r.Header.Get("Secure-Session-Registration"))
	}
	b.l.secrets.add("a challenge", m[1])
	return m[1]
}

// bound is a browser with a session that is bound, and nothing of the time before on its way.
// It is no part of what a case leaves behind.
func (l *lab) bound(user string) *browser {
	l.t.Helper()
	b, offered := l.arrive(user)
	b.registered(b.register(b.registration(offered)))
	l.settled("session.bound")
	time.Sleep(boundGrace + 100*time.Millisecond)
	return b
}

// own are the header lines of what a browser sends by itself, which is no page of anybody's.
func (b *browser) own(more ...string) []string {
	return slices.DeleteFunc(b.lines(more...), func(line string) bool { return strings.HasPrefix(line, "Accept: ") })
}

// register sends a proof with the registration; header lines may follow.
func (b *browser) register(proof string, more ...string) *reply {
	b.l.t.Helper()
	return b.keep(b.l.post(registerPath, "", b.own(append(more, "Secure-Session-Response: "+proof)...)...))
}

// registered takes over what a browser is told as it has registered.
func (b *browser) registered(r *reply) {
	b.l.t.Helper()
	var is struct {
		ID string `json:"session_identifier"`
	}
	if err := json.Unmarshal([]byte(r.body), &is); r.StatusCode != 200 || err != nil || is.ID == "" || b.all[boundCookie] == "" {
		b.l.t.Fatalf("to register: got %d %.300s (%v)", r.StatusCode, r.body, err)
	}
	b.id, b.held = is.ID, time.Now()
	b.challenged(r)
}

var boundChallenge = regexp.MustCompile(`^"([^"]+)";id="([^"]+)"$`)

// challenged takes over the challenge of an answer, which is for this binding.
func (b *browser) challenged(r *reply) string {
	b.l.t.Helper()
	m := boundChallenge.FindStringSubmatch(r.Header.Get("Secure-Session-Challenge"))
	if m == nil || m[2] != b.id {
		b.l.t.Fatalf("got %d %.200q with the challenge %q, want one for %q", r.StatusCode, r.body, r.Header.Get("Secure-Session-Challenge"), b.id)
	}
	b.next = m[1]
	b.l.secrets.add("a challenge", b.next)
	return b.next
}

// refresh sends a proof to have the bound cookie renewed, or none where it is "".
func (b *browser) refresh(proof string, more ...string) *reply {
	b.l.t.Helper()
	lines := append(more, "Sec-Secure-Session-Id: "+b.id)
	if proof != "" {
		lines = append(lines, "Secure-Session-Response: "+proof)
	}
	return b.keep(b.l.post(refreshPath, "", b.own(lines...)...))
}

// asked has the gateway ask for a proof, as a browser without a challenge does.
func (b *browser) asked() (challenge string) {
	b.l.t.Helper()
	return b.asks(b.refresh(""))
}

// asks: the browser is to sign another challenge, and gets nothing else.
func (b *browser) asks(r *reply) (challenge string) {
	b.l.t.Helper()
	if r.StatusCode != 403 || len(r.Cookies()) != 0 {
		b.l.t.Errorf("got %d %.200q with %d cookies, want 403 and a challenge", r.StatusCode, r.body, len(r.Cookies()))
	}
	return b.challenged(r)
}

// prove is the whole round trip. The browser has its next bound cookie then.
func (b *browser) prove() {
	b.l.t.Helper()
	b.proves(b.refresh(b.proof(b.asked())))
}

// proves: the answer has the next bound cookie and the next challenge, and nothing else.
func (b *browser) proves(r *reply) {
	b.l.t.Helper()
	if r.StatusCode != 200 || r.body != "" || len(r.Cookies()) != 1 || r.Cookies()[0].Name != boundCookie {
		b.l.t.Errorf("got %d %.200q with %v, want 200, an empty body and the bound cookie", r.StatusCode, r.body, r.Header)
	}
	b.held = time.Now()
	b.challenged(r)
}

// refuses: the answer has the status, and neither cookie nor challenge, and sends nobody anywhere.
func (b *browser) refuses(what string, r *reply, status int) {
	b.l.t.Helper()
	if r.StatusCode != status || len(r.Cookies()) != 0 || r.Header.Get("Secure-Session-Challenge") != "" || r.Header.Get("Location") != "" {
		b.l.t.Errorf("%s: got %d %.200q with %v, want %d and nothing", what, r.StatusCode, r.body, r.Header, status)
	}
}

// without is the same browser with its bound cookie gone, as it is once that is over.
func (b *browser) without() *browser {
	same := *b
	same.jar = b.copy(b.agent)
	delete(same.all, boundCookie)
	return &same
}

// stolen is the browser of whoever copied the jar: all cookies, what the owner's browser knows of
// its binding, and a key of the thief's own.
func (b *browser) stolen() *browser {
	return &browser{jar: b.copy("the thief's browser"), key: b.l.newKey(), id: b.id, next: b.next, held: b.held}
}

// over waits until the bound cookie that the browser has is worth nothing.
func (b *browser) over() {
	time.Sleep(time.Until(b.held.Add(boundLife + boundGrace + 200*time.Millisecond)))
}

// jwk is the public half of a key.
func jwkOf(t *testing.T, key *ecdsa.PrivateKey) map[string]any {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	point = must(t, point, err)
	half := len(point) / 2
	return map[string]any{"kty": "EC", "crv": key.Curve.Params().Name, "x": b64url(point[1 : 1+half]), "y": b64url(point[1+half:])}
}

func b64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// boundHead is what a proof begins with; fields of nil are left out.
func boundHead(alg string, fields map[string]any) map[string]any {
	head := map[string]any{"typ": "dbsc+jwt", "alg": alg}
	for name, value := range fields {
		if head[name] = value; value == nil {
			delete(head, name)
		}
	}
	return head
}

// registration is the proof that brings the key along, and proof the one that does not.
func (b *browser) registration(challenge string) string {
	b.l.t.Helper()
	return b.signed(boundHead("ES256", map[string]any{"jwk": jwkOf(b.l.t, b.key)}), challenge)
}

func (b *browser) proof(challenge string) string {
	b.l.t.Helper()
	return b.signed(boundHead("ES256", nil), challenge)
}

// signed is a proof with that header by the browser's key. What is not right about it is the header's.
func (b *browser) signed(head map[string]any, challenge string) string {
	b.l.t.Helper()
	return b.l.signed(head, challenge, b.key)
}

// signed signs by hand, as RFC 7515 has it: with what key is at hand, whatever the header says.
func (l *lab) signed(head map[string]any, challenge string, key any) string {
	l.t.Helper()
	first, err := json.Marshal(head)
	first = must(l.t, first, err)
	second, err := json.Marshal(map[string]any{"jti": challenge})
	text := b64url(first) + "." + b64url(must(l.t, second, err))
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		size := (key.Curve.Params().BitSize + 7) / 8
		signature = append(must(l.t, r, err).FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		signature = must(l.t, signature, err)
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	}
	proof := text + "." + b64url(signature)
	l.secrets.add("a proof", proof)
	return proof
}

// rsaJWK is the public half of an RSA key.
func rsaJWK(key *rsa.PublicKey) map[string]any {
	return map[string]any{"kty": "RSA", "n": b64url(key.N.Bytes()), "e": b64url(big.NewInt(int64(key.E)).Bytes())}
}

// boundOurs: the answer is kept nowhere, is no other origin's, and in no frame.
func (l *lab) boundOurs(what string, r *reply) {
	l.t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Location": ""} {
		if got := r.Header.Get(name); got != want {
			l.t.Errorf("%s: %d has %s %q, want %q", what, r.StatusCode, name, got, want)
		}
	}
	if r.StatusCode == 200 && !strings.Contains(r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		l.t.Errorf("%s may be framed: %q", what, r.Header.Get("Content-Security-Policy"))
	}
}
