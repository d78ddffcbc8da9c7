package main

import (
	"bytes"
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

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

// hostsBed is a gateway at apps.localhost with an app on wiki.localhost, one on every
// other name of localhost, and one for whatever host there is.
type hostsBed struct {
	*testing.T
	g   *gateway
	log *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newHostsBed(t *testing.T) *hostsBed {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s at %s%s", r.Header.Get("X-Forwarded-User"), r.Host, r.RequestURI)
	}))
	t.Cleanup(app.Close)
	file := filepath.Join(t.TempDir(), "evergate.yaml")
	if err := os.WriteFile(file, []byte(fmt.Sprintf(`public_url: http://apps.localhost:8080
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { host: wiki.localhost }, upstream: %[1]q }
  - { match: { host: "*.shops.localhost" }, upstream: %[1]q }
  - { upstream: %[1]q }
`, app.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	b := &hostsBed{T: t, log: &lockedBuffer{}}
	b.g, err = build(cfg, slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		parts{Users: []local.User{{Name: "alice", Password: horseHash}, {Name: "mallory", Password: horseHash}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.g.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// wanderer is a browser that knows cookies by host, and follows nothing by itself.
type wanderer struct {
	b   *hostsBed
	jar map[string]map[string]string
}

func (b *hostsBed) wanderer() *wanderer { return &wanderer{b, map[string]map[string]string{}} }

func (v *wanderer) send(method, address, body string) *http.Response {
	v.b.Helper()
	address, _, _ = strings.Cut(address, "#") // which no browser sends
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	r.Header.Set("Accept", "text/html")
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	host := r.URL.Hostname()
	for name, value := range v.jar[host] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	r.RequestURI, r.URL.Scheme, r.URL.Host = r.URL.RequestURI(), "", ""
	rec := httptest.NewRecorder()
	v.b.g.Public.ServeHTTP(rec, r)
	res := rec.Result()
	for _, c := range res.Cookies() {
		if v.jar[host] == nil {
			v.jar[host] = map[string]string{}
		}
		if v.jar[host][c.Name] = c.Value; c.MaxAge < 0 {
			delete(v.jar[host], c.Name)
		}
	}
	return res
}

// to follows redirects until one begins with stop, which is not followed, or an answer is
// none. It returns where that is, and the answer.
func (v *wanderer) to(address, stop string) (string, *http.Response) {
	v.b.Helper()
	for range 20 {
		res := v.send("GET", address, "")
		next := res.Header.Get("Location")
		if next == "" {
			return address, res
		}
		at, err := url.Parse(address)
		if err != nil {
			v.b.Fatal(err)
		}
		if at, err = at.Parse(next); err != nil {
			v.b.Fatal(err)
		}
		if address = at.String(); stop != "" && strings.HasPrefix(address, stop) {
			return address, res
		}
	}
	v.b.Fatalf("the redirects do not end: at %s", address)
	return "", nil
}

func (v *wanderer) signIn(name string) {
	v.b.Helper()
	res := v.send("POST", "http://apps.localhost:8080/.evergate/login", "username="+name+"&password=correct+horse+battery")
	if res.StatusCode != http.StatusSeeOther {
		v.b.Fatalf("sign in: %d", res.StatusCode)
	}
}

func (v *wanderer) mustReach(address, want string) {
	v.b.Helper()
	at, res := v.to(address, "")
	body, _ := io.ReadAll(res.Body)
	if string(body) != want {
		v.b.Errorf("got %d %.200s at %s, want %q", res.StatusCode, body, at, want)
	}
}

// mustSignIn: whoever opens address has to sign in at the public host.
func (v *wanderer) mustSignIn(address string) {
	v.b.Helper()
	at, res := v.to(address, "")
	if !strings.HasPrefix(at, "http://apps.localhost:8080/.evergate/login?to=") || res.StatusCode != http.StatusOK {
		v.b.Errorf("%s: got %d at %s, want the sign-in page", address, res.StatusCode, at)
	}
}

const (
	wikiHost = "http://wiki.localhost:8080"
	arrive   = "/.evergate/arrive?"
)

func TestHostsShareOneSignIn(t *testing.T) {
	b := newHostsBed(t)
	alice := b.wanderer()
	alice.mustSignIn(wikiHost + "/page?q=1")
	alice.signIn("alice")
	alice.mustReach(wikiHost+"/page?q=1", "alice at wiki.localhost:8080/page?q=1")
	alice.mustReach("http://a.shops.localhost:8080/", "alice at a.shops.localhost:8080/")
	// Signing out on an app's host with its own form: everywhere.
	if res := alice.send("POST", wikiHost+"/.evergate/logout", ""); res.StatusCode != http.StatusOK {
		t.Errorf("sign out on an app's host: %d", res.StatusCode)
	}
	for _, host := range []string{"wiki", "a.shops"} {
		at, _ := alice.to("http://"+host+".localhost:8080/", "")
		if !strings.HasPrefix(at, "http://apps.localhost:8080/.evergate/login?to=") {
			t.Errorf("after the sign-out %s is at %s", host, at)
		}
	}
}

// TestStolenHandOver: what somebody gets who has the code of another, or sends another
// their own.
func TestStolenHandOver(t *testing.T) {
	b := newHostsBed(t)
	alice, thief, mallory := b.wanderer(), b.wanderer(), b.wanderer()
	alice.signIn("alice")
	stolen, _ := alice.to(wikiHost+"/", wikiHost+arrive)
	query := func(address string) url.Values {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query()
	}
	code := query(stolen).Get("code")
	if code == "" {
		t.Fatalf("got %s, want a code", stolen)
	}

	// A thief with the whole address, in a browser that did not begin it.
	thief.mustSignIn(stolen)
	// And with an errand of their own for the code.
	own, _ := thief.to(wikiHost+"/", "http://apps.localhost:8080/")
	thief.mustSignIn(wikiHost + arrive + url.Values{"code": {code}, "state": {query(own).Get("to")}}.Encode())
	// At another host, and where nothing was sealed.
	for _, address := range []string{
		strings.Replace(stolen, "wiki.", "a.shops.", 1),
		wikiHost + arrive + url.Values{"code": {code}, "state": {query(own).Get("to") + "A"}}.Encode(),
		wikiHost + arrive + url.Values{"code": {code}}.Encode(),
	} {
		if at, res := thief.to(address, ""); res.StatusCode != http.StatusBadRequest || thief.jar["a.shops.localhost"] != nil {
			t.Errorf("got %d at %s, want 400", res.StatusCode, at)
		}
	}
	// That used it up; she is at her app all the same.
	alice.mustReach(stolen, "alice at wiki.localhost:8080/")
	// The Back button, and a browser that has lost its cookies since.
	alice.mustReach(stolen, "alice at wiki.localhost:8080/")
	delete(alice.jar, "wiki.localhost")
	alice.mustReach(stolen, "alice at wiki.localhost:8080/")

	// Mallory has alice's browser finish what mallory began: she stays who she is.
	mallory.signIn("mallory")
	planted, _ := mallory.to(wikiHost+"/", wikiHost+arrive)
	delete(alice.jar, "wiki.localhost")
	alice.mustReach(planted, "alice at wiki.localhost:8080/")
	// And the address of mallory's own errand, opened by alice, gives mallory nothing.
	lure, _ := mallory.to("http://b.shops.localhost:8080/", "http://apps.localhost:8080/")
	caught, _ := alice.to(lure, "http://b.shops.localhost:8080"+arrive)
	alice.mustReach(caught, "alice at b.shops.localhost:8080/") // as her browser does by itself
	mallory.jar = map[string]map[string]string{"b.shops.localhost": mallory.jar["b.shops.localhost"]}
	at, res := mallory.to(caught, "")
	body, _ := io.ReadAll(res.Body)
	t.Logf("mallory, who lured alice's browser, is at %.60s", at)
	if got := string(body); strings.HasPrefix(got, "alice") {
		t.Errorf("mallory got %s with alice's code", got)
	}

	if log := b.log.String(); strings.Contains(log, code) || strings.Contains(log, query(caught).Get("code")) {
		t.Error("a code is in the log")
	}
}

// TestOnlyNamedHostsAreHandedOver: a route for every host serves whatever name somebody
// points at the gateway, and none of those gets a code.
func TestOnlyNamedHostsAreHandedOver(t *testing.T) {
	b := newHostsBed(t)
	v := b.wanderer()
	at, res := v.to("http://evil.example:8080/", "")
	body, _ := io.ReadAll(res.Body)
	if !strings.HasPrefix(at, "http://evil.example:8080/.evergate/login?") || strings.Contains(string(body), `name="to"`) {
		t.Errorf("got %d at %s, want a sign-in page of its own", res.StatusCode, at)
	}
	if res := v.send("GET", "http://evil.example:8080/.evergate/arrive?code=x&state=y", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("arrive there: got %d, want 404", res.StatusCode)
	}
	if res := v.send("GET", "http://localhost:8080/.evergate/arrive?code=x&state=y", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("arrive at a host without a name: got %d, want 404", res.StatusCode)
	}
	// A port of the asker's choice is not where the code goes.
	if at, _ := v.to("http://wiki.localhost:9999/", "http://apps"); !strings.HasPrefix(at, "http://apps.localhost:8080/") {
		t.Errorf("at %s", at)
	}
	v.signIn("alice")
	if at, _ := v.to("http://wiki.localhost:9999/", "http://wiki.localhost:8080"); !strings.HasPrefix(at, wikiHost+arrive) {
		t.Errorf("the code went to %s, want public_url's port", at)
	}
}

// TestAppHostsServeTheirOwnPagesAlone: the pages of the public host are there.
func TestAppHostsServeTheirOwnPagesAlone(t *testing.T) {
	b := newHostsBed(t)
	for path, want := range map[string]int{
		"jwks.json": 404, ".well-known/openid-configuration": 404, "callback/oidc": 404, "login/nobody": 404, "nothing": 404,
		"login": 303, "logout": 303, "session": 401, "ping": 200, "landed": 400, "style.css": 200, "login.js": 200, "arrive": 400, "resend": 302,
	} {
		if res := b.wanderer().send("GET", wikiHost+"/.evergate/"+path, ""); res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, res.StatusCode, want)
		}
	}
	v := b.wanderer()
	res := v.send("POST", wikiHost+"/.evergate/login", "username=alice&password=correct+horse+battery&rd=/x")
	if to := res.Header.Get("Location"); res.StatusCode != 303 || !strings.HasPrefix(to, "http://apps.localhost:8080/.evergate/login?to=") {
		t.Errorf("a password posted to an app's host: got %d to %s", res.StatusCode, to)
	}
	if v.jar["wiki.localhost"]["evergate-8080"] != "" {
		t.Error("it signed in there")
	}
}

// TestHandOverDoesNotLoop: a browser that keeps no cookies on an app's host, and a proxy
// that mixes the hosts up, end at a page that says so.
func TestHandOverDoesNotLoop(t *testing.T) {
	b := newHostsBed(t)
	v := b.wanderer()
	v.signIn("alice")
	address, hops := wikiHost+"/", 0
	var res *http.Response
	for ; hops < 30; hops++ {
		delete(v.jar, "wiki.localhost")
		if res = v.send("GET", address, ""); res.Header.Get("Location") == "" {
			break
		}
		at, _ := url.Parse(address)
		at, _ = at.Parse(res.Header.Get("Location"))
		address = at.String()
	}
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 400 || !strings.Contains(string(body), "cookies") || hops > 18 {
		t.Errorf("after %d hops: got %d %.300s", hops, res.StatusCode, body)
	}

	away, _ := b.wanderer().to(wikiHost+"/", "http://apps.localhost:8080/")
	mixed := strings.Replace(away, "apps.localhost", "wiki.localhost", 1)
	at, res := b.wanderer().to(mixed, "")
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 400 || !strings.Contains(string(body), "Host header") {
		t.Errorf("got %d at %s: %.300s", res.StatusCode, at, body)
	}
}
