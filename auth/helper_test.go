package auth_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
)

// sessions keeps sign-ins in a map behind a random cookie.
type sessions struct {
	mu    sync.Mutex
	live  map[string]*auth.Login
	fault error // of whatever is asked, while set
	// beginFault is that of Begin alone.
	beginFault error
	// detour sends each request that has not been sent there on a detour.
	detour bool
	asked  func(*http.Request) // hears of each request, if set
	begun  func(*http.Request) // hears of each that a session begins by, if set
}

const sessionCookie = "evergate-80"

func (s *sessions) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: sessionCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: age}
}

func (s *sessions) Authenticate(r *http.Request) (*auth.Login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked != nil {
		s.asked(r)
	}
	if s.fault != nil {
		return nil, s.fault
	}
	if s.detour && len(r.CookiesNamed("detour")) == 0 {
		return nil, &auth.Detour{Cookies: []*http.Cookie{{Name: "detour", Value: "1", Path: "/"}}}
	}
	cookies := r.CookiesNamed(sessionCookie)
	switch {
	case len(cookies) == 0:
		return nil, &auth.Absent{Reason: auth.NoCookie}
	case len(cookies) > 1:
		return nil, &auth.Absent{Reason: auth.Duplicate, Clear: []*http.Cookie{s.cookie("", -1)}}
	case s.live[cookies[0].Value] == nil:
		return nil, &auth.Absent{Reason: auth.Ended}
	}
	return s.live[cookies[0].Value], nil
}

func (s *sessions) Begin(h http.Header, r *http.Request, login *auth.Login, remember bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	if s.beginFault != nil {
		return s.beginFault
	}
	if s.begun != nil {
		s.begun(r)
	}
	for _, c := range r.CookiesNamed(sessionCookie) {
		delete(s.live, c.Value)
	}
	id, age, started := rand.Text(), 0, *login
	if remember {
		age = 3600
	}
	started.Session = &live{id: id[:8], remembered: remember}
	s.live[id] = &started
	h.Add("Set-Cookie", s.cookie(id, age).String())
	return nil
}

func (s *sessions) End(h http.Header, r *http.Request) (*auth.Login, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	h.Add("Set-Cookie", s.cookie("", -1).String())
	for _, c := range r.CookiesNamed(sessionCookie) {
		if login := s.live[c.Value]; login != nil {
			delete(s.live, c.Value)
			return login, nil
		}
	}
	return nil, nil
}

// EndAll ends what a provider says is over, by subject or sid.
func (s *sessions) EndAll(_ context.Context, provider, subject, sid string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return 0, s.fault
	}
	before := len(s.live)
	maps.DeleteFunc(s.live, func(_ string, l *auth.Login) bool {
		return l.Identity.Provider == provider && (subject == "" || l.Identity.Subject == subject) && (sid == "" || l.SID == sid)
	})
	return before - len(s.live), nil
}

// forget ends all sessions, as their lifetime does.
func (s *sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.live)
}

func (s *sessions) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

type live struct {
	id         string
	remembered bool
}

func (l *live) ID() string { return l.id }
func (l *live) Deliver(_ context.Context, h http.Header) {
	h.Add("Set-Cookie", "delivered="+l.id+"; Path=/")
}
func (l *live) Attend(ctx context.Context, _ func(*auth.Login) error) (context.Context, func()) {
	return ctx, func() {}
}
func (l *live) Token(context.Context, auth.Wanted) (auth.Token, error) { return auth.Token{}, nil }
func (l *live) Replace(_ context.Context, _ auth.Wanted, t auth.Token) (auth.Token, error) {
	return t, nil
}
func (l *live) Unconfirmed() bool { return false }
func (l *live) Bound() bool       { return false }
func (l *live) Due() bool         { return false }

func (l *live) Kept(context.Context, string, uint64) ([]byte, uint64, error) { return nil, 0, nil }
func (l *live) Keep(context.Context, string, []byte, uint64) error           { return auth.ErrChanged }

func (l *live) Times() auth.Times {
	return auth.Times{Ends: noon.Add(48 * time.Hour), IdleEnds: noon.Add(time.Hour), Renews: noon.Add(-time.Second), Remembered: l.remembered}
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// passwords knows alice and bob, whose password is their name twice.
type passwords struct{ seen []netip.Addr }

func (p *passwords) Login(_ context.Context, from auth.Asker, user, password string) (*auth.Login, error) {
	p.seen = append(p.seen, from.Addr)
	switch user {
	case "throttled":
		return nil, &auth.Throttled{RetryAfter: 11500 * time.Millisecond}
	case "outage":
		return nil, &auth.Unavailable{What: "the password check", RetryAfter: 3 * time.Second, Err: errors.New("internal detail")}
	case "mistake":
		return nil, errors.New("nobody expected this")
	case "alice", "bob":
		if password == user+user {
			return &auth.Login{
				Identity: auth.Identity{Provider: "local", Subject: user, User: user, Name: "Name of " + user, Email: user + "@example.org", Groups: []string{"staff"}},
				AuthTime: noon, AMR: []string{"pwd"}, AccessToken: auth.Token{Value: secret.New("ACCESS-TOKEN")},
			}, nil
		}
	}
	return nil, &auth.Refused{Reason: "wrong password"}
}

// sealer seals with AES-GCM; purpose and host are associated data.
type sealer struct {
	aead cipher.AEAD
	now  func() time.Time
}

func newSealer(now func() time.Time) *sealer {
	block, err := aes.NewCipher([]byte("0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &sealer{aead, now}
}

func (s *sealer) Seal(purpose, host string, plain []byte, ttl time.Duration) (string, error) {
	until := binary.BigEndian.AppendUint64(nil, uint64(s.now().Add(ttl).UnixNano()))
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, append(until, plain...), []byte(purpose+"|"+host))), nil
}

func (s *sealer) Open(purpose, host, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	b, err := s.aead.Open(nil, nil, raw, []byte(purpose+"|"+host))
	if err != nil || len(b) < 8 || s.now().UnixNano() >= int64(binary.BigEndian.Uint64(b)) {
		return nil, errors.New("does not open")
	}
	return b[8:], nil
}

// house is a gateway around the pages: one protected app that echoes.
type house struct {
	*httptest.Server
	t        *testing.T
	sessions *sessions
	handler  *auth.Handler
	forms    *auth.Forms
	policy   auth.Policy // of the app

	mu    sync.Mutex
	clock time.Time
	app   []request // what the app got
}

// request is one request as the app saw it.
type request struct {
	method, uri, contentType, body, user string
	length                               int64
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock = h.clock.Add(d)
}

// got returns what the app got since the last call.
func (h *house) got() []request {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.app
	h.app = nil
	return out
}

func open(t *testing.T, edit ...func(*auth.HandlerConfig)) *house {
	t.Helper()
	h := &house{t: t, sessions: &sessions{live: map[string]*auth.Login{}}, clock: noon}
	h.Server = httptest.NewServer(web.Serve(http.HandlerFunc(h.gate), web.Options{}))
	t.Cleanup(h.Server.Close)
	public, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	h.forms = auth.NewForms(h.now)
	t.Cleanup(func() { _ = h.forms.Close() })
	cfg := auth.HandlerConfig{
		Sessions: h.sessions, Password: &passwords{}, Sealer: newSealer(h.now), PublicURL: public, CookiePrefix: sessionCookie, Forms: h.forms, Now: h.now,
		Extra: map[string]http.Handler{"jwks.json": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=300")
			_, _ = io.WriteString(w, `{"keys":[]}`)
		})},
	}
	for _, e := range edit {
		e(&cfg)
	}
	if h.handler, err = auth.NewHandler(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

// gate is what proxy.Gate does around the pages, in short.
func (h *house) gate(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/.evergate/") {
		h.handler.ServeHTTP(w, r)
		return
	}
	web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		login, err := h.sessions.Authenticate(r)
		if absent, ok := errors.AsType[*auth.Absent](err); ok {
			return h.handler.Challenge(w, r, absent)
		}
		if err != nil {
			return err
		}
		q := auth.Question{Method: r.Method, Path: r.URL.Path, Time: h.now()}
		q.Ask(login)
		if _, err := h.policy.Decide(&q); err != nil {
			if up, ok := errors.AsType[*auth.StepUp](err); ok {
				return h.handler.Challenge(w, r, &auth.Absent{Reason: auth.Insufficient, Demand: &up.Demand, Login: login})
			}
			return &web.Error{Status: http.StatusForbidden, Detail: web.Verbatim(err.Error())}
		}
		up := r.Clone(r.Context())
		if err := h.handler.Restore(up, login); err != nil {
			return err
		}
		body, err := io.ReadAll(up.Body)
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.app = append(h.app, request{up.Method, up.URL.RequestURI(), up.Header.Get("Content-Type"), string(body), login.Identity.User, up.ContentLength})
		h.mu.Unlock()
		_, _ = io.WriteString(w, "the app: "+r.Method+" "+r.URL.RequestURI())
		return nil
	}).ServeHTTP(w, r)
}

// browser is a person with a cookie jar.
type browser struct {
	t *testing.T
	h *house
	c *http.Client
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &browser{h.t, h, &http.Client{Jar: jar}}
}

// page is an answer that was read.
type page struct {
	*http.Response
	body string
}

// at is where the browser ended, path and query.
func (p page) at() string { return p.Request.URL.RequestURI() }

// do sends a request as a browser would; header pairs override. It follows
// redirects unless the method ends in "!".
func (b *browser) do(method, uri, contentType, body string, header ...string) page {
	b.t.Helper()
	method, stay := strings.CutSuffix(method, "!")
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.h.URL+uri, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header = http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-origin"}}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i+1] == "" {
			req.Header.Del(header[i])
		}
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	c := *b.c
	if stay {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	res, err := c.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{res, string(text)}
}

func (b *browser) get(uri string, header ...string) page {
	b.t.Helper()
	return b.do("GET", uri, "", "", header...)
}

const urlencoded = "application/x-www-form-urlencoded"

func (b *browser) post(uri string, values url.Values, header ...string) page {
	b.t.Helper()
	return b.do("POST", uri, urlencoded, values.Encode(), header...)
}

var (
	formTag  = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
	inputTag = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// submit fills in the one form of a page and sends it, hidden fields included.
func (b *browser) submit(p page, fields ...string) page {
	b.t.Helper()
	tag := formTag.FindStringSubmatch(p.body)
	if tag == nil {
		b.t.Fatalf("there is no form at %s:\n%s", p.at(), p.body)
	}
	values := url.Values{}
	for _, in := range inputTag.FindAllStringSubmatch(p.body, -1) {
		values.Add(html.UnescapeString(in[1]), html.UnescapeString(in[2]))
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return b.post(html.UnescapeString(tag[1]), values, "Referer", p.Request.URL.String())
}

// signIn goes to uri and signs in on the way.
func (b *browser) signIn(uri, user string) page {
	b.t.Helper()
	return b.submit(b.get(uri), "username", user, "password", user+user)
}

func (p page) want(t *testing.T, status int, texts ...string) {
	t.Helper()
	if p.StatusCode != status {
		t.Errorf("%s: got status %d, want %d:\n%s", p.at(), p.StatusCode, status, p.body)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Errorf("%s: got no %q in:\n%s", p.at(), text, p.body)
		}
	}
}
