package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// fleet is a gateway on files, as serve builds it, with its two listeners.
type fleet struct {
	*testing.T
	cfg    config.Config
	file   string
	public *httptest.Server
	admin  *httptest.Server
	g      *gateway
}

// newFleet starts a gateway. More is further lines of its config.
func newFleet(t *testing.T, more ...string) *fleet {
	t.Helper()
	f := &fleet{T: t}
	dir := t.TempDir()
	users := filepath.Join(dir, "users.yaml")
	if err := config.SaveUsers(users, []config.User{{Name: "alice", Password: testHash}, {Name: "bob", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") }))
	t.Cleanup(app.Close)
	f.public = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.g.Public.ServeHTTP(w, r) }))
	f.admin = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.g.Admin.ServeHTTP(w, r) }))
	t.Cleanup(f.public.Close)
	t.Cleanup(f.admin.Close)
	f.file = filepath.Join(dir, "evergate.yaml")
	text := "listen: " + f.public.Listener.Addr().String() + "\npublic_url: http://" + f.public.Listener.Addr().String() +
		"\nadmin: { listen: " + f.admin.Listener.Addr().String() + " }\ndata_dir: " + filepath.Join(dir, "data") +
		"\nidentity: [{ local: { users_file: " + users + " } }]\nroutes: [{ upstream: " + app.URL + " }]\n" + strings.Join(more, "\n")
	if err := os.WriteFile(f.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(f.file)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg = *cfg
	f.start()
	f.public.Start()
	return f
}

func (f *fleet) start() {
	f.Helper()
	g, err := build(&f.cfg, slog.New(slog.DiscardHandler), parts{})
	if err != nil {
		f.Fatal(err)
	}
	f.g = g
	f.Cleanup(func() { _ = g.Close() })
}

// signIn returns a browser that is signed in.
func (f *fleet) signIn(user string) *http.Client {
	f.Helper()
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar}
	f.Cleanup(c.CloseIdleConnections)
	res, err := c.Get(f.public.URL + "/.evergate/login")
	if err != nil {
		f.Fatal(err)
	}
	_ = res.Body.Close()
	req, _ := http.NewRequest(http.MethodPost, f.public.URL+"/.evergate/login", strings.NewReader(url.Values{"username": {user}, "password": {testPassword}}.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", f.public.URL)
	req.Header.Set("User-Agent", "Browser of "+user)
	if res, err = c.Do(req); err != nil {
		f.Fatal(err)
	}
	_ = res.Body.Close()
	if !f.in(c) {
		f.Fatalf("%s is not signed in (%d)", user, res.StatusCode)
	}
	return c
}

func (f *fleet) in(c *http.Client) bool {
	f.Helper()
	res, err := c.Get(f.public.URL + "/.evergate/session")
	if err != nil {
		f.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// run runs the command line and returns what it wrote.
func (f *fleet) run(args ...string) (stdout, stderr string, code int) {
	f.Helper()
	return f.typed("", args...)
}

// typed is run with something on standard input.
func (f *fleet) typed(in string, args ...string) (stdout, stderr string, code int) {
	f.Helper()
	var out, err strings.Builder
	code = run(args, strings.NewReader(in), &out, &err)
	return out.String(), err.String(), code
}

// user runs a subcommand of `evergate user` with the config, which has to go well.
func (f *fleet) user(in, sub string, args ...string) string {
	f.Helper()
	out, stderr, code := f.typed(in, append([]string{"user", sub, "--config", f.file}, args...)...)
	if code != 0 {
		f.Fatalf("user %s: exit code %d: %s", sub, code, stderr)
	}
	return out
}

func (f *fleet) list(args ...string) (all []session.Info) {
	f.Helper()
	out, stderr, code := f.run(append([]string{"session", "list", "--config", f.file, "--json"}, args...)...)
	if code != 0 {
		f.Fatalf("session list: exit code %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		f.Fatalf("session list: %v: %s", err, out)
	}
	return all
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		t.Run(map[bool]string{false: "the gateway runs", true: "the gateway is down"}[down], func(t *testing.T) {
			f := newFleet(t)
			if !down {
				f.admin.Start()
			} else { // where nobody else will listen either
				text, err := os.ReadFile(f.file)
				if err != nil {
					t.Fatal(err)
				}
				away := strings.Replace(string(text), f.admin.Listener.Addr().String(), "127.0.0.1:1", 1)
				if err := os.WriteFile(f.file, []byte(away), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			alice, phone, bob := f.signIn("alice"), f.signIn("alice"), f.signIn("bob")
			if down {
				if err := f.g.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if all := f.list(); len(all) != 3 {
				t.Errorf("got %d sessions, want 3", len(all))
			}
			mine := f.list("--user", "alice")
			if len(mine) != 2 || mine[0].User != "alice" || mine[0].Device.Address != "127.0.0.1" || !strings.Contains(mine[0].Device.Agent, "Browser of alice") {
				t.Fatalf("alice's: got %+v, want two, with their browser and address", mine)
			}
			table, _, _ := f.run("session", "list", "--config", f.file)
			if !strings.Contains(table, mine[0].Name) || !strings.Contains(table, "127.0.0.1  no     Browser of") {
				t.Errorf("the table: got %q, want the names, and that none is bound", table)
			}
			if _, stderr, code := f.run("session", "revoke", "--config", f.file, "nothing"); code != 1 || !strings.Contains(stderr, "no such session") {
				t.Errorf("an unknown one: got %d %q", code, stderr)
			}
			if _, _, code := f.run("session", "revoke", "--config", f.file); code == 0 {
				t.Error("none named: got exit code 0")
			}
			if _, stderr, code := f.run("session", "revoke", "--config", f.file, "--user", "alice", "--except", mine[0].Name); code != 0 || !strings.Contains(stderr, "1 session") {
				t.Errorf("all of alice's but one: got %d %q", code, stderr)
			}
			if down {
				f.start()
			}
			if a, p := f.in(alice), f.in(phone); a == p {
				t.Errorf("alice's two browsers: got signed in %v and %v, want one of them", a, p)
			}
			if !f.in(bob) {
				t.Error("bob is signed out")
			}
			if down {
				_ = f.g.Close()
			}
			if _, _, code := f.run("session", "revoke", "--config", f.file, mine[0].Name); code != 0 {
				t.Errorf("the last of alice's: got exit code %d", code)
			}
			if down {
				f.start()
			}
			if f.in(alice) || f.in(phone) {
				t.Error("alice is still signed in")
			}
		})
	}
}

func TestSessionsAreNotListedToStrangers(t *testing.T) {
	f := newFleet(t)
	f.admin.Start()
	f.signIn("alice")
	for name, header := range map[string]string{"no token": "", "another token": "Bearer x", "another scheme": "Basic eA=="} {
		req, _ := http.NewRequest(http.MethodGet, f.admin.URL+"/api/sessions", nil)
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || strings.Contains(string(body), "alice") {
			t.Errorf("%s: got %d %q, want 401 and no names", name, res.StatusCode, body)
		}
	}
	res, err := http.Get(f.public.URL + "/api/sessions")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if strings.Contains(string(body), "Browser of") {
		t.Error("the public listener lists sessions")
	}
	fi, err := os.Stat(filepath.Join(f.cfg.DataDir, adminTokenFile))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: got %v, %v, want mode 0600", fi.Mode(), err)
	}
}

func TestKeyRingIsReadAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.admin.Start()
	alice := f.signIn("alice")
	path := filepath.Join(f.cfg.DataDir, "cookie.key")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A key that was made a while ago seals at once.
	fresh := session.NewKey(time.Now().Add(-time.Hour)).Reveal()
	if err := os.WriteFile(path, []byte(fresh+"\n"+string(old)), 0o600); err != nil {
		t.Fatal(err)
	}
	var bob *http.Client
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for sealed := ""; !strings.HasPrefix(sealed, keyIDOf(t, fresh)); {
		if ctx.Err() != nil {
			t.Fatal("the fresh key does not seal")
		}
		time.Sleep(100 * time.Millisecond)
		bob = f.signIn("bob")
		u, _ := url.Parse(f.public.URL)
		for _, c := range bob.Jar.Cookies(u) {
			if strings.HasPrefix(c.Name, "evergate-") && strings.Count(c.Name, "-") == 1 {
				sealed = c.Value
			}
		}
	}
	if !f.in(alice) {
		t.Error("a cookie under the old key is signed out")
	}
	// A bad file changes nothing.
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(ringEvery + time.Second)
	if !f.in(alice) || !f.in(bob) {
		t.Error("a bad key file signs people out")
	}
}

// keyIDOf is what cookies under a key begin with.
func keyIDOf(t *testing.T, text string) string {
	t.Helper()
	ring, err := session.NewRing(secret.New(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := ring.Seal("x", "x", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(value, ".")
	return id
}

func TestListShowsNothingThatMovesACursor(t *testing.T) {
	if got := plain("a\x1b[31m\r\nb\u009b" + strings.Repeat("é", 100)); strings.ContainsAny(got, "\x1b\r\n\u009b") || len([]rune(got)) != 60 {
		t.Errorf("got %q, want sixty characters that stand on one line", got)
	}
}
