package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestHostsOverTwoGateways: two gateways share a Redis, and each request of a hand-over
// goes to the other one. A code that both get at once opens once.
func TestHostsOverTwoGateways(t *testing.T) {
	t.Parallel()
	server, keyFile, log := redistest.Start(t), newKeyFile(t), &lockedBuffer{}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s at %s%s", r.Header.Get("X-Forwarded-User"), r.Host, r.RequestURI)
	}))
	t.Cleanup(app.Close)
	var two []*gateway
	for range 2 {
		dir := t.TempDir()
		file := filepath.Join(dir, "evergate.yaml")
		for name, text := range map[string]string{"users.yaml": fmt.Sprintf("users: { alice: { password: %q } }\n", horseHash),
			"evergate.yaml": fmt.Sprintf(`public_url: %s
data_dir: %s
keys: { files: [ %q ] }
session: { store: redis, redis: { addresses: [ %q ] } }
identity: [ local: { users_file: users.yaml } ]
routes: [ { match: { host: "*.localhost" }, upstream: %q } ]
`, publicHost, filepath.Join(dir, "data"), keyFile, server.Address(), app.URL)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		g, err := build(cfg, slog.New(slog.NewJSONHandler(log, nil)), parts{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
		two = append(two, g)
	}
	turn := 0
	b := &hostsBed{T: t, log: log, g: &gateway{Public: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turn++
		two[turn%2].Public.ServeHTTP(w, r)
	})}}
	alice := b.wanderer()
	alice.signIn("alice")
	for i := range 20 {
		host := fmt.Sprintf("http://h%d.localhost:8080", i)
		alice.mustReach(host+"/x", fmt.Sprintf("alice at h%d.localhost:8080/x", i))
	}
	caught, _ := alice.to(wikiHost+"/", wikiHost+arrive)
	u, err := url.Parse(caught)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := 0
	for i := range 40 {
		wg.Go(func() {
			r := httptest.NewRequest("GET", u.RequestURI(), nil)
			r.Host = u.Host
			for name, value := range alice.jar["wiki.localhost"] {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			rec := httptest.NewRecorder()
			two[i%2].Public.ServeHTTP(rec, r)
			for _, c := range rec.Result().Cookies() {
				if c.Name == "evergate-8080" && c.MaxAge >= 0 {
					mu.Lock()
					opened++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if opened != 1 {
		t.Errorf("the code opened %d times, want once", opened)
	}
	// A browser that opens the tabs of many apps again asks for all of them at once, and
	// each hand-over writes to the one session.
	var calls []*http.Request
	for i := range 60 {
		at, _ := alice.to(fmt.Sprintf("http://t%d.localhost:8080/", i), fmt.Sprintf("http://t%d.localhost:8080%s", i, arrive))
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", u.RequestURI(), nil)
		r.Host = u.Host
		for name, value := range alice.jar[u.Hostname()] {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		calls = append(calls, r)
	}
	for i, r := range calls {
		wg.Go(func() {
			rec := httptest.NewRecorder()
			two[i%2].Public.ServeHTTP(rec, r)
			if rec.Code != http.StatusSeeOther || !strings.HasPrefix(rec.Header().Get("Location"), "/.evergate/landed") {
				t.Errorf("%s, with 59 others at once: got %d to %.80s", r.Host, rec.Code, rec.Header().Get("Location"))
			}
		})
	}
	wg.Wait()
	if res := alice.send("POST", "http://h3.localhost:8080/.evergate/logout", ""); res.StatusCode != http.StatusOK {
		t.Errorf("sign out: %d", res.StatusCode)
	}
	out := time.Now()
	for i := range 20 {
		for range 2 {
			for in := true; in; { // the other gateway may have to hear of it first
				asked := time.Since(out)
				res := alice.send("GET", fmt.Sprintf("http://h%d.localhost:8080/x", i), "")
				body, _ := io.ReadAll(res.Body)
				if in = strings.HasPrefix(string(body), "alice"); in && asked > time.Second {
					t.Errorf("h%d %v after signing out: %s", i, asked, body)
					break
				}
			}
		}
	}
}
