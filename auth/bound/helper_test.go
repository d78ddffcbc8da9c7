package bound_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/bound"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

const (
	sid       = "__Host-Http-evergate"
	boundSID  = "__Host-evergate-bound"
	boundFor  = 10 * time.Minute
	handleFor = time.Minute // rotation_grace
)

// house is a gateway with its real pages and sessions.
type house struct {
	testing.TB
	http.Handler
	sessions *session.Manager
	store    *store
}

// store is one that can be taken away.
type store struct {
	session.Store
	away atomic.Bool
}

var errAway = errors.New("the disk is gone")

func (s *store) Get(ctx context.Context, k session.Key, atLeast uint64) (session.Record, error) {
	if s.away.Load() {
		return session.Record{}, errAway
	}
	return s.Store.Get(ctx, k, atLeast)
}

func (s *store) Put(ctx context.Context, k session.Key, prev uint64, r session.Record) error {
	if s.away.Load() {
		return errAway
	}
	return s.Store.Put(ctx, k, prev, r)
}

// person is a provider whose people stay who they are.
type person struct{}

func (person) Refresh(_ context.Context, l *auth.Login, _ string) (*auth.Login, error) { return l, nil }

func newHouse(t testing.TB) *house {
	t.Helper()
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{TB: t, store: &store{Store: memory.New()}}
	h.sessions, err = session.New(session.Config{Store: h.store, Ring: ring, Methods: map[string]auth.Refresher{"local": person{}},
		Cookie: sid, IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: handleFor, MaxStale: 10 * time.Minute, BoundFor: boundFor})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := auth.NewHandler(auth.HandlerConfig{
		Sessions: h.sessions, Sealer: ring, PublicURL: &url.URL{Scheme: "https", Host: "gw.test"}, CookiePrefix: sid,
		DeviceKeys: &bound.Handler{Bindings: h.sessions, Once: h.sessions.Once, Log: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Handler = web.Serve(pages, web.Options{})
	return h
}

func (h *house) close() {
	if err := h.sessions.Close(); err != nil {
		h.Error(err)
	}
}

// run has f in a time of its own.
func run(t *testing.T, f func(h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		defer h.close()
		f(h)
	})
}

// device is a browser with its cookies, and the key that it has made.
type device struct {
	h       *house
	cookies map[string]string
	key     *ecdsa.PrivateKey
	jwk     map[string]any
	id      string // of its binding, as it was told
}

// signIn is a browser whose person has signed in.
func (h *house) signIn() *device {
	h.Helper()
	d := &device{h: h, cookies: map[string]string{}}
	d.key, d.jwk = newEC(h, elliptic.P256())
	d.signIn()
	return d
}

// signIn signs its person in, once more if need be.
func (d *device) signIn() {
	d.h.Helper()
	w, now := httptest.NewRecorder(), time.Now()
	login := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}, AuthTime: now,
		AccessToken: auth.Token{Value: secret.New("token"), Issued: now, Expires: now.Add(100 * time.Hour)}}
	if err := d.h.sessions.Begin(w.Header(), d.request("POST", "/.evergate/login"), login, false); err != nil {
		d.h.Fatal(err)
	}
	d.take(w.Result())
}

func (d *device) request(method, path string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "https://gw.test"+path, nil)
	for name, value := range d.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func (d *device) take(res *http.Response) {
	for _, c := range res.Cookies() {
		if d.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(d.cookies, c.Name)
		}
	}
}

// copy is the browser of whoever copied the cookies: its key is another.
func (d *device) copy() *device {
	thief := &device{h: d.h, cookies: map[string]string{}, id: d.id}
	thief.key, thief.jwk = newEC(d.h, elliptic.P256())
	for name, value := range d.cookies {
		thief.cookies[name] = value
	}
	return thief
}

// answer is one that was read.
type answer struct {
	*http.Response
	body string
}

// send sends a request, and keeps what cookies come of it.
func (d *device) send(method, path string, header ...string) answer {
	d.h.Helper()
	a := d.sendOnce(method, path, header...)
	d.take(a.Response)
	return a
}

// sendOnce is send, and the answer is lost on its way.
func (d *device) sendOnce(method, path string, header ...string) answer {
	d.h.Helper()
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, d.request(method, path, header...))
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		d.h.Fatal(err)
	}
	return answer{res, string(body)}
}

// registration is a proof over challenge that brings the key along, and refresh one that does not.
func (d *device) registration(challenge string) string {
	return sign(d.h, jwt.SigningMethodES256, d.key, map[string]any{"jwk": d.jwk}, jwt.MapClaims{"jti": challenge})
}

func (d *device) proof(challenge string) string {
	return sign(d.h, jwt.SigningMethodES256, d.key, nil, jwt.MapClaims{"jti": challenge})
}

var offered = regexp.MustCompile(`^\(ES256 RS256\);path="(/[^"]+)";challenge="([^"]+)"$`)

// offer is where the browser is asked to register, and with which challenge.
func (d *device) offer() (path, challenge string) {
	d.h.Helper()
	a := d.send("GET", "/.evergate/landed")
	m := offered.FindStringSubmatch(a.Header.Get("Secure-Session-Registration"))
	if m == nil {
		d.h.Fatalf("got %d with the offer %q, want one", a.StatusCode, a.Header.Values("Secure-Session-Registration"))
	}
	return m[1], m[2]
}

// bind has the browser register, and returns the challenge that it is given for the next time.
func (d *device) bind() (next string) {
	d.h.Helper()
	path, challenge := d.offer()
	a := d.send("POST", path, "Secure-Session-Response", d.registration(challenge))
	if a.StatusCode != 200 {
		d.h.Fatalf("to register: got %d %s", a.StatusCode, a.body)
	}
	d.id = a.next(d.h).id
	return a.next(d.h).challenge
}

// refresh sends a proof, or none where it is "".
func (d *device) refresh(proof string) answer {
	d.h.Helper()
	header := []string{"Sec-Secure-Session-Id", d.id}
	if proof != "" {
		header = append(header, "Secure-Session-Response", proof)
	}
	return d.send("POST", bound.RefreshPath, header...)
}

// asked is refresh without a proof: the challenge that comes of it.
func (d *device) asked() string {
	d.h.Helper()
	a := d.refresh("")
	a.asks(d.h, d.id)
	return a.next(d.h).challenge
}

// challenged is what a browser reads of Secure-Session-Challenge.
type challenged struct{ challenge, id string }

var challengeLine = regexp.MustCompile(`^"([!#-\[\]-~]+)";id="([0-9a-f]+)"$`)

func (a answer) next(t testing.TB) challenged {
	t.Helper()
	lines := a.Header.Values("Secure-Session-Challenge")
	if len(lines) != 1 {
		t.Fatalf("got %d %.200q with the challenges %q, want one", a.StatusCode, a.body, lines)
	}
	m := challengeLine.FindStringSubmatch(lines[0])
	if m == nil {
		t.Fatalf("the challenge %q is no string with an id (RFC 9651)", lines[0])
	}
	return challenged{m[1], m[2]}
}

// asks: the browser is to sign a challenge first. Another 403 would be the end of its binding.
func (a answer) asks(t testing.TB, id string) {
	t.Helper()
	if a.StatusCode != 403 || a.next(t).id != id || len(a.Cookies()) != 0 {
		t.Errorf("got %d for %q with %d cookies, want 403 with a challenge for %q alone", a.StatusCode, a.next(t).id, len(a.Cookies()), id)
	}
	a.ours(t)
}

// refuses: the answer has the status, and gives nothing.
func (a answer) refuses(t testing.TB, status int) {
	t.Helper()
	if a.StatusCode != status || len(a.Cookies()) != 0 || a.Header.Get("Secure-Session-Challenge") != "" {
		t.Errorf("got %d %.300s with %d cookies and the challenge %q, want %d and nothing", a.StatusCode, a.body, len(a.Cookies()), a.Header.Get("Secure-Session-Challenge"), status)
	}
	a.ours(t)
}

// proves: the browser got its next bound cookie, and nothing else changed for it.
func (a answer) proves(t testing.TB, id string) {
	t.Helper()
	if a.StatusCode != 200 || a.body != "" || len(a.Cookies()) != 1 || a.Cookies()[0].Name != boundSID || a.next(t).id != id {
		t.Errorf("got %d %.300q with %v, want 200, no body, the bound cookie and the next challenge", a.StatusCode, a.body, a.Header)
	}
	a.ours(t)
}

// isOver is what tells a browser to forget the binding that it asked for.
var isOver = regexp.MustCompile(`^\{"session_identifier":"[0-9a-f]+","continue":false\}$`)

// ends: the browser is told to forget its binding.
func (a answer) ends(t testing.TB) {
	t.Helper()
	if a.StatusCode != 200 || !isOver.MatchString(a.body) || a.Header.Get("Content-Type") != "application/json" || len(a.Cookies()) != 0 {
		t.Errorf("got %d %q of %q with %d cookies, want to be told not to continue", a.StatusCode, a.body, a.Header.Get("Content-Type"), len(a.Cookies()))
	}
	a.ours(t)
}

// ours: it is kept nowhere, shown nowhere, and no other origin's. Neither a redirect nor a 429
// is ever among the answers: a browser would give its binding up.
func (a answer) ours(t testing.TB) {
	t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%d has %s %q, want %q", a.StatusCode, name, got, want)
		}
	}
	if !strings.Contains(a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%d may be framed: %q", a.StatusCode, a.Header.Get("Content-Security-Policy"))
	}
	for name := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%d has %s: %q, and is nobody else's to read", a.StatusCode, name, a.Header[name])
		}
	}
	if a.StatusCode == 429 || a.StatusCode/100 == 3 {
		t.Errorf("got %d, at which browsers give the binding up", a.StatusCode)
	}
}

// named is a test that says which row of its table something is about.
type named struct {
	testing.TB
	name string
}

// Errorf implements testing.TB.
func (n named) Errorf(format string, args ...any) {
	n.TB.Helper()
	n.TB.Errorf(n.name+": "+format, args...)
}
