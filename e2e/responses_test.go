package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// singlePage is an app of one page: its script shows what the address says and what
// the server does.
var singlePage = map[string]string{
	"site/index.html": `<!doctype html><html lang="en"><meta charset="utf-8"><title>Orders</title><link rel="icon" href="data:,">
<h1>Orders</h1><p id="route"></p><p id="data"></p><button id="next">Next</button><script src="/app.js"></script></html>`,
	"site/app.js": `const show = () => { document.getElementById("route").textContent = location.pathname + location.search };
show();
document.getElementById("next").onclick = () => { history.pushState({}, "", "/orders/8"); show() };
fetch("/api/data").then((r) => r.json()).then((d) => { document.getElementById("data").textContent = d.length });
` + strings.Repeat("// what a bundler leaves behind\n", 200),
	"pages/error.html": `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} – Acme</title><link rel="icon" href="/.evergate/icon.svg"><link rel="stylesheet" href="{{.Stylesheet}}">
<header>Acme Works</header><main><h1>{{.Title}}</h1>{{with .Detail}}<p>{{.}}</p>{{end}}
{{range .Links}}<p><a href="{{.URL}}">{{.Text}}</a></p>{{end}}</main><footer>Tell us <code>{{.RequestID}}</code></footer></html>`,
	"pages/style.css": `:root { color-scheme: light dark; --ground: #fdf6e3; --text: #20201a; --bar: #7a1f3d; --link: #7a1f3d }
@media (prefers-color-scheme: dark) { :root { --ground: #17151a; --text: #efe9dc; --bar: #7a1f3d; --link: #ff9dbb } }
body { margin: 0; font: 1.1rem/1.5 Georgia, serif; background: var(--ground); color: var(--text) }
header { padding: 1rem 1.5rem; background: var(--bar); color: #fff; font-weight: bold }
main, footer { max-width: 36rem; padding: 1rem 1.5rem; overflow-wrap: anywhere } a { color: var(--link) } footer { font-size: .9rem }`,
}

// ordersApp answers with much, with a stream that goes on when it is told, and with
// an error of its own.
func ordersApp(t *testing.T) string {
	more := make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("/api/data", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "[%s0]", strings.Repeat("1234567,", 999))
	})
	mux.HandleFunc("/api/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, "first")
		w.(http.Flusher).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
		}
		fmt.Fprintln(w, "second")
	})
	mux.HandleFunc("/api/more", func(http.ResponseWriter, *http.Request) { once.Do(func() { close(more) }) })
	mux.HandleFunc("/api/broken", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "goroutine 1 [running]: of the app")
	})
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	return app.URL
}

// TestSinglePageAppWithSignIn: a person opens a deep link into an app of files, signs
// in, and is where they wanted to be; what they get is compressed on its way, and
// where something is amiss they see the operator's page.
func TestSinglePageAppWithSignIn(t *testing.T) {
	t.Parallel()
	p := newBrowser(t).tab()
	dir, port := t.TempDir(), freePort(t)
	public := "http://localhost:" + port
	for name, text := range singlePage {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "evergate.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `listen: 127.0.0.1:%s
public_url: %s
admin: { listen: 127.0.0.1:%s }
identity:
  - local: { users_file: users.yaml }
pages: { templates: pages }
routes:
  - static: { dir: site, fallback: index.html }
    compress: [zstd, gzip]
  - match: { path: /gzip/ }
    strip_prefix: /gzip
    static: { dir: site }
    compress: [gzip]
  - match: { path: /old/ }
    redirect: { to: "/orders/{rest}", keep_query: true }
  - match: { path: /api/ }
    upstream: %s
    compress: [zstd, gzip]
    replace_errors: [503]
`, port, public, freePort(t), ordersApp(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	const password = "a-password-for-the-orders"
	evergate(t, dir, password+"\n", "user", "add", "--config", config, "--password-stdin", "ann")
	evergate(t, dir, "", "check", config)
	start(t, dir, binary, "serve", "--config", config).awaitHTTP(t, public+"/.evergate/ping")

	// A deep link, through the sign-in page and back.
	p.open(public + "/orders/7?sort=up")
	p.signIn("ann", password)
	p.until("the app at the deep link, with its data", patience,
		`document.getElementById("route")?.textContent == "/orders/7?sort=up" && document.getElementById("data").textContent == "1000"`)
	p.click("#next")
	if got := p.text("#route"); got != "/orders/8" {
		t.Errorf("after a click the app is at %q", got)
	}
	p.open(public + "/orders/8")
	p.until("the app once more", patience, `document.getElementById("route")?.textContent == "/orders/8"`)

	// What the browser decoded, and from what.
	for path, want := range map[string]string{"/": "", "/app.js": "zstd", "/gzip/app.js": "gzip", "/api/data": "zstd"} {
		got := eval[[]any](p, fmt.Sprintf(`fetch(%q).then((r) => r.text().then((t) => [r.status, r.headers.get("content-encoding") || "", t.length]))`, path))
		if got[0] != 200.0 || got[1] != want || got[2].(float64) < 100 {
			t.Errorf("%s: the browser got %v, want 200 and coding %q", path, got, want)
		}
	}
	if got := eval[string](p, `fetch("/app.js").then((r) => r.text())`); got != singlePage["site/app.js"] {
		t.Errorf("the script came as something else: %.200q", got)
	}
	if got := eval[[]float64](p, `[...performance.getEntriesByType("resource")].filter((e) => e.name.endsWith("/api/data")).map((e) => [e.encodedBodySize, e.decodedBodySize])[0]`); len(got) != 2 || got[0]*10 > got[1] || got[1] < 7000 {
		t.Errorf("the data: got %v bytes on the wire and decoded", got)
	}
	if got := eval[string](p, `fetch("/chunk-of-the-last-release.js").then((r) => r.status + " " + r.headers.get("content-type"))`); got != "404 application/problem+json" {
		t.Errorf("a script that is not there: got %s", got)
	}
	if got := eval[string](p, `(async () => {
		const r = await fetch("/api/stream"), reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
		const first = (await reader.read()).value; // the app writes no more before it is told
		await fetch("/api/more");
		let rest = ""; for (let x; !(x = await reader.read()).done;) rest += x.value;
		return r.headers.get("content-encoding") + " " + first.trim() + " " + rest.trim() })()`); got != "zstd first second" {
		t.Errorf("a stream: got %q", got)
	}

	if got := eval[string](p, `fetch("/api/broken").then((r) => r.text())`); !strings.HasPrefix(got, "goroutine 1") {
		t.Errorf("a script got %q, want what the app said", got)
	}
	p.open(public + "/old/9?from=mail")
	p.until("the app, where the old address leads", patience, `document.getElementById("route")?.textContent == "/orders/9?from=mail"`)

	// The operator's page in place of the app's, with its own style and nothing that the
	// policy of the pages would stop.
	p.open(public + "/api/broken")
	if got := p.text("h1"); got != "The app is not available for the moment" || strings.Contains(p.text("body"), "goroutine") {
		t.Errorf("got the page %q\n%s", got, p.text("body"))
	}
	if got := eval[string](p, `getComputedStyle(document.querySelector("header")).backgroundColor`); got != "rgb(122, 31, 61)" {
		t.Errorf("the operator's style is not used: the bar is %s", got)
	}
	p.everyLook("own-error-page")

	// Signed out, the files that the browser keeps are not shown.
	p.signOut(public)
	p.open(public + "/orders/7")
	p.until("a sign-in page", patience, atSignIn)
	p.faultless("status of 503", "status of 404", noFavicon)
}
