package proxy_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// site makes a folder of files by name.
func site(t *testing.T, files map[string]string) string {
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

var public = auth.Policy{Public: true}

// TestAnswersAreDecidedLikeAllOthers: who may not pass gets no file, and who may
// gets the cookie that is due, in an answer that nobody else keeps.
func TestAnswersAreDecidedLikeAllOthers(t *testing.T) {
	dir := site(t, map[string]string{"index.html": "inside"})
	for name, answer := range map[string]func() proxy.Answer{
		"static":   func() proxy.Answer { return &proxy.Static{Dir: dir} },
		"redirect": func() proxy.Answer { return &proxy.Redirect{To: "https://inside.test/"} },
		"respond":  func() proxy.Answer { return &proxy.Respond{Body: "inside"} },
		"an error": func() proxy.Answer { return &proxy.Respond{Status: 410} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession()
			s.due = fresh
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t,
				&proxy.Route{Name: "in", Answer: answer(), AnswerHeaders: proxy.Headers{Set: map[string]string{"Cache-Control": "public, max-age=60"}}},
				&proxy.Route{Name: "admin", Path: "/admin/", Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"admin"}}}}, Answer: answer()},
				&proxy.Route{Name: "open", Path: "/open", Policy: public, Answer: answer()},
			)})
			for path, cookie := range map[string]bool{"/": false, "/admin/": true} {
				want, line := 401, ""
				if cookie {
					want, line = 403, "Cookie: "+sid+"=alice"
				}
				res := gw.send(t, request("GET", path, "X: y\n"+line))
				if res.StatusCode != want || strings.Contains(res.raw, "inside") {
					t.Errorf("%s: got %s, want %d and nothing of what is inside", path, res.raw, want)
				}
			}
			res := gw.send(t, get("/"))
			if got := res.Header.Values("Set-Cookie"); len(got) != 1 || got[0] != fresh {
				t.Errorf("got %v, want the cookie that is due, once", got)
			}
			if got := res.Header.Get("Cache-Control"); got != "private, no-store" && got != "no-store" {
				t.Errorf("with a cookie: got Cache-Control %q", got)
			}
			if n := gw.note(t); n.Decision != proxy.Allowed || n.Route != "in" || n.Subject != "alice" || n.Session != "s-1" {
				t.Errorf("the access line says %+v", n.Decision)
			}
			s.mu.Lock()
			s.due = ""
			s.mu.Unlock()
			res = gw.send(t, get("/"))
			if got := res.Header.Get("Cache-Control"); name != "an error" && got != "private, max-age=60" || name == "an error" && got != "no-store" {
				t.Errorf("without a cookie: got Cache-Control %q, want private", got)
			}
			if res := gw.send(t, request("GET", "/open", "Accept: */*")); res.StatusCode == 401 || strings.Contains(res.Header.Get("Cache-Control"), "private") {
				t.Errorf("the open one: got %d %v", res.StatusCode, res.Header)
			}
		})
	}
}

// TestStaticServesWhatIsInside and nothing else.
func TestStaticServesWhatIsInside(t *testing.T) {
	outside := site(t, map[string]string{"secret.txt": "outside", "dir/secret.txt": "outside"})
	dir := site(t, map[string]string{
		"index.html": "home", "file.txt": "text", ".env": "outside", ".git/config": "outside", "sub/.htpasswd": "outside", "sub/a.txt": "a",
		".well-known/security.txt": "Contact", "sub/.well-known/x": "outside", "list/a.txt": "a", "ü ber.txt": "umlaut",
		"page.HTML": "<p>", "data": "<script>", "100%.txt": "hundred", "a;b.txt": "semi", "plus+.txt": "plus",
	})
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(outside, "secret.txt"), "absolute.txt")
	link(filepath.Join("..", filepath.Base(outside), "secret.txt"), "relative.txt")
	link(outside, "folder")
	link("file.txt", "inside.txt")
	link("loop", "loop")
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "above.txt"), []byte("outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t,
		&proxy.Route{Policy: public, Answer: &proxy.Static{Dir: dir}},
		&proxy.Route{Path: "/strip/", Policy: public, Rewrite: proxy.Rewrite{StripPrefix: "/strip"}, Answer: &proxy.Static{Dir: dir}},
		&proxy.Route{Path: "/odd/", Policy: public, PathChars: proxy.DoubleSlash, Answer: &proxy.Respond{Body: "odd"}},
	)})
	for path, want := range map[string]string{
		"/": "home", "/index.html": "home", "/file.txt": "text", "/file.txt?x": "text", "/inside.txt": "text", "/strip/file.txt": "text", "/strip/": "home",
		"/.well-known/security.txt": "Contact", "/%C3%BC%20ber.txt": "umlaut", "/sub/a.txt": "a", "/100%25.txt": "hundred",
		"/plus+.txt": "plus", "/%66ile.txt": "text", "/a%3Bb.txt": "semi",
		"/missing": "404", "/.env": "404", "/.git/config": "404", "/.git/": "404", "/.git": "404", "/sub/.htpasswd": "404", "/sub/.well-known/x": "404",
		"/absolute.txt": "404", "/relative.txt": "404", "/folder/secret.txt": "404", "/folder": "404", "/folder/": "404", "/folder/dir/secret.txt": "404",
		"/list/": "404", "/list": "404", "/sub/": "404", "/loop": "404", "/file.txt/": "404", "/file.txt/x": "404",
		"/" + strings.Repeat("a", 300): "404", "/" + strings.Repeat("a/", 2000): "404",
		"/../above.txt": "400", "/%2e%2e/above.txt": "400", "/..%2fabove.txt": "400", "/sub/..%5c..%5cabove.txt": "400", "/%00": "400", "//file.txt": "400",
		"/sub//a.txt": "400", "/strip/..%2f.env": "400", "/strip/.env": "404", "/a;b.txt": "400", "/%2e%65nv": "404", "/%252e%252e/above.txt": "400",
		"/strip/%252e%252e%252f.env": "400", "/C:/x": "404", "/file.txt::$DATA": "404", "/-": "404",
	} {
		res := gw.send(t, request("GET", path, "Accept: */*"))
		got := res.body
		if res.StatusCode != 200 {
			got = res.Status[:3]
		}
		if got != want || strings.Contains(res.body, "outside") {
			t.Errorf("%s: got %q, want %q\n%s", path, got, want, res.body)
		}
	}
	for path, want := range map[string]string{"/": "text/html; charset=utf-8", "/page.HTML": "text/html; charset=utf-8",
		"/data": "application/octet-stream", "/file.txt": "text/plain; charset=utf-8"} {
		res := gw.send(t, request("GET", path))
		if got := res.Header.Get("Content-Type"); got != want || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %v, want %s and nosniff", path, res.Header, want)
		}
	}
	if res := gw.send(t, request("GET", "/strip")); res.StatusCode != 404 {
		t.Errorf("got %d of what no route matches", res.StatusCode)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
		if res := gw.send(t, request(method, "/", "Content-Length: 0")); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %d %q, want 405", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
	if res := gw.send(t, request("HEAD", "/file.txt")); res.StatusCode != 200 || res.Header.Get("Content-Length") != "4" || res.body != "" {
		t.Errorf("HEAD: got %s", res.raw)
	}
}

// TestStaticConditionsAndRanges: what a browser has it does not get again.
func TestStaticConditionsAndRanges(t *testing.T) {
	dir := site(t, map[string]string{"file.txt": "0123456789", "old.txt": "0123456789"})
	file, old := filepath.Join(dir, "file.txt"), filepath.Join(dir, "old.txt")
	if err := os.Chtimes(old, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Answer: &proxy.Static{Dir: dir}})})
	first := gw.send(t, request("GET", "/file.txt"))
	tag := first.Header.Get("Etag")
	if tag == "" || first.Header.Get("Last-Modified") == "" || first.Header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("got %v, want an ETag and a date", first.Header)
	}
	for line, want := range map[string]string{
		"If-None-Match: " + tag: "304", "If-None-Match: W/" + tag: "304", `If-None-Match: "x"`: "200 0123456789",
		"If-Modified-Since: " + first.Header.Get("Last-Modified"): "304",
		"Range: bytes=2-3":                                 "206 23",
		"Range: bytes=-2":                                  "206 89",
		"Range: bytes=2-3\nIf-Range: " + tag:               "206 23",
		"Range: bytes=2-3\nIf-Range: W/" + tag:             "200 0123456789",
		`If-Match: "x"`:                                    "412",
		"Range: bytes=0-0" + strings.Repeat(",-1", 16):     "200 0123456789", // each part is one more header to write
		"Range: bytes=0-0" + strings.Repeat(",-1", 20_000): "200 0123456789",
		"Range: bytes=" + strings.Repeat(",", 20_000):      "200 0123456789",
	} {
		res := gw.send(t, request("GET", "/file.txt", line))
		if got := strings.TrimSpace(res.Status[:3] + " " + res.body); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	// A few parts are had, and many of a file that is large enough for them are not.
	if err := os.WriteFile(filepath.Join(dir, "large.txt"), []byte(strings.Repeat("x", 1<<20)), 0o644); err != nil {
		t.Fatal(err)
	}
	if few := gw.send(t, request("GET", "/large.txt", "Range: bytes=0-1"+strings.Repeat(",-1", 15))); few.StatusCode != 206 || !strings.HasPrefix(few.Header.Get("Content-Type"), "multipart/byteranges") {
		t.Errorf("16 parts: got %d %v, want them", few.StatusCode, few.Header)
	}
	if many := gw.send(t, request("GET", "/large.txt", "Range: bytes=-1"+strings.Repeat(",-1", 16))); many.StatusCode != 200 || len(many.body) != 1<<20 {
		t.Errorf("17 parts: got %d and %d bytes, want the file", many.StatusCode, len(many.body))
	}
	res := gw.send(t, request("GET", "/file.txt", "Range: bytes=20-"))
	if res.StatusCode != 416 || res.Header.Get("Content-Range") != "bytes */10" || !strings.Contains(res.body, `"request_id"`) || res.Header.Get("Etag") != "" {
		t.Errorf("a range that is not there: got %s", res.raw)
	}
	// A build that gives all files one time: same size, other content.
	was := gw.send(t, request("GET", "/old.txt"))
	if was.Header.Get("Last-Modified") != "" || was.Header.Get("Etag") == "" || was.body != "0123456789" {
		t.Errorf("got %v, want an ETag and no date", was.Header)
	}
	if err := os.WriteFile(old, []byte("9876543210"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if res := gw.send(t, request("GET", "/old.txt", "If-None-Match: "+was.Header.Get("Etag"))); res.body != "9876543210" {
		t.Errorf("got %d %q, want the new text", res.StatusCode, res.body)
	}
	if err := os.Chmod(file, 0); err == nil && os.Geteuid() != 0 {
		if res := gw.send(t, request("GET", "/file.txt")); res.StatusCode != 404 {
			t.Errorf("a file that may not be read: got %d", res.StatusCode)
		}
	}
}

// TestStaticFollowsReleases: the folder may be a link that comes to point elsewhere.
func TestStaticFollowsReleases(t *testing.T) {
	one, two := site(t, map[string]string{"index.html": "one"}), site(t, map[string]string{"index.html": "two"})
	link := filepath.Join(t.TempDir(), "current")
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Answer: &proxy.Static{Dir: link}})})
	if res := gw.send(t, request("GET", "/")); res.StatusCode != 500 || strings.Contains(res.body, link) || !strings.Contains(gw.note(t).Err.Error(), link) {
		t.Errorf("without a folder: got %d %s, %v; want 500, and the reason in the log alone", res.StatusCode, res.body, gw.note(t).Err)
	}
	for _, release := range []string{one, two} {
		_ = os.Remove(link)
		if err := os.Symlink(release, link); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{one: "one", two: "two"}[release]
		if res := gw.send(t, request("GET", "/")); res.body != want {
			t.Errorf("got %q, want %q", res.body, want)
		}
	}
}

// TestAnswersNeverServeOwnFiles: a link that came after the config was looked at leads nobody
// to what is the gateway's own: not in the folder, as index or fallback, nor in the place of
// the folder or of a body_file.
func TestAnswersNeverServeOwnFiles(t *testing.T) {
	secrets := site(t, map[string]string{"ring.key": "SECRET", "index.html": "SECRET"})
	dir := site(t, map[string]string{"page.html": "page", "folder/page.html": "page"})
	body := filepath.Join(dir, "page.html")
	own := func(file fs.FileInfo) bool {
		for _, name := range []string{"ring.key", "index.html"} {
			if is, err := os.Stat(filepath.Join(secrets, name)); err == nil && os.SameFile(is, file) {
				return true
			}
		}
		return false
	}
	current := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(dir, current); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t,
		&proxy.Route{Policy: public, Answer: &proxy.Static{Dir: current, Fallback: "back.html", Own: own}},
		&proxy.Route{Path: "/body", Policy: public, Answer: &proxy.Respond{BodyFile: body, Own: own}})})
	for _, path := range []string{"/page.html", "/body"} {
		if res := gw.send(t, request("GET", path)); res.StatusCode != 200 || res.body != "page" {
			t.Errorf("%s: got %d %s, want the page", path, res.StatusCode, res.body)
		}
	}
	for _, name := range []string{"x", "folder/index.html", "back.html"} {
		if err := os.Link(filepath.Join(secrets, "ring.key"), filepath.Join(dir, name)); err != nil {
			t.Skip("no hard links here: ", err)
		}
	}
	refused := func(path string, want int) {
		t.Helper()
		res := gw.send(t, request("GET", path, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"))
		if res.StatusCode != want || strings.Contains(res.body, "SECRET") || gw.note(t).Err == nil || !strings.Contains(gw.note(t).Err.Error(), "the gateway's own") {
			t.Errorf("%s: got %d %s, %v; want %d, and the reason in the log", path, res.StatusCode, res.body, gw.note(t).Err, want)
		}
	}
	for _, path := range []string{"/x", "/folder/", "/nothing"} {
		refused(path, 404)
	}
	for link, to := range map[string]string{current: secrets, body: filepath.Join(secrets, "ring.key")} {
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{"/ring.key": 404, "/": 404, "/body": 500} {
		refused(path, want)
	}
}

// TestStaticFallbackIsForPeople: a script that is not there is not answered with a page.
func TestStaticFallbackIsForPeople(t *testing.T) {
	dir := site(t, map[string]string{"app.html": "app", "a.js": "js"})
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Policy: public, Answer: &proxy.Static{Dir: dir, Index: "app.html", Fallback: "app.html"}})})
	const person = "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"
	for _, tt := range []struct {
		path, lines string
		want        string
	}{
		{"/orders/7", person, "app"}, {"/orders/j.doe", person, "app"}, {"/orders/", person, "app"}, {"/a.js", person, "js"}, {"/", "", "app"},
		{"/.env", person, "app"},
		{"/chunk-1.js", "Sec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script", "404"},
		{"/api/x", "Sec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", "404"}, {"/orders/7", "Accept: */*", "404"},
	} {
		res := gw.send(t, request("GET", tt.path, tt.lines))
		got := res.body
		if res.StatusCode != 200 {
			got = res.Status[:3]
		}
		if got != tt.want {
			t.Errorf("%s %q: got %q, want %q", tt.path, tt.lines, got, tt.want)
		}
		if vary := res.Header.Get("Vary"); tt.want == "app" && tt.path != "/" && vary == "" {
			t.Errorf("%s: no Vary, though others get another answer", tt.path)
		}
	}
}

func TestRespondSaysWhatItIsTold(t *testing.T) {
	dir := site(t, map[string]string{"soon.html": "<p>soon</p>"})
	gw := newGateway(t, &proxy.Gate{Router: newRouter(t,
		&proxy.Route{Path: "/text", Policy: public, Answer: &proxy.Respond{Body: "hello"}},
		&proxy.Route{Path: "/json", Policy: public, Answer: &proxy.Respond{Status: 201, Body: "{}", ContentType: "application/json"}},
		&proxy.Route{Path: "/soon", Policy: public, Answer: &proxy.Respond{Status: 503, BodyFile: filepath.Join(dir, "soon.html")}},
		&proxy.Route{Path: "/none", Policy: public, Answer: &proxy.Respond{Status: 204}},
		&proxy.Route{Path: "/empty", Policy: public, Answer: &proxy.Respond{}},
		&proxy.Route{Path: "/away", Policy: public, Answer: &proxy.Respond{BodyFile: filepath.Join(dir, "no.html")}},
		&proxy.Route{Path: "/legal", Policy: public, Answer: &proxy.Respond{Status: 451}},
	)})
	for _, tt := range []struct {
		method, path string
		status       int
		kind, body   string
	}{
		{"GET", "/text", 200, "text/plain; charset=utf-8", "hello"},
		{"POST", "/text", 200, "text/plain; charset=utf-8", "hello"},
		{"HEAD", "/text", 200, "text/plain; charset=utf-8", ""},
		{"GET", "/json", 201, "application/json", "{}"},
		{"GET", "/soon", 503, "text/html; charset=utf-8", "<p>soon</p>"},
		{"GET", "/none", 204, "", ""},
		{"GET", "/empty", 200, "text/plain; charset=utf-8", ""},
	} {
		res := gw.send(t, request(tt.method, tt.path, "Content-Length: 0"))
		if res.StatusCode != tt.status || res.Header.Get("Content-Type") != tt.kind || res.body != tt.body {
			t.Errorf("%s %s: got %s", tt.method, tt.path, res.raw)
		}
	}
	if res := gw.send(t, request("GET", "/legal", "Accept: text/html")); res.StatusCode != 451 || !strings.Contains(res.body, "Unavailable For Legal Reasons") {
		t.Errorf("got %s, want the gateway's page", res.raw)
	}
	if res := gw.send(t, request("GET", "/away")); res.StatusCode != http.StatusInternalServerError || strings.Contains(res.body, dir) {
		t.Errorf("got %s, want 500 that does not tell where the file should be", res.raw)
	}
	if err := os.WriteFile(filepath.Join(dir, "soon.html"), []byte("now"), 0o644); err != nil {
		t.Fatal(err)
	}
	if res := gw.send(t, request("GET", "/soon")); res.body != "now" {
		t.Errorf("got %q, want what the file says now", res.body)
	}
}

// TestAnswersNeedToBeSound: what is wrong is told with the key.
func TestAnswersNeedToBeSound(t *testing.T) {
	for want, r := range map[string]*proxy.Route{
		"routes[0].static.dir: there is no folder":                    {Answer: &proxy.Static{}},
		"routes[0].static.index: want the name of a file":             {Answer: &proxy.Static{Dir: "x", Index: "../x"}},
		"routes[0].static.fallback: want a file in dir":               {Answer: &proxy.Static{Dir: "x", Fallback: "/x"}},
		"routes[0].path_chars: no file has such a name":               {Answer: &proxy.Static{Dir: "x"}, PathChars: proxy.EncodedSlash},
		"routes[0].respond.status: 302 is a redirect":                 {Answer: &proxy.Respond{Status: 302}},
		"routes[0].respond.status: want 200 to 599, got 101":          {Answer: &proxy.Respond{Status: 101}},
		"routes[0].respond.status: an answer of 204 has no body":      {Answer: &proxy.Respond{Status: 204, Body: "x"}},
		"routes[0].respond.body_file: there is a body already":        {Answer: &proxy.Respond{Body: "x", BodyFile: "y"}},
		"routes[0].redirect.status: want 301, 302, 303, 307 or 308":   {Answer: &proxy.Redirect{To: "/x", Status: 300}},
		"routes[0].redirect.to: there is no address":                  {Answer: &proxy.Redirect{}},
		"routes[0].redirect.to: \"/a/../b\" leads nowhere":            {Answer: &proxy.Redirect{To: "/a/../b"}},
		"routes[0].redirect.to: {paht} stands for nothing":            {Answer: &proxy.Redirect{To: "/{paht}"}},
		"routes[0].redirect: it leads back to this very route":        {Answer: &proxy.Redirect{To: "/x"}},
		"routes[0].redirect.to: it begins with two slashes, which na": {Answer: &proxy.Redirect{To: "//x/"}},
	} {
		if _, err := proxy.NewRouter([]*proxy.Route{r}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
