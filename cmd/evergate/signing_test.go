package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/token"
)

// awayStore is a store that can be out of reach.
type awayStore struct {
	session.Store
	away *atomic.Bool
}

var errStoreAway = errors.New("the store is away")

func (s awayStore) Put(ctx context.Context, k session.Key, prev uint64, rec session.Record) error {
	if s.away.Load() {
		return errStoreAway
	}
	return s.Store.Put(ctx, k, prev, rec)
}

func (s awayStore) Get(ctx context.Context, k session.Key, atLeast uint64) (session.Record, error) {
	if s.away.Load() {
		return session.Record{}, errStoreAway
	}
	return s.Store.Get(ctx, k, atLeast)
}

// replica builds a gateway of its own data_dir over a store that it shares.
func replica(t *testing.T, store session.Store, dir, keyFile string, log *slog.Logger, edit ...func(*config.Config)) *gateway {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir, cfg.Keys.Files = dir, []string{keyFile}
	cfg.PublicURL, _ = url.Parse("http://localhost:8080")
	users := filepath.Join(dir, "users.yaml")
	if err := os.WriteFile(users, []byte("users: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Identity = []config.Identity{{Local: &config.Local{UsersFile: users}}}
	target, _ := url.Parse("http://127.0.0.1:1")
	cfg.Routes = []config.Route{{Name: "app", Upstream: config.NewUpstream(target)}}
	for _, e := range edit {
		e(&cfg)
	}
	g, err := build(&cfg, log, parts{Wrap: func(session.Store) session.Store { return store }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g
}

func jwksOf(g *gateway) (int, string) {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/.evergate/jwks.json", nil)
	req.Host = "localhost:8080"
	g.Public.ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

func newKeyFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ring.key")
	if err := writeKey(path, session.NewKey(time.Now())); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReplicasPublishTheSameKeys: what one signs the other's keys verify. The first of
// them brings the keys along that it had in data_dir.
func TestReplicasPublishTheSameKeys(t *testing.T) {
	store, keyFile, dir := memory.New(), newKeyFile(t), t.TempDir()
	had, err := token.OpenKeys(filepath.Join(dir, "signing-keys"), token.ES256)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	a := replica(t, store, dir, keyFile, quiet)
	b := replica(t, store, t.TempDir(), keyFile, quiet)
	for name, g := range map[string]*gateway{"first": a, "second": b} {
		if code, body := jwksOf(g); code != http.StatusOK || body != string(had.JWKS()) {
			t.Errorf("the %s: got %d %s, want %s", name, code, body, had.JWKS())
		}
	}
}

// TestGatewayStartsWhileTheStoreIsAway: it serves, and has keys as soon as there is a store.
func TestGatewayStartsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	store := awayStore{memory.New(), &atomic.Bool{}}
	store.away.Store(true)
	log := &events{counts: map[string]int{}}
	g := replica(t, store, t.TempDir(), newKeyFile(t), slog.New(log))
	if code, body := jwksOf(g); code != http.StatusServiceUnavailable {
		t.Errorf("while it is away: got %d %s, want 503", code, body)
	}
	if log.count("signing_keys.away") != 1 {
		t.Error("the outage was not logged")
	}
	store.away.Store(false)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		code, body := jwksOf(g)
		if code == http.StatusOK && strings.Contains(body, `"kid"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("once it is back: got %d %s, want the keys", code, body)
		}
	}
}

// TestKeysOfAnotherRingAreAnOutage: they are not written over.
func TestKeysOfAnotherRingAreAnOutage(t *testing.T) {
	t.Parallel()
	store, keyFile := memory.New(), newKeyFile(t)
	quiet := slog.New(slog.DiscardHandler)
	a := replica(t, store, t.TempDir(), keyFile, quiet)
	b := replica(t, store, t.TempDir(), newKeyFile(t), quiet)
	if code, body := jwksOf(b); code != http.StatusServiceUnavailable {
		t.Errorf("with another ring: got %d %s, want 503", code, body)
	}
	c := replica(t, store, t.TempDir(), keyFile, quiet)
	_, want := jwksOf(a)
	if code, got := jwksOf(c); code != http.StatusOK || got != want {
		t.Errorf("after it: got %d %s, want %s", code, got, want)
	}
}

// TestSigningKeysFollowTheRing: a ring that has lost its first key of before opens them.
func TestSigningKeysFollowTheRing(t *testing.T) {
	old, fresh := session.NewKey(time.Now().Add(-2*time.Hour)), session.NewKey(time.Now().Add(-time.Hour))
	ring, err := session.NewRing(old)
	if err != nil {
		t.Fatal(err)
	}
	shelf, ctx := keyShelf{shelf{session.Vault{Store: memory.New(), Ring: ring}}}, t.Context()
	if ok, err := shelf.Save(ctx, 0, []byte("x")); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := shelf.Save(ctx, 0, []byte("y")); ok || err != nil {
		t.Errorf("a second first: got %v, %v, want it refused", ok, err)
	}
	if err := ring.Replace(fresh, old); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shelf.Load(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if err := ring.Replace(fresh); err != nil {
		t.Fatal(err)
	}
	if value, _, err := shelf.Load(ctx, 0); string(value) != "x" || err != nil {
		t.Errorf("without the old key: got %q, %v", value, err)
	}
	if err := ring.Replace(old); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shelf.Load(ctx, 0); !errors.Is(err, session.ErrUnknownKey) || !strings.Contains(err.Error(), "keys.files") {
		t.Errorf("under a key that is not on the ring: got %v, want ErrUnknownKey and what to do", err)
	}
}
