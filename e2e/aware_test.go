package e2e

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// awareApp is an app that includes the gateway's script under as strict a policy as
// there is, and has a sign-out of its own.
type awareApp struct {
	*httptest.Server

	mu      sync.Mutex      // guards the rest
	refused map[string]bool // tokens that it has refused once
	posts   []string        // bodies that it took
	logouts int
	busy    chan struct{} // closed when the slow request may end
}

const awarePolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func newAwareApp(t *testing.T) *awareApp {
	t.Helper()
	a := &awareApp{refused: map[string]bool{}, busy: make(chan struct{})}
	page := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", awarePolicy)
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>App</title>%s", body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "app", Value: "1", Path: "/"})
		page(w, fmt.Sprintf(`<script src="/.evergate/session.js" defer data-fetch data-banner data-warn="%s"></script><script src="/app.js"></script>
<p id="user">%s</p><a id="logout" href="/logout">Log out</a>`, html.EscapeString(r.URL.Query().Get("warn")), html.EscapeString(r.Header.Get("X-Forwarded-User"))))
	})
	mux.HandleFunc("GET /picture", func(w http.ResponseWriter, r *http.Request) {
		page(w, `<img id="picture" src="/logout" alt=""><iframe src="/logout"></iframe>`)
	})
	mux.HandleFunc("GET /app.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, `window.heard = [];
for (const name of ["ending", "ended", "resumed", "changed"]) addEventListener("evergate:" + name, (e) => heard.push(name + " " + JSON.stringify(e.detail)));`)
	})
	mux.HandleFunc("GET /logout", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.logouts++
		a.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "app", Path: "/", MaxAge: -1})
		http.Redirect(w, r, "/", http.StatusFound)
	})
	mux.HandleFunc("/api", func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.refused) == 0 {
			a.refused[token] = true
		}
		if a.refused[token] {
			w.Header().Set("WWW-Authenticate", `Bearer realm="app", error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		a.posts = append(a.posts, string(body))
		fmt.Fprint(w, "done")
	})
	mux.HandleFunc("GET /busy/slow", func(w http.ResponseWriter, r *http.Request) { <-a.busy })
	mux.HandleFunc("GET /busy/quick", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "done") })
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *awareApp) loggedOut() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.logouts
}

// newAware is the app behind a gateway, with ann and ben.
func newAware(t *testing.T, more string) (a *awareApp, url, password string) {
	t.Helper()
	a = newAwareApp(t)
	dir, port, admin := t.TempDir(), freePort(t), freePort(t)
	url, password = "http://localhost:"+port, "correct horse battery staple"
	config := filepath.Join(dir, "evergate.yaml")
	yaml := fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
data_dir: data
admin: { listen: 127.0.0.1:%s }
identity:
  - local: { users_file: users.yaml }
routes:
  - upstream: %s
    logout_paths: [/logout]
  - match: { path: /busy/ }
    upstream: { targets: [%s], connections: 1 }
%s`, port, url, admin, a.URL, a.URL, more)
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann", "ben"} {
		evergate(t, dir, password+"\n", "user", "add", "--config", config, "--password-stdin", user)
	}
	g := start(t, dir, binary, "serve", "--config", config)
	g.awaitHTTP(t, url+"/.evergate/ping")
	return a, url, password
}

const atApp = `document.getElementById("user")?.textContent == `

// heardEvent is a condition: the page heard of something, and said so.
func heardEvent(name, text string) string {
	return fmt.Sprintf(`window.heard && heard.some((e) => e.startsWith(%q)) && (document.getElementById("evergate-banner")?.textContent ?? "").includes(%q)`, name+" ", text)
}

const noBanner = `!document.getElementById("evergate-banner")`

// TestAppsOwnSignOut: the link that the app always had signs out of all of it, in every
// tab; what merely makes a browser ask for the address does not.
func TestAppsOwnSignOut(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	a, url, password := newAware(t, "")
	one, two := b.tab(), b.tab()
	one.open(url + "/")
	one.signIn("ann", password)
	one.until("the app", patience, atApp+`"ann"`)
	two.open(url + "/")
	two.until("the app", patience, atApp+`"ann"`)

	two.open(url + "/picture")
	two.until("the picture is asked for", patience, `document.getElementById("picture")?.complete`)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<a id="trap" href="%s/logout">Cats</a>`, url)
	}))
	defer other.Close()
	two.open(other.URL) // 127.0.0.1 is another site than localhost
	two.click("#trap")
	two.until("the app", patience, atApp+`"ann"`)
	if n := a.loggedOut(); n < 2 {
		t.Fatalf("the app's sign-out was asked for %d times, want it by the picture and the link", n)
	}
	one.open(url + "/")
	one.until("signed in still", patience, atApp+`"ann"`)

	one.click("#logout")
	one.until("the page that says so", patience, `document.title.startsWith("Signed out")`)
	for _, c := range one.cookies(url) {
		if !strings.HasSuffix(c.Name, "-known") { // it opens nothing, and is for the next sign-in
			t.Errorf("the browser still has the cookie %s", c.Name)
		}
	}
	two.until("the other tab knows", patience, heardEvent("ended", "You are signed out."))
	if got := eval[string](two, `fetch("/api").then((r) => String(r.status))`); got != "401" {
		t.Errorf("a request of the other tab: got %s, want 401", got)
	}

	one.open(url + "/")
	one.signIn("ann", password)
	one.until("the app", patience, atApp+`"ann"`)
	two.until("the other tab goes on", patience, `heard.some((e) => e == 'resumed {"user":"ann"}') && `+noBanner)

	one.signOut(url)
	two.until("the other tab knows", patience, heardEvent("ended", "You are signed out."))
	one.open(url + "/")
	one.signIn("ben", password)
	one.until("the app", patience, atApp+`"ben"`)
	two.until("the other tab knows of ben", patience, heardEvent("changed", "You are signed in as ben now."))
	one.faultless(noFavicon, "401")
	two.faultless(noFavicon, "401")
}

// TestFetchIsSentAgain: where nobody acted on a request, its page need not know.
func TestFetchIsSentAgain(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	a, url, password := newAware(t, "")
	p := b.tab()
	p.open(url + "/")
	p.signIn("ann", password)
	p.until("the app", patience, atApp+`"ann"`)
	p.until("its script", patience, `!fetch.toString().includes("native")`)

	// The gateway cannot send a body again; the page can.
	if got := eval[string](p, `fetch("/api", {method: "POST", body: new URLSearchParams({a: 1})}).then((r) => r.text())`); got != "done" {
		t.Errorf("a token that the app refused: got %q", got)
	}
	a.mu.Lock()
	if len(a.posts) != 1 || a.posts[0] != "a=1" {
		t.Errorf("the app took %q, want the form once", a.posts)
	}
	clear(a.refused)
	a.mu.Unlock()
	// A body that is used up is sent once, and its answer is the app's.
	if got := eval[string](p, `fetch(new Request("/api", {method: "POST", body: "x"})).then((r) => String(r.status))`); got != "401" {
		t.Errorf("a body that is used up: got %s, want 401", got)
	}

	// The app is busy for a while.
	eval[bool](p, `(fetch("/busy/slow"), true)`)
	p.until("it is under way", patience, `(window.quick = fetch("/busy/quick").then((r) => r.text()).then((s) => window.got = s), true)`)
	time.Sleep(6 * time.Second) // the gateway has said 503 by now
	close(a.busy)
	p.until("the answer", patience, `window.got == "done"`)

	// Signed out and in again by another tab meanwhile.
	q := b.tab()
	q.open(url + "/")
	q.until("the app", patience, atApp+`"ann"`)
	q.signOut(url)
	p.until("the tab knows", patience, heardEvent("ended", "You are signed out."))
	if got := eval[string](p, `fetch("/api").then(async (r) => r.status + " " + (await r.json()).code)`); got != "401 login_required" {
		t.Errorf("with nobody signed in: got %q, want the gateway's answer", got)
	}
	for _, c := range p.cookies(url) {
		if strings.HasPrefix(c.Name, "evergate") && !strings.HasSuffix(c.Name, "-known") && c.Value != "" {
			t.Errorf("the cookie %s is still there", c.Name)
		}
	}
	if got := eval[string](p, `fetch("https://nowhere.invalid/").catch((e) => e.name)`); got != "TypeError" {
		t.Errorf("another origin: got %q, want what fetch says", got)
	}
	if got := eval[string](p, `fetch("/api", {signal: AbortSignal.abort()}).catch((e) => e.name)`); got != "AbortError" {
		t.Errorf("an aborted one: got %q, want what fetch says", got)
	}
}

// TestEndIsToldBefore: a minute without use is announced, put off, and comes.
func TestEndIsToldBefore(t *testing.T) {
	t.Parallel() // it mostly waits
	p := newBrowser(t).tab()
	_, url, password := newAware(t, "session: { idle_timeout: 1m, rotation_grace: 1s }\n")
	p.open(url + "/?warn=50")
	p.signIn("ann", password)
	p.until("the app", patience, atApp+`"ann"`)
	p.until("the end is near", 30*time.Second, heardEvent("ending", "You will be signed out at"))
	p.everyLook("session-ending")
	eval[bool](p, `(heard.length = 0, true)`) // once it is told, it is not told again
	p.click("#evergate-banner button")        // Stay signed in
	p.until("it is put off", patience, noBanner)
	p.until("the end is near again", 30*time.Second, heardEvent("ending", "You will be signed out at"))
	p.until("the end", 90*time.Second, heardEvent("ended", "You are signed out.")) // looks do not put it off
	if got := eval[string](p, `heard.find((e) => e.startsWith("ended"))`); !strings.Contains(got, `"reason":"`) || !strings.Contains(got, url+"/.evergate/login?rd=") {
		t.Errorf("got %s, want why and where to sign in", got)
	}
}

// TestAppsOwnSignOutGoesOnToTheProvider: who signs out of the app ends at the provider's own
// page for that, and has to sign in there again. A tab that is opened again at the address
// does nothing of the kind.
func TestAppsOwnSignOutGoesOnToTheProvider(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 60, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", "    logout_paths: [/logout]\n"), map[string]string{"secret": "secret of evergate, with a space\n"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	logout := func(site string) page {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, g.url+"/logout", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"} {
			req.Header.Set(name, value)
		}
		return who.do(req)
	}
	if told := logout("none").told(t); told["path"] != "/logout" || told["user"] != "alice" {
		t.Errorf("the app was told %v", told)
	}
	at := logout("same-origin")
	if !strings.HasPrefix(at.url.String(), p.url+"/session/end") {
		t.Fatalf("after signing out: at %s (%d), want the provider's page", at.url, at.status)
	}
	if at = who.submit(at, map[string]string{"logout": "yes"}); at.status != http.StatusOK || !strings.HasPrefix(at.url.String(), g.url+"/.evergate/logout") || !strings.Contains(at.body, "Signed out") {
		t.Errorf("back from the provider: at %s (%d)", at.url, at.status)
	}
	if at = who.get(g.url + "/"); at.status != http.StatusOK || !strings.Contains(at.url.Path, "/interaction/") {
		t.Errorf("afterwards: at %s (%d), want to have to sign in", at.url, at.status)
	}
}
