package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// stillStore is a store for which no time passes, so that no wait is ever over.
type stillStore struct {
	session.Store
	at time.Time
}

func (s stillStore) Now(context.Context) (time.Time, error) { return s.at, nil }

// visitor is a browser in front of several gateways that go by one name.
type visitor struct {
	t       *testing.T
	cookies map[string]string
}

// do sends a request of a page of that very origin to one of the gateways.
func (v *visitor) do(g *gateway, method, path string, form url.Values) *httptest.ResponseRecorder {
	v.t.Helper()
	r := httptest.NewRequestWithContext(v.t.Context(), method, path, strings.NewReader(form.Encode()))
	r.Host = "localhost:8080"
	for name, value := range map[string]string{"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
		"Sec-Fetch-Site": "same-origin"} {
		r.Header.Set(name, value)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range v.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	g.Public.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if v.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.cookies, c.Name)
		}
	}
	return w
}

// inParallel counts the answers of n requests at once.
func inParallel(n int, do func(i int) int) map[int]int {
	var wg sync.WaitGroup
	answers := make(chan int, n)
	for i := range n {
		wg.Go(func() { answers <- do(i) })
	}
	wg.Wait()
	close(answers)
	count := map[int]int{}
	for code := range answers {
		count[code]++
	}
	return count
}

func (v *visitor) guess(g *gateway, user, password string) *httptest.ResponseRecorder {
	v.t.Helper()
	return v.do(g, http.MethodPost, "/.evergate/login", url.Values{"username": {user}, "password": {password}})
}

// withAlice gives a replica a user, and an app that says what it got.
func withAlice(t *testing.T) func(*config.Config) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "the app got "+r.Method+" "+string(body))
	}))
	t.Cleanup(app.Close)
	users := filepath.Join(t.TempDir(), "users.yaml")
	if err := config.SaveUsers(users, []config.User{{Name: "alice", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	target, _ := url.Parse(app.URL)
	return func(cfg *config.Config) {
		cfg.Identity = []config.Identity{{Local: &config.Local{UsersFile: users}}}
		cfg.Routes = []config.Route{{Name: "app", Upstream: config.NewUpstream(target)}}
	}
}

var keptID = regexp.MustCompile(`[?&]form=([0-9a-f]{8})`)

// TestReplicasShareKeptForms: what one keeps the other offers and sends, once.
func TestReplicasShareKeptForms(t *testing.T) {
	store, keyFile, alice := awayStore{memory.New(), &atomic.Bool{}}, newKeyFile(t), withAlice(t)
	quiet := slog.New(slog.DiscardHandler)
	a := replica(t, store, t.TempDir(), keyFile, quiet, alice)
	b := replica(t, store, t.TempDir(), keyFile, quiet, alice)
	v := &visitor{t, map[string]string{}}

	store.away.Store(true)
	lost := v.do(a, http.MethodPost, "/send", url.Values{"typed": {"lost"}})
	if at := lost.Header().Get("Location"); !strings.Contains(at, "lost=away") || strings.Contains(at, "form=") {
		t.Errorf("while the store is away: got %d to %s, want to hear that nothing is kept", lost.Code, at)
	}
	store.away.Store(false)

	kept := v.do(a, http.MethodPost, "/send", url.Values{"typed": {"words"}})
	found := keptID.FindStringSubmatch(kept.Header().Get("Location"))
	if found == nil {
		t.Fatalf("got %d to %q, want the form kept", kept.Code, kept.Header().Get("Location"))
	}
	pointer := url.Values{"evergate_form": {found[1]}}
	if w := v.guess(b, "alice", testPassword); w.Code != http.StatusSeeOther {
		t.Fatalf("sign in: got %d", w.Code)
	}
	resend := "/.evergate/resend?form=" + found[1]
	for name, g := range map[string]*gateway{"the one that keeps it": a, "the other": b} {
		if w := v.do(g, http.MethodGet, resend, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Send your form?") {
			t.Errorf("%s: got %d, want it offered", name, w.Code)
		}
	}
	store.away.Store(true)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"the page that offers it": v.do(b, http.MethodGet, resend, nil), "a click": v.do(b, http.MethodPost, "/send", pointer),
	} {
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("while the store is away, %s: got %d, want 503 with Retry-After", name, w.Code)
		}
	}
	store.away.Store(false)
	if w := v.do(b, http.MethodPost, "/send", pointer); w.Body.String() != "the app got POST typed=words" {
		t.Errorf("got %d %s, want the form sent", w.Code, w.Body)
	}
	for name, g := range map[string]*gateway{"the one that kept it": a, "the other": b} {
		if w := v.do(g, http.MethodPost, "/send", pointer); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "sent already") {
			t.Errorf("a second click at %s: got %d, want 409", name, w.Code)
		}
	}
}

// hundred counts the answers to a hundred requests. Twenty at a time are in parallel: they contend
// for one count over a network, and none of them may come to the end of its time.
func hundred(do func(i int) int) map[int]int {
	all := map[int]int{}
	for range 5 {
		for status, n := range inParallel(20, do) {
			all[status] += n
		}
	}
	return all
}

// TestReplicasCountGuessesTogether: a hundred in parallel over two gateways are as many
// as at one, and where nobody can count none is looked at.
func TestReplicasCountGuessesTogether(t *testing.T) {
	store := awayStore{stillStore{memory.New(), time.Now()}, &atomic.Bool{}}
	keyFile, alice := newKeyFile(t), withAlice(t)
	quiet := slog.New(slog.DiscardHandler)
	both := []*gateway{replica(t, store, t.TempDir(), keyFile, quiet, alice), replica(t, store, t.TempDir(), keyFile, quiet, alice)}
	v := func() *visitor { return &visitor{t, map[string]string{}} }

	store.away.Store(true)
	for _, password := range []string{testPassword, "a guess"} {
		w := v().guess(both[0], "alice", password)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "Nothing is wrong with your password") {
			t.Errorf("while the store is away: got %d, want 503", w.Code)
		}
	}
	store.away.Store(false)

	count := inParallel(100, func(i int) int { return v().guess(both[i%2], "alice", "a guess").Code })
	if count[http.StatusUnauthorized] != 10 || count[http.StatusTooManyRequests] != 90 {
		t.Errorf("of 100 guesses over two gateways got %v, want 10 looked at (401) and 90 not (429)", count)
	}
	for i, g := range both {
		if w := v().guess(g, "alice", testPassword); w.Code != http.StatusTooManyRequests {
			t.Errorf("gateway %d afterwards: got %d, want 429", i+1, w.Code)
		}
	}
}

// TestRestartForgetsNoGuesses: the counts lie in the store, under names and in a shape
// that tell nobody of whom.
func TestRestartForgetsNoGuesses(t *testing.T) {
	t.Parallel()
	dir, keyFile := t.TempDir(), newKeyFile(t)
	quiet := slog.New(slog.DiscardHandler)
	open := func() session.Store {
		s, err := bolt.Open(filepath.Join(dir, "shared.db"), quiet)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	at := time.Now()
	for run, want := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		store := open()
		g := replica(t, stillStore{store, at}, t.TempDir(), keyFile, quiet)
		v := &visitor{t, map[string]string{}}
		for range 10 {
			if w := v.guess(g, "somebody", "a guess"); w.Code != want {
				t.Errorf("run %d: got %d, want %d", run+1, w.Code, want)
			}
		}
		if err := errors.Join(g.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplicasOnRedis: the same over two clients of a real server, each with copies of
// its own at hand.
func TestReplicasOnRedis(t *testing.T) {
	server, keyFile, alice := redistest.Start(t), newKeyFile(t), withAlice(t)
	var both []*gateway
	for range 2 {
		store, err := redis.Open(redis.Options{Addresses: []string{server.Address()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		both = append(both, replica(t, store, t.TempDir(), keyFile, slog.New(slog.DiscardHandler), alice))
	}
	v := &visitor{t, map[string]string{}}
	found := keptID.FindStringSubmatch(v.do(both[0], http.MethodPost, "/send", url.Values{"typed": {"words"}}).Header().Get("Location"))
	if found == nil {
		t.Fatal("the form is not kept")
	}
	if w := v.guess(both[1], "alice", testPassword); w.Code != http.StatusSeeOther {
		t.Fatalf("sign in: got %d", w.Code)
	}
	for _, g := range both {
		if w := v.do(g, http.MethodGet, "/.evergate/resend?form="+found[1], nil); w.Code != http.StatusOK {
			t.Errorf("the page that offers it: got %d", w.Code)
		}
	}
	clicks := inParallel(20, func(i int) int {
		same := &visitor{t, maps.Clone(v.cookies)}
		return same.do(both[i%2], http.MethodPost, "/send", url.Values{"evergate_form": {found[1]}}).Code
	})
	if clicks[http.StatusOK] != 1 || clicks[http.StatusConflict] != 19 {
		t.Errorf("of 20 clicks got %v, want one sent (200) and 19 not (409)", clicks)
	}
	stranger := func(g *gateway) *httptest.ResponseRecorder {
		return (&visitor{t, map[string]string{}}).guess(g, "somebody", "a guess")
	}
	// Waits of 1, 2 and 4 s may be over in the meantime.
	guesses := hundred(func(i int) int { return stranger(both[i%2]).Code })
	if n := guesses[http.StatusUnauthorized]; n < 10 || n > 13 || n+guesses[http.StatusTooManyRequests] != 100 {
		t.Errorf("of 100 guesses got %v, want about 10 looked at (401) and the others not (429)", guesses)
	}
	server.Kill()
	killed := time.Now()
	for i, g := range both {
		w := stranger(g)
		for w.Code == http.StatusTooManyRequests && time.Since(killed) < time.Second {
			w = stranger(g) // by the copy at hand, until it hears that its connection is lost
		}
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("gateway %d without Redis: got %d, want 503", i+1, w.Code)
		}
	}
}

// recordingStore remembers the keys and data that it is given.
type recordingStore struct {
	session.Store
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (s *recordingStore) Put(ctx context.Context, k session.Key, prev uint64, rec session.Record) error {
	s.mu.Lock()
	s.text.Write(k[:])
	s.text.Write(rec.Data)
	s.mu.Unlock()
	return s.Store.Put(ctx, k, prev, rec)
}

func TestHiddenShelf(t *testing.T) {
	old, fresh := session.NewKey(time.Now().Add(-2*time.Hour)), session.NewKey(time.Now().Add(-time.Hour))
	ring, err := session.NewRing(old)
	if err != nil {
		t.Fatal(err)
	}
	store := &recordingStore{Store: memory.New()}
	open := shelf{session.Vault{Store: store, Ring: ring}}
	s, ctx := hiddenShelf{open}, t.Context()
	want := func(what, value string, version uint64) {
		t.Helper()
		got, at, err := s.Load(ctx, "alice", 0)
		if string(got) != value || at != version || err != nil {
			t.Errorf("%s: got %q, %d, %v, want %q, %d", what, got, at, err, value, version)
		}
	}
	save := func(prev uint64, value []byte, want bool) {
		t.Helper()
		if ok, err := s.Save(ctx, "alice", prev, value, time.Minute); ok != want || err != nil {
			t.Errorf("save %q in place of %d: got %v, %v, want %v", value, prev, ok, err, want)
		}
	}
	want("nothing", "", 0)
	save(0, []byte("one"), true)
	save(0, []byte("another"), false)
	want("one", "one", 1)
	if value, _, err := open.Load(ctx, "alice", 0); value != nil || err != nil {
		t.Errorf("whoever guesses the name: got %q, %v, want nothing", value, err)
	}
	// It is found under the name that the old key gave, and moves.
	if err := ring.Replace(fresh, old); err != nil {
		t.Fatal(err)
	}
	want("with another first key", "one", 0)
	save(0, []byte("two"), true)
	want("moved", "two", 1)
	save(1, nil, true)
	want("taken away", "", 2)
	save(1, []byte("late"), false)
	save(2, []byte("three"), true)
	if err := ring.Replace(fresh); err != nil {
		t.Fatal(err)
	}
	want("without the old key", "three", 3)
	if text := store.text.String(); strings.Contains(text, "alice") || strings.Contains(text, "three") {
		t.Error("the store shows names or values")
	}
	other, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := open.Save(ctx, "form", 0, []byte("x"), time.Minute); !ok || err != nil {
		t.Fatal(ok, err)
	}
	_, _, err = shelf{session.Vault{Store: store, Ring: other}}.Load(ctx, "form", 0)
	if !errors.Is(err, session.ErrUnknownKey) || !strings.Contains(err.Error(), "keys.files") {
		t.Errorf("under a key that is not on the ring: got %v, want ErrUnknownKey and what to do", err)
	}
}

// TestWhatWasTakenAwayDoesNotComeBack under the name that an older key of the ring gives.
func TestWhatWasTakenAwayDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1 := session.NewKey(time.Now())
		ring, err := session.NewRing(k1)
		if err != nil {
			t.Fatal(err)
		}
		store := memory.New()
		defer store.Close()
		s := hiddenShelf{shelf{session.Vault{Store: store, Ring: ring}}}
		ctx := t.Context()
		if ok, err := s.Save(ctx, "account alice", 0, []byte("ten failures"), 15*time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
		k2 := session.NewKey(time.Now().Add(-time.Hour))
		if err := ring.Replace(k2, k1); err != nil {
			t.Fatal(err)
		}
		_, version, err := s.Load(ctx, "account alice", 0)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.Save(ctx, "account alice", version, nil, 0); !ok || err != nil { // she signed in
			t.Fatal(ok, err)
		}
		time.Sleep(16 * time.Second)
		if v, _, _ := s.Load(ctx, "account alice", 0); v != nil {
			t.Errorf("16 s later: %q", v)
		}
	})
}
