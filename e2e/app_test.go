package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// witness stands between the gateway and an application, and remembers what the
// application was sent: it speaks of no renewals itself.
type witness struct {
	http.Handler

	mu       sync.Mutex // guards the rest
	requests int
	tokens   map[string]int // requests by token
	faults   []string
}

func newWitness(t *testing.T, app string) (w *witness, address string) {
	t.Helper()
	u, err := url.Parse(app)
	if err != nil {
		t.Fatal(err)
	}
	w = &witness{tokens: map[string]int{}}
	w.Handler = &httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
		w.see(pr.In)
		pr.SetURL(u)
	}}
	srv := httptest.NewServer(w)
	t.Cleanup(srv.Close)
	return w, srv.URL
}

func (w *witness) see(r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	fault := func(format string, args ...any) {
		w.faults = append(w.faults, r.Method+" "+r.URL.Path+": "+fmt.Sprintf(format, args...))
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		fault("no Bearer token")
		return
	}
	w.tokens[token]++
	var claims struct {
		Sub string
		Exp int64
	}
	if parts := strings.Split(token, "."); len(parts) != 3 {
		fault("the token is no JWT")
	} else if b, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || json.Unmarshal(b, &claims) != nil {
		fault("the token's claims cannot be read")
	}
	if left := time.Until(time.Unix(claims.Exp, 0)); left <= 0 || left > 31*time.Second {
		fault("the token is good for %v, want up to 30 s", left)
	}
	if user := r.Header.Get("X-Forwarded-User"); user != "ann" || claims.Sub != "ann" {
		fault("X-Forwarded-User %q, sub %q, want ann", user, claims.Sub)
	}
	if c := r.Header.Get("Cookie"); strings.Contains(c, "evergate") {
		fault("the gateway's cookie came along")
	}
}

// so returns what was seen so far.
func (w *witness) so() (requests, tokens int, faults []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests, len(w.tokens), append([]string(nil), w.faults...)
}

// serve runs `evergate serve` for one user, ann, in front of upstream, and
// returns the gateway's public URL.
func serve(t *testing.T, upstream, password string) string {
	t.Helper()
	dir, port, admin := t.TempDir(), freePort(t), freePort(t)
	public := "http://localhost:" + port
	config := filepath.Join(dir, "evergate.yaml")
	yaml := fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
data_dir: data
admin: { listen: 127.0.0.1:%s }
identity:
  - local: { users_file: users.yaml }
access_token: { ttl: 30s }
session: { rotation_grace: 5s }
routes:
  - name: app
    allow:
      - groups: [staff]
    upstream: %s
`, port, public, admin, upstream)
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	evergate(t, dir, password+"\n", "user", "add", "--config", config, "--groups", "staff", "--password-stdin", "ann")
	evergate(t, dir, "", "check", config)
	gateway := start(t, dir, binary, "serve", "--config", config)
	gateway.awaitHTTP(t, public+"/.evergate/ping")
	t.Cleanup(func() {
		gateway.stop(t)
		if logged := gateway.stdout.String() + gateway.stderr.String(); strings.Contains(logged, password) || strings.Contains(logged, "eyJ") {
			t.Error("a secret is in the gateway's log")
		}
	})
	return public
}

// TestRealApplicationThroughRenewals uses an application that nobody here wrote
// and that knows no sign-in: its pages, scripts, pictures and calls.
func TestRealApplicationThroughRenewals(t *testing.T) {
	t.Parallel() // it mostly waits
	p := newBrowser(t).tab()
	w, upstream := newWitness(t, startTransmission(t, t.TempDir()))
	const password = "a-password-for-the-evidence"
	public := serve(t, upstream, password)

	p.open(public + "/transmission/web/")
	p.shot("transmission-sign-in")
	if got, _, _ := w.so(); got != 0 {
		t.Errorf("%d requests reached the application before anybody signed in", got)
	}
	p.signIn("ann", password)
	p.until("the application", patience, `document.getElementById("toolbar-open") && typeof transmission == "object"`)
	_, mark := p.heard(0)
	eval[bool](p, "window.stillHere = true")

	addTorrent(p)
	p.shot("transmission")

	// A person comes back to the page now and then; the page itself asks its
	// server every few seconds.
	began := time.Now()
	for round := 0; ; round++ {
		if _, tokens, _ := w.so(); tokens >= 4 {
			break
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("no three renewals in two minutes")
		}
		toggleTurtle(p, round%2 == 0)
		time.Sleep(3 * time.Second)
	}
	removeTorrent(p)
	p.shot("transmission-after-renewals")

	if !eval[bool](p, "window.stillHere === true") {
		t.Error("the page was loaded again while it was in use")
	}
	if got := p.text("#dialog_heading"); strings.Contains(got, "Connection Failed") {
		t.Errorf("the application says %q", got)
	}
	answers, _ := p.heard(mark)
	for _, a := range answers {
		// 409 is how Transmission hands out its own X-Transmission-Session-Id.
		if a.status >= 300 && a.status != 409 || strings.Contains(a.url, "/.evergate/") {
			t.Errorf("while in use, the browser got %v", a)
		}
	}
	p.open(public + "/transmission/web/") // all of it once more: page, scripts, style, pictures
	p.until("the application", patience, `document.getElementById("toolbar-open") && typeof transmission == "object"`)

	requests, tokens, faults := w.so()
	t.Logf("the application got %d requests with %d different tokens", requests, tokens)
	if requests < 30 {
		t.Errorf("the application got %d requests, want 30 at least", requests)
	}
	for _, f := range faults {
		t.Errorf("the application was sent %s", f)
	}
	kinds := map[string]int{}
	all, _ := p.heard(0)
	for _, a := range all {
		kinds[string(a.kind)]++
	}
	for _, kind := range []string{"Document", "Script", "Stylesheet", "Image", "XHR"} {
		if kinds[kind] == 0 {
			t.Errorf("the browser got no %s of the application: %v", kind, kinds)
		}
	}
	p.faultless("status of 409", noFavicon)
}
