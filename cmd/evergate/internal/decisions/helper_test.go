package decisions_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/cmd/evergate/internal/decisions"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

const file = `public_url: https://apps.example.com
identity: [ local: { users_file: users.yaml } ]
rules:
  next:
    mode: observe
    allow: [ groups: [admin] ]
routes:
  - name: wiki
    match: { path: /w/ }
    deny:
      - users: [mallory]
    allow:
      - groups: [staff]
      - when: request.header("X-App") == "yes"
    rules: [next]
    respond: { body: ok }
  - match: { path: /open }
    public: true
    respond: { body: ok }
  - match: { path: /any }
    allow:
      - when: request.header("X-" + request.method) == "yes"
    respond: { body: ok }
  - match: { path: /plain }
    respond: { body: ok }
`

// scene is a gate that tells a Log, with clients that say who they are.
type scene struct {
	*testing.T
	log  *decisions.Log
	gate *proxy.Gate
	out  safeBuffer
	now  time.Time
	n    counter
}

type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// counter counts as the metrics do.
type counter struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func (c *counter) Observed(route, decision, observed string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[route+" "+decision+" "+observed]++
}

func (c *counter) ForgetObserved() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = nil
}

func newScene(t *testing.T, keep int) *scene {
	s := &scene{T: t, now: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	s.log = decisions.New(decisions.Options{Logger: slog.New(slog.NewTextHandler(&s.out, nil)), Counter: &s.n, Now: func() time.Time { return s.now }})
	s.load(file, keep)
	return s
}

// load puts a config in force, as a reload does.
func (s *scene) load(text string, keep int) {
	s.Helper()
	cfg, err := config.Parse("evergate.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		s.Fatal(err)
	}
	var routes []*proxy.Route
	for i := range cfg.Routes {
		a := cfg.Access(i)
		policy := auth.Policy{Public: a.Public, Allow: rules(a.Allow), Deny: rules(a.Deny)}
		if a.Observed != nil {
			policy.Observed = &auth.Policy{Public: a.Observed.Public, Allow: rules(a.Observed.Allow), Deny: rules(a.Observed.Deny)}
		}
		routes = append(routes, &proxy.Route{Name: cfg.Routes[i].Name, Path: cfg.Routes[i].Match.Path, Policy: policy, Answer: &proxy.Respond{Body: "ok"}})
	}
	router, err := proxy.NewRouter(routes)
	if err != nil {
		s.Fatal(err)
	}
	e := s.log.Edition(cfg, router, keep)
	s.gate = &proxy.Gate{Router: router, Auth: people{}, Decided: e.Decided, Now: func() time.Time { return s.now }}
	s.log.Begin(e)
}

func rules(in []config.PlacedRule) (out []*auth.Rule) {
	for _, r := range in {
		out = append(out, &auth.Rule{At: r.At, Users: r.Users, Groups: r.Groups, When: r.When})
	}
	return out
}

// people knows whoever X-Who names, as user/session/group.
type people struct{}

func (people) Authenticate(r *http.Request) (*auth.Login, error) {
	who := strings.Split(r.Header.Get("X-Who"), "/")
	if len(who) != 3 {
		return nil, &auth.Absent{Reason: auth.NoCookie}
	}
	login := &auth.Login{Identity: auth.Identity{User: who[0], Subject: who[0], Provider: "local", Groups: []string{who[2]}},
		RefreshToken: secret.New("refresh-secret"), AccessToken: auth.Token{Value: secret.New("access-secret")}}
	if who[1] != "" {
		login.Session = live{name: who[1]}
	}
	return login, nil
}

// live is a session that only has a name.
type live struct {
	auth.Session
	name string
}

func (l live) ID() string                         { return l.name }
func (live) Deliver(context.Context, http.Header) {}
func (live) Unconfirmed() bool                    { return false }
func (live) Bound() bool                          { return false }
func (live) Due() bool                            { return false }

var requests atomic.Int64

// ask sends a request by the gate in force, and returns the answer.
func (s *scene) ask(who, target string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	return askOf(s.gate, who, target, header...)
}

func askOf(gate *proxy.Gate, who, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("X-Who", who)
	r.Header.Set("Cookie", "s=cookie-secret")
	r.Header.Set("Authorization", "Bearer header-secret")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	note := &web.Note{ID: fmt.Sprintf("request-%d", requests.Add(1)), Client: netip.MustParseAddr("192.0.2.7")}
	w := httptest.NewRecorder()
	gate.ServeHTTP(w, r.WithContext(web.WithNote(r.Context(), note)))
	return w
}
