package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

const (
	sid   = "__Host-Http-evergate"
	fresh = sid + "=fresh; Path=/; Secure; HttpOnly"
)

func ownCookie(name string) bool { return strings.EqualFold(name, sid) }

// upstream is a server that keeps the bytes it receives.
type upstream struct {
	addr string

	mu       sync.Mutex // guards received
	received []string
}

// newUpstream answers every request with what answer writes. The body of the
// request has been read when answer runs.
func newUpstream(t *testing.T, answer func(conn net.Conn, r *http.Request)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{addr: l.Addr().String()}
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				up.serve(conn, answer)
			})
		}
	})
	t.Cleanup(func() { stop(); l.Close(); wg.Wait() })
	return up
}

func (up *upstream) serve(conn net.Conn, answer func(net.Conn, *http.Request)) {
	var raw bytes.Buffer
	br := bufio.NewReader(io.TeeReader(conn, &raw))
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		up.mu.Lock()
		up.received = append(up.received, raw.String())
		up.mu.Unlock()
		raw.Reset()
		answer(conn, r)
	}
}

// requests returns the bytes of every request so far.
func (up *upstream) requests() []string {
	up.mu.Lock()
	defer up.mu.Unlock()
	return append([]string(nil), up.received...)
}

func (up *upstream) last(t *testing.T) string {
	t.Helper()
	all := up.requests()
	if len(all) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return all[len(all)-1]
}

// says answers with a fixed response; \n stands for CRLF.
func says(response string) func(net.Conn, *http.Request) {
	return func(conn net.Conn, _ *http.Request) {
		_, _ = io.WriteString(conn, strings.ReplaceAll(response, "\n", "\r\n"))
	}
}

func saysOK(conn net.Conn, r *http.Request) {
	if r.Method == http.MethodHead {
		says("HTTP/1.1 200 OK\nContent-Length: 2\n\n")(conn, r)
		return
	}
	says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")(conn, r)
}

// newWay makes an Upstream to addr.
func newWay(t *testing.T, o proxy.UpstreamOptions) *proxy.Upstream {
	t.Helper()
	if !strings.Contains(o.Target, "://") {
		o.Target = "http://" + o.Target
	}
	way, err := proxy.NewUpstream(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	return way
}

func newRouter(t testing.TB, routes ...*proxy.Route) *proxy.Router {
	t.Helper()
	router, err := proxy.NewRouter(routes)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// session is a live session that can be ended.
type session struct {
	ctx context.Context
	end context.CancelFunc
	due string // the Set-Cookie that is due

	unconfirmed bool
	bound       bool

	check chan func(*auth.Login) error

	mu        sync.Mutex // guards what follows
	delivered int
	attended  int
	active    int
	replaced  int   // how often the access token was replaced
	noToken   error // what Token answers, if not nil
	kept      map[string]keptThing
	keepErr   error                // what Kept and Keep answer, if not nil
	old       map[string]keptThing // what Kept answers whoever does not ask for more, if not nil
	id        string
}

// keptThing is what a session keeps under one name.
type keptThing struct {
	value   []byte
	version uint64
}

func (s *session) Kept(_ context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.old[name]; s.old != nil && s.keepErr == nil && atLeast <= old.version {
		return old.value, old.version, nil
	}
	return s.kept[name].value, s.kept[name].version, s.keepErr
}

func (s *session) Keep(_ context.Context, name string, value []byte, version uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepErr != nil {
		return s.keepErr
	}
	if s.kept[name].version != version {
		return auth.ErrChanged
	}
	if s.kept == nil {
		s.kept = map[string]keptThing{}
	}
	s.kept[name] = keptThing{value, version + 1}
	return nil
}

func newSession() *session {
	s := &session{check: make(chan func(*auth.Login) error, 8)}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

func (s *session) ID() string {
	if s.id != "" {
		return s.id
	}
	return "s-1"
}

func (s *session) Unconfirmed() bool { return s.unconfirmed }
func (s *session) Bound() bool       { return s.bound }
func (s *session) Due() bool         { return s.due != "" }

func (s *session) Times() auth.Times { return auth.Times{} }

func (s *session) Deliver(_ context.Context, h http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered++
	if s.due != "" {
		h.Add("Set-Cookie", s.due)
	}
}

func (s *session) Attend(ctx context.Context, allowed func(*auth.Login) error) (context.Context, func()) {
	s.mu.Lock()
	s.attended++
	s.mu.Unlock()
	s.check <- allowed
	attended, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	context.AfterFunc(ctx, func() { stop() })
	return attended, func() {
		s.mu.Lock()
		s.active++
		s.mu.Unlock()
	}
}

// Token gives a token that says for what it is.
func (s *session) Token(_ context.Context, want auth.Wanted) (auth.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noToken != nil {
		return auth.Token{}, s.noToken
	}
	switch want.Kind {
	case auth.IDToken:
		return auth.Token{Value: secret.New("id.token")}, nil
	case auth.Minted:
		return auth.Token{Value: secret.New("minted.for." + want.Audience)}, nil
	case auth.NoToken:
		return auth.Token{}, nil
	}
	t := "good.token"
	if want.Resource != "" {
		t = "token.for." + want.Resource
	}
	if s.replaced > 0 {
		t = fmt.Sprintf("%s.%d", t, s.replaced)
	}
	return auth.Token{Value: secret.New(t)}, nil
}

// Replace renews once for each refused token.
func (s *session) Replace(ctx context.Context, want auth.Wanted, refused auth.Token) (auth.Token, error) {
	now, err := s.Token(ctx, want)
	if err != nil || now.Value.Reveal() != refused.Value.Reveal() || want.Kind != auth.AccessToken {
		return now, err
	}
	s.mu.Lock()
	s.replaced++
	s.mu.Unlock()
	return s.Token(ctx, want)
}

func (s *session) counts() (delivered, attended, active int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delivered, s.attended, s.active
}

// authFunc is an auth.Authenticator.
type authFunc func(r *http.Request) (*auth.Login, error)

func (f authFunc) Authenticate(r *http.Request) (*auth.Login, error) { return f(r) }

// alice is signed in by the cookie; s may be nil.
func alice(s auth.Session) authFunc {
	return func(r *http.Request) (*auth.Login, error) {
		if c, err := r.Cookie(sid); err != nil || c.Value != "alice" {
			return nil, &auth.Absent{Reason: auth.NoCookie}
		}
		return &auth.Login{
			Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice", PreferredUsername: "ali",
				Email: "alice@example.com", EmailVerified: true, Groups: []string{"staff", "dev"}},
			AccessToken: auth.Token{Value: secret.New("good.token")},
			Session:     s,
		}, nil
	}
}

// fails is an Authenticator that fails in one way.
func fails(err error) authFunc {
	return func(*http.Request) (*auth.Login, error) { return nil, err }
}

// gateway serves g behind the plumbing that a Note needs, and keeps the notes.
type gateway struct {
	*httptest.Server
	log *logs

	mu    sync.Mutex // guards what follows
	notes []*web.Note
	begun int // requests so far
}

func newGateway(t testing.TB, g *proxy.Gate) *gateway {
	t.Helper()
	gw := &gateway{log: &logs{}}
	if g.OwnCookie == nil {
		g.OwnCookie = ownCookie
	}
	g.Log = slog.New(slog.NewTextHandler(gw.log, nil))
	gw.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			t.Error(err)
		}
		gw.mu.Lock()
		gw.begun++
		gw.mu.Unlock()
		note := &web.Note{ID: "REQUEST-ID", Client: peer.Addr(), Scheme: "https"}
		defer func() {
			gw.mu.Lock()
			gw.notes = append(gw.notes, note)
			gw.mu.Unlock()
		}()
		g.ServeHTTP(w, r.WithContext(web.WithNote(r.Context(), note)))
	}))
	gw.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(gw.log, nil), slog.LevelError)
	gw.Config.DisableGeneralOptionsHandler = true
	gw.Start()
	t.Cleanup(gw.Close)
	return gw
}

// note is that of the last request to end, once all that began have, or have gone on for a
// while: a handler ends after the client has its answer.
func (gw *gateway) note(t *testing.T) *web.Note {
	t.Helper()
	for i := range 400 {
		gw.mu.Lock()
		if n := len(gw.notes); n > 0 && (n == gw.begun || i > 200) {
			defer gw.mu.Unlock()
			return gw.notes[n-1]
		}
		gw.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no request was served")
	return nil
}

// inASecond waits for what ends since began, and fails the test if that took more than a second.
func inASecond(t *testing.T, what string, began time.Time, ended <-chan time.Time) {
	t.Helper()
	select {
	case at := <-ended:
		if took := at.Sub(began); took > time.Second {
			t.Errorf("%s ended after %v, want a second at the latest", what, took)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s stays open", what)
	}
}

// answer is a response and its body.
type answer struct {
	*http.Response
	body string
	raw  string
	err  error // of reading the body
}

// send writes a request as it stands, \n for CRLF, and reads the answer.
func (gw *gateway) send(t *testing.T, request string) answer {
	t.Helper()
	return gw.sendBytes(t, strings.ReplaceAll(request, "\n", "\r\n"))
}

func (gw *gateway) sendBytes(t *testing.T, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", gw.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	var raw bytes.Buffer
	res, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &raw)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("answer to %.200q: %v", request, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{Response: res, body: string(body), raw: raw.String(), err: err}
}

// get is a request of alice's, with more header lines.
func get(path string, lines ...string) string {
	return request("GET", path, append([]string{"Cookie: " + sid + "=alice"}, lines...)...)
}

// request is one without cookies.
func request(method, path string, lines ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\nHost: gw.test\n%s\n", method, path, strings.Join(append(slices.Clone(lines), ""), "\n"))
}

// logs keeps log lines.
type logs struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// header returns the values of a header line in raw request bytes, whatever its
// spelling folds to.
func header(raw, name string) (values []string) {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if k, v, ok := strings.Cut(line, ": "); ok && k == name {
			values = append(values, v)
		}
	}
	return values
}

var errOutage = errors.New("disk on fire")
