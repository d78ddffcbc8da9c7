package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
)

// events counts log lines by their event.
type events struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (e *events) Enabled(context.Context, slog.Level) bool { return true }
func (e *events) WithAttrs([]slog.Attr) slog.Handler       { return e }
func (e *events) WithGroup(string) slog.Handler            { return e }
func (e *events) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "event" {
			e.mu.Lock()
			e.counts[a.Value.String()]++
			e.mu.Unlock()
		}
		return true
	})
	return nil
}

func (e *events) count(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[name]
}

// shifted is a clock that a test can set forward, so that minutes need not pass.
type shifted struct{ by atomic.Int64 }

func (c *shifted) offset() time.Duration   { return time.Duration(c.by.Load()) }
func (c *shifted) now() time.Time          { return time.Now().Add(c.offset()) }
func (c *shifted) forward(d time.Duration) { c.by.Add(int64(d)) }

// shiftedStore is a store whose clock goes with it.
type shiftedStore struct {
	session.Store
	clock *shifted
}

func (s shiftedStore) Get(ctx context.Context, k session.Key, atLeast uint64) (session.Record, error) {
	rec, err := s.Store.Get(ctx, k, atLeast)
	rec.Now = rec.Now.Add(s.clock.offset())
	return rec, err
}

func (s shiftedStore) Lease(ctx context.Context, k session.Key, h session.Holder, ttl time.Duration) (session.Leased, error) {
	got, err := s.Store.Lease(ctx, k, h, ttl)
	got.Record.Now = got.Record.Now.Add(s.clock.offset())
	return got, err
}

func (s shiftedStore) Now(ctx context.Context) (time.Time, error) {
	now, err := s.Store.Now(ctx)
	return now.Add(s.clock.offset()), err
}

const testPassword = "a few words in a row"

// The hashes of passwords, at the least cost that is taken: one of the usual cost and its check
// take a second of processor time together, and every test would have its own.
const (
	testHash  = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiB0aGUgdGVzdA$xgwrQa30Rf3iDs87GFty/VfSWieRJhQQkV+2S2xIvx0"
	horseHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiB0aGUgdGVzdA$bxkjzij1aOcqDMDty0h7IjjqNF2MNfdWGHBpag5VTAk" // of "correct horse battery"
)

// testGateway is a real gateway over real HTTP: bolt in a temporary folder, a
// local user, and an upstream that answers with the token it was given.
func testGateway(t *testing.T, clock *shifted) (base string, log *events) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Authorization"))
	}))
	t.Cleanup(upstream.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target, _ := url.Parse(upstream.URL)
	public, _ := url.Parse("http://" + l.Addr().String())
	dir := t.TempDir()
	users := filepath.Join(dir, "users.yaml")
	if err := config.SaveUsers(users, []config.User{{Name: "alice", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.DataDir, cfg.PublicURL = filepath.Join(dir, "data"), public
	cfg.Identity = []config.Identity{{Local: &config.Local{UsersFile: users}}}
	cfg.Routes = []config.Route{{Name: "app", Upstream: config.NewUpstream(target)}}
	log = &events{counts: map[string]int{}}
	g, err := build(&cfg, slog.New(log), parts{
		Now:  clock.now,
		Wrap: func(s session.Store) session.Store { return shiftedStore{s, clock} },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: g.Public}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return public.String(), log
}

// signIn returns a client that has signed in the way a browser does.
func signIn(t *testing.T, base string) *http.Client {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 600}}
	t.Cleanup(client.CloseIdleConnections)
	res, err := client.PostForm(base+"/.evergate/login", url.Values{
		"username": {"alice"}, "password": {testPassword}, "rd": {"/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.HasPrefix(string(body), "Bearer ") {
		t.Fatalf("after signing in: got %d %.200q, want the app", res.StatusCode, body)
	}
	return client
}

// TestStorm sends 500 parallel requests at the moment of expiry, 50 times:
// all are served, by one renewal and one rotation.
func TestStorm(t *testing.T) {
	t.Parallel()
	rounds, parallel := 50, 500
	if testing.Short() {
		rounds = 3
	}
	clock := &shifted{}
	base, log := testGateway(t, clock)
	client := signIn(t, base)
	for round := range rounds {
		clock.forward(15*time.Minute + time.Second)
		renewed, rotated := log.count("session.renewed"), log.count("session.rotated")
		var failed atomic.Int32
		var tokens sync.Map
		var wg sync.WaitGroup
		cookies := client.Jar.Cookies(mustParse(t, base))
		for range parallel {
			wg.Go(func() {
				req, _ := http.NewRequest("GET", base+"/", nil)
				req.Header.Set("Sec-Fetch-Mode", "cors")
				for _, c := range cookies { // all as they are at this moment
					req.AddCookie(c)
				}
				bare := &http.Client{Transport: client.Transport}
				res, err := bare.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				if res.StatusCode != 200 {
					failed.Add(1)
				}
				tokens.Store(string(body), true)
				client.Jar.SetCookies(req.URL, res.Cookies())
			})
		}
		wg.Wait()
		if n := failed.Load(); n != 0 {
			t.Fatalf("round %d: %d of %d requests failed", round, n, parallel)
		}
		distinct := 0
		tokens.Range(func(any, any) bool { distinct++; return true })
		if distinct != 1 {
			t.Errorf("round %d: got %d tokens upstream, want 1", round, distinct)
		}
		if n := log.count("session.renewed") - renewed; n != 1 {
			t.Errorf("round %d: got %d renewals, want 1", round, n)
		}
		if n := log.count("session.rotated") - rotated; n != 1 {
			t.Errorf("round %d: got %d rotations, want 1", round, n)
		}
		settle(t, client, base, clock)
	}
	if n := log.count("session.reuse_detected"); n != 0 {
		t.Errorf("got %d reuse detections, want none", n)
	}
}

// settle uses the newest handle until it has settled, as a browser at work does.
func settle(t *testing.T, client *http.Client, base string, clock *shifted) {
	t.Helper()
	for range 4 {
		res, err := client.Get(base + "/")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("after the storm: got %d, want 200", res.StatusCode)
		}
		clock.forward(70 * time.Second)
	}
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
