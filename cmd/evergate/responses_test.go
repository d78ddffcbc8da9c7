package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// fetch is one with header lines, name and value in turn, that follows no redirect
// and decodes no body.
func fetch(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// folder makes a folder of files by name.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAnswersAreWired: a route that redirects, responds or serves files does so
// behind the same rules as one with an upstream.
func TestAnswersAreWired(t *testing.T) {
	dir := folder(t, map[string]string{"index.html": "<h1>home</h1>", "a b.txt": "spaced", "sub/index.html": "sub"})
	server := served(t, fmt.Sprintf(`
  - { public: true, match: { path: /short }, redirect: https://new.example.com/ }
  - { public: true, match: { path: /old/ }, redirect: { to: "/new/{rest}", status: 308, keep_query: true } }
  - { public: true, match: { path: /gone/, methods: [GET] }, respond: { status: 410 } }
  - { public: true, match: { path: /robots.txt }, respond: { body: "User-agent: *\nDisallow: /\n" } }
  - { public: true, match: { path: /page }, respond: { status: 503, body_file: %[1]q },
      response_headers: { set: { Retry-After: "30" } } }
  - { public: true, match: { path: /app/ }, strip_prefix: /app, static: { dir: %[2]q, fallback: index.html } }
  - { match: { path: /in/ }, strip_prefix: /in, static: { dir: %[2]q } }
  - { match: { path: /in2/ }, redirect: / }
  - { match: { path: /in3/ }, respond: { body: secret } }
`, filepath.Join(dir, "index.html"), dir))
	const page = "text/html"
	for _, tt := range []struct {
		method, path, accept string
		status               int
		location, body       string
	}{
		{"GET", "/short", page, 307, "https://new.example.com/", ""},
		{"GET", "/old/a%20b?x=1", page, 308, "/new/a%20b?x=1", ""},
		{"POST", "/old/", page, 308, "/new/", ""},
		{"GET", "/gone/", page, 410, "", "<h1>Gone</h1>"},
		{"GET", "/gone/", "*/*", 410, "", `"code":"answered_here"`},
		{"DELETE", "/gone/", "*/*", 405, "", `"code":"method_not_allowed"`},
		{"GET", "/robots.txt", page, 200, "", "Disallow: /\n"},
		{"GET", "/page", page, 503, "", "<h1>home</h1>"},
		{"GET", "/app/", page, 200, "", "<h1>home</h1>"},
		{"GET", "/app/a%20b.txt", page, 200, "", "spaced"},
		{"GET", "/app/sub", page, 307, "/app/sub/", ""},
		{"GET", "/app/sub/", page, 200, "", "sub"},
		{"GET", "/app/deep/link", page, 200, "", "<h1>home</h1>"},
		{"GET", "/app/deep.js", "*/*", 404, "", `"code":"no_file"`},
		{"PUT", "/app/", page, 405, "", "GET, HEAD"},
		{"GET", "/in/", page, 302, "/.evergate/login?rd=%2Fin%2F", ""},
		{"GET", "/in/", "*/*", 401, "", `"code":"login_required"`},
		{"GET", "/in2/", "*/*", 401, "", `"code":"login_required"`},
		{"GET", "/in3/", "*/*", 401, "", `"code":"login_required"`},
	} {
		res, body := fetch(t, tt.method, server.URL+tt.path, "Accept", tt.accept)
		if res.StatusCode != tt.status || res.Header.Get("Location") != tt.location || !strings.Contains(body, tt.body) {
			t.Errorf("%s %s for %s: got %d, Location %q,\n%s\nwant %d, %q, %q", tt.method, tt.path, tt.accept, res.StatusCode,
				res.Header.Get("Location"), body, tt.status, tt.location, tt.body)
		}
		if res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: no request id", tt.method, tt.path)
		}
	}
	if res, _ := fetch(t, "GET", server.URL+"/page"); res.Header.Get("Retry-After") != "30" {
		t.Errorf("got %v, want the header of the route", res.Header)
	}
}

// TestRedirectLoopsAreFound: `evergate check` tells a redirect that leads back to
// its own route, with its place.
func TestRedirectLoopsAreFound(t *testing.T) {
	for routes, want := range map[string]string{
		"  - redirect: /app/\n": "x:4:15: routes[0].redirect: it leads back to this very route",
		"  - match: { path: /a/ }\n    redirect: { to: '{path}/x' }\n":                        "x:5:15: routes[0].redirect: it leads back",
		"  - match: { host: a.example }\n    redirect: https://a.example{path}\n":             "it leads back",
		"  - redirect: /app/\n  - match: { path: /app/ }\n    upstream: http://127.0.0.1:1\n": "",
		"  - redirect: https://apps.example.com{path}\n":                                      "",
		"  - match: { path: /a/*/ }\n    redirect: { to: '/a/new/{rest}' }\n":                 "it leads back",
		"  - match: { path: /a/*/ }\n    redirect: { to: '/b/{rest}' }\n":                     "",
	} {
		cfg, err := config.Parse("x", []byte("public_url: https://apps.example.com\nidentity: [ local: { users_file: u } ]\nroutes:\n"+routes), func(string) (string, bool) { return "", false })
		if err == nil {
			err = check(cfg)
		}
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: got %v, want %q", routes, err, want)
		}
	}
}

// TestStaticFolderIsNeeded: what cannot be read is told at start, and warned of by check.
func TestStaticFolderIsNeeded(t *testing.T) {
	text := "public_url: http://localhost:1\nidentity: [ local: { users_file: u } ]\nroutes:\n  - static: { dir: /nowhere/at/all }\n"
	cfg, err := config.Parse("x", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	if err := check(cfg); err != nil {
		t.Error(err)
	}
	if w := config.Faults(cfg.Warnings()).Error(); !strings.Contains(w, "x:4:20: routes[0].static.dir: warning: it cannot be read here") {
		t.Errorf("got %s, want a warning", w)
	}
	if _, _, err := buildRouter(cfg, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "routes[0].static: open /nowhere/at/all") {
		t.Errorf("got %v, want an error at start", err)
	}
}

// gatewayOf builds one of a whole file, in a folder with these files.
func gatewayOf(t *testing.T, files map[string]string, text string) *httptest.Server {
	t.Helper()
	files["users.yaml"] = "users: {}\n"
	files["evergate.yaml"] = "public_url: http://localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\n" + text
	dir := folder(t, files)
	cfg, err := config.Load(filepath.Join(dir, "evergate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := build(cfg, slog.New(slog.DiscardHandler), parts{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g.Public)
	t.Cleanup(func() {
		server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// TestErrorPagesAreWired: the folder of the file makes the pages, and those of the app
// where the route says so; their stylesheet is served beside them.
func TestErrorPagesAreWired(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(503)
		fmt.Fprint(w, "stack trace of the app")
	}))
	defer app.Close()
	server := gatewayOf(t, map[string]string{
		"pages/error.html": `<link rel="stylesheet" href="{{.Stylesheet}}"><h1>Acme: {{.Title}}</h1>{{.RequestID}}`, "pages/style.css": "h1 { color: teal }",
	}, fmt.Sprintf(`pages: { templates: pages }
routes:
  - { public: true, match: { path: /app/ }, upstream: %[1]q, replace_errors: [502, 503, 504] }
  - { public: true, match: { path: /plain/ }, upstream: %[1]q }
  - { match: { path: /in/, methods: [GET] }, upstream: %[1]q }
`, app.URL))
	for path, want := range map[string]string{
		"/none": "<h1>Acme: Nothing is served at this address</h1>", "/app/": "<h1>Acme: The app is not available for the moment</h1>",
		"/plain/": "stack trace of the app", "/.evergate/nothing": "<h1>Acme: There is no such page</h1>", "/%2f": "<h1>Acme: This address",
	} {
		res, body := fetch(t, "GET", server.URL+path, "Accept", "text/html")
		if !strings.Contains(body, want) || res.StatusCode < 400 {
			t.Errorf("%s: got %d %s, want in it %s", path, res.StatusCode, body, want)
		}
		if strings.Contains(want, "Acme") && !strings.Contains(body, res.Header.Get("X-Request-Id")) {
			t.Errorf("%s: no request id on the page", path)
		}
	}
	res, body := fetch(t, "GET", server.URL+"/app/", "Accept", "application/json")
	if body != "stack trace of the app" || res.StatusCode != 503 {
		t.Errorf("a script got %d %s", res.StatusCode, body)
	}
	if res, _ := fetch(t, "GET", server.URL+"/app/", "Accept", "text/html"); res.Header.Get("Retry-After") != "9" {
		t.Errorf("got %v, want the app's Retry-After", res.Header)
	}
	_, body = fetch(t, "GET", server.URL+"/none", "Accept", "text/html")
	link := regexp.MustCompile(`href="([^"]*)"`).FindStringSubmatch(body)
	if link == nil {
		t.Fatal("no stylesheet")
	}
	if _, css := fetch(t, "GET", server.URL+link[1]); css != "h1 { color: teal }" {
		t.Errorf("%s: got %q", link[1], css)
	}
}

// TestCheckFindsBrokenPages: by file and line, beside the faults of routes.
func TestCheckFindsBrokenPages(t *testing.T) {
	dir := folder(t, map[string]string{
		"pages/error.html": "<h1>\n{{.Titel}}", "users.yaml": "users: {}\n",
		"evergate.yaml": "public_url: http://localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\npages: { templates: pages }\nroutes:\n  - redirect: /x\n",
		"sound.yaml":    "public_url: http://localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\npages: { templates: away }\nroutes:\n  - respond: { status: 404 }\n",
	})
	var out strings.Builder
	if code := run([]string{"check", filepath.Join(dir, "evergate.yaml")}, nil, &out, &out); code != exitFailed {
		t.Errorf("got exit code %d", code)
	}
	for _, want := range []string{"evergate.yaml:3:21: pages.templates: error.html:2:", "evergate.yaml:5:15: routes[0].redirect: it leads back"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant in it %s", out.String(), want)
		}
	}
	out.Reset()
	if code := run([]string{"check", filepath.Join(dir, "sound.yaml")}, nil, &out, &out); code != exitOK || !strings.Contains(out.String(), "pages.templates: warning: it cannot be read here") {
		t.Errorf("got exit code %d, %s", code, out.String())
	}
	if code := run([]string{"serve", "--config", filepath.Join(dir, "sound.yaml")}, nil, &out, &out); code != exitFailed || !strings.Contains(out.String(), "pages.templates: open ") {
		t.Errorf("serve: got exit code %d, %s", code, out.String())
	}
}

// TestCompressionIsWired: what the file says is what happens, and nothing by omission.
func TestCompressionIsWired(t *testing.T) {
	page := strings.Repeat("<p>All work and no play.</p>", 100)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, page)
	}))
	defer app.Close()
	dir := folder(t, map[string]string{"app.js": page})
	server := served(t, fmt.Sprintf(`
  - { public: true, match: { path: /a/ }, upstream: %[1]q, compress: [gzip] }
  - { public: true, match: { path: /b/ }, upstream: %[1]q }
  - { public: true, match: { path: /c/ }, strip_prefix: /c, static: { dir: %[2]q }, compress: [gzip] }
`, app.URL, dir))
	for path, want := range map[string]string{"/a/": "gzip", "/b/": "", "/c/app.js": "gzip"} {
		res, body := fetch(t, "GET", server.URL+path, "Accept-Encoding", "gzip, zstd")
		if got := res.Header.Get("Content-Encoding"); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			body = string(plain)
		}
		if body != page {
			t.Errorf("%s: got %.100q", path, body)
		}
	}
}
