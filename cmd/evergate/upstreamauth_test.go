package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

// TestSecretsOfUpstreamAuth are read by check: an empty one is a fault of its line, one
// that is not there or is everybody's a warning.
func TestSecretsOfUpstreamAuth(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "evergate.yaml")
	for name, text := range map[string]string{
		"evergate.yaml": `public_url: http://localhost:8080
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { path: /a }, upstream: "http://127.0.0.1:1", upstream_auth: { basic: { user: "{user}", password_file: good } } }
  - { match: { path: /b }, upstream: "http://127.0.0.1:1", upstream_auth: { api_key: { header: X-Key, file: missing } } }
  - { match: { path: /c }, upstream: "http://127.0.0.1:1", upstream_auth: { form: { login: /l, password_file: empty } } }
`, "good": "secret\n", "empty": "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	err = check(cfg)
	if err == nil || !strings.Contains(err.Error(), "routes[2].upstream_auth.form.password_file: "+filepath.Join(dir, "empty")+" is empty") || strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v, want the empty file alone", err)
	}
	if err := os.Chmod(filepath.Join(dir, "good"), 0o644); err != nil {
		t.Fatal(err)
	}
	said := config.Faults(cfg.Warnings()).Error()
	for _, want := range []string{"routes[1].upstream_auth.api_key.file: warning: it cannot be read here", "routes[0].upstream_auth.basic.password_file: warning: everybody"} {
		if !strings.Contains(said, want) {
			t.Errorf("got the warnings\n%s\nwant in it %s", said, want)
		}
	}
	// The gateway does not start without it.
	if _, _, err := buildRouter(cfg, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "routes[1].upstream_auth.api_key.file") {
		t.Errorf("got %v, want the missing file refused", err)
	}
}

func TestSecretIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		now, err := openSecret(file, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		want := func(want string) {
			t.Helper()
			time.Sleep(lookEvery)
			if got, err := now(); err != nil || got.Reveal() != want {
				t.Errorf("got %q, %v, want %q", got.Reveal(), err, want)
			}
		}
		want("one")
		write("two\n")
		want("two")
		write("\n") // a half-made change keeps what there was
		want("two")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		want("two")
		want("two")
		write("three")
		want("three")
		if said := log.String(); strings.Count(said, "secret.unreadable") != 2 || strings.Count(said, "secret.changed") != 2 || strings.Contains(said, "three") {
			t.Errorf("the log says\n%s", said)
		}
	})
}

// still is a way to have signed in that nothing is to be done about.
type still struct{}

func (still) Refresh(_ context.Context, l *auth.Login, _ string) (*auth.Login, error) { return l, nil }

// memoryApp is an app with a login form that remembers who signed in until it forgets.
type memoryApp struct {
	mu     sync.Mutex // guards all
	posts  int
	who    map[string]string
	signed []string // out
}

func (a *memoryApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := ""
	if c, err := r.Cookie("app"); err == nil {
		id = c.Value
	}
	switch {
	case r.URL.Path == "/login" && r.Method == http.MethodPost && r.FormValue("p") == "sesame":
		a.posts++
		id = fmt.Sprint("id-", a.posts)
		a.who[id] = r.FormValue("u")
		http.SetCookie(w, &http.Cookie{Name: "app", Value: id, Path: "/"})
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case r.URL.Path == "/login":
		fmt.Fprint(w, `<form method=post><input name=u><input name=p type=password></form>`)
	case r.URL.Path == "/out":
		a.signed = append(a.signed, a.who[id])
		delete(a.who, id)
	case a.who[id] == "":
		http.Redirect(w, r, "/login", http.StatusFound)
	default:
		fmt.Fprintf(w, "%s by %s", a.who[id], id)
	}
}

// TestGatewaysOnOneStoreShareTheSignInAtTheApp: one has signed in, and the other need
// not; the end of the session on one is the end at the app.
func TestGatewaysOnOneStoreShareTheSignInAtTheApp(t *testing.T) {
	app := &memoryApp{who: map[string]string{}}
	upstream := httptest.NewServer(app)
	defer upstream.Close()
	store := memory.New()
	defer store.Close()
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	var managers []*session.Manager
	var urls []*url.URL
	for range 2 {
		way, err := proxy.NewUpstream(proxy.UpstreamOptions{Target: upstream.URL})
		if err != nil {
			t.Fatal(err)
		}
		defer way.Close()
		router, err := proxy.NewRouter([]*proxy.Route{{Upstream: way, Form: &proxy.Form{Login: "/login", User: "{user}", Logout: "/out",
			Password: func() (secret.Text, error) { return secret.New("sesame"), nil }}}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := session.New(session.Config{Store: store, Ring: ring, Methods: map[string]auth.Refresher{"local": still{}}, Cookie: "evergate", Insecure: true,
			IdleTimeout: time.Hour, MaxLifetime: time.Hour, Grace: time.Minute, MaxStale: time.Minute,
			Ended: func(ctx context.Context, kept map[string][]byte) { router.SessionEnded(ctx, log, kept) }})
		if err != nil {
			t.Fatal(err)
		}
		gate := &proxy.Gate{Router: router, Auth: m, OwnCookie: func(name string) bool { return isOwnCookie(name, ownCookies("evergate")) }}
		server := httptest.NewServer(web.Serve(gate, web.Options{Log: log}))
		defer server.Close()
		u, _ := url.Parse(server.URL)
		managers, urls = append(managers, m), append(urls, u)
	}
	cookies, _ := cookiejar.New(nil)
	client := &http.Client{Jar: cookies}
	header := http.Header{}
	login := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "ann", User: "ann"}, AccessToken: auth.Token{Value: secret.New("t"), Issued: time.Now(), Expires: time.Now().Add(time.Hour)}}
	first := httptest.NewRequest(http.MethodPost, urls[0].String(), nil)
	if err := managers[0].Begin(header, first, login, false); err != nil {
		t.Fatal(err)
	}
	cookies.SetCookies(urls[0], (&http.Response{Header: header}).Cookies()) // of 127.0.0.1, whichever port
	want := func(gateway int, want string, posts int) {
		t.Helper()
		res, err := client.Get(urls[gateway].String() + "/page")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		app.mu.Lock()
		defer app.mu.Unlock()
		if string(body) != want || app.posts != posts {
			t.Errorf("gateway %d: got %d %.200q after %d sign-ins, want %q after %d", gateway, res.StatusCode, body, app.posts, want, posts)
		}
	}
	want(0, "ann by id-1", 1)
	want(1, "ann by id-1", 1)
	app.mu.Lock()
	clear(app.who)
	app.mu.Unlock()
	want(1, "ann by id-2", 2)
	want(0, "ann by id-2", 2)

	last := httptest.NewRequest(http.MethodPost, urls[1].String(), nil)
	for _, c := range cookies.Cookies(urls[1]) {
		last.AddCookie(c)
		if strings.HasPrefix(c.Name, "app") {
			t.Errorf("the browser has the app's cookie %s", c.Name)
		}
	}
	if _, err := managers[1].End(http.Header{}, last); err != nil {
		t.Fatal(err)
	}
	for _, m := range managers {
		if err := m.Close(); err != nil { // waits for what it began
			t.Error(err)
		}
	}
	app.mu.Lock()
	defer app.mu.Unlock()
	if fmt.Sprint(app.signed) != "[ann]" {
		t.Errorf("%q signed out at the app, want ann", app.signed)
	}
}
