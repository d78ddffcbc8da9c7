package demo_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/demo"
)

// jwt writes a token that looks signed; the app under test does not verify.
func jwt(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"k1"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("the signature is a secret"))
}

// open returns an app behind a test server, with quick ticks.
func open(t *testing.T, opts demo.Options) (*demo.App, string) {
	t.Helper()
	if opts.Tick == 0 {
		opts.Tick = 5 * time.Millisecond
	}
	app := demo.NewApp(opts)
	srv := httptest.NewServer(app)
	t.Cleanup(func() { closes(t, app, 5*time.Second); srv.Close() })
	return app, srv.URL
}

// ask sends a request with the given "Name: value" headers and returns the answer.
func ask(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// element returns the text of the element with an id, as a browser would show it.
func element(t *testing.T, page, id string) string {
	t.Helper()
	m := regexp.MustCompile(`(?s)<(\w+)[^>]* id="` + regexp.QuoteMeta(id) + `"[^>]*>(.*?)</(?:dd|span|pre|tbody|b)>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no element #%s in the page:\n%s", id, page)
	}
	text := m[2]
	if m[1] == "pre" {
		text = strings.TrimPrefix(text, "\n") // as HTML says of the first line break
	}
	return html.UnescapeString(text)
}

func TestPageShowsWhatTheAppReceived(t *testing.T) {
	exp := time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC)
	_, url := open(t, demo.Options{Now: func() time.Time { return exp.Add(-21 * time.Second) }})
	token := jwt(fmt.Sprintf(`{"sub":"alice","jti":"0123456789","iat":%d,"exp":%d,"groups":["a<b","c"],"name":"</td><script>x()</script>"}`, exp.Unix()-30, exp.Unix()))
	resp, page := ask(t, "GET", url+"/", "", "Authorization: Bearer "+token, "X-Forwarded-User: alice",
		"X-Forwarded-Preferred-Username: Alice <b>", "X-Odd: <img src=x onerror=alert(1)>", "Cookie: pref=verysecretvalue")

	if got, want := resp.StatusCode, 200; got != want {
		t.Fatalf("status: got %d, want %d", got, want)
	}
	for _, want := range []string{
		"Hello, Alice &lt;b&gt;", "&lt;img src=x onerror=alert(1)&gt;", "[&#34;a&lt;b&#34;,&#34;c&#34;]",
		"<code>X-Odd</code>", "Bearer eyJhbGciOi… (", "pref=… (15 bytes)", "12:00:30 UTC", "<code>01234567…</code>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, secret := range []string{"<img", "<script>x", token[60:90], "verysecretvalue"} {
		if strings.Contains(page, secret) {
			t.Errorf("the page holds %q", secret)
		}
	}
	for id, want := range map[string]string{"user": "alice", "countdown": "21", "tokens-seen": "1", "renewals": "0", "api-errors": "0"} {
		if got := element(t, page, id); got != want {
			t.Errorf("#%s: got %q, want %q", id, got, want)
		}
	}
	if i, j := strings.Index(page, "<code>Authorization</code>"), strings.Index(page, "<code>X-Odd</code>"); i < 0 || j < i {
		t.Errorf("headers are not sorted: Authorization at %d, X-Odd at %d", i, j)
	}
}

func TestEveryPageForbidsForeignAndInlineScript(t *testing.T) {
	_, url := open(t, demo.Options{})
	inline := regexp.MustCompile(`<script(?: [^s][^>]*)?>|<style|style=| on[a-z]+=|javascript:`)
	for _, path := range []string{"/", "/form", "/nowhere"} {
		resp, page := ask(t, "GET", url+path, "", "Accept: text/html")
		if got := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") {
			t.Errorf("%s: Content-Security-Policy: got %q", path, got)
		}
		if found := inline.FindString(page); found != "" {
			t.Errorf("%s: holds %q, which the policy forbids", path, found)
		}
		for _, link := range []string{`href="/"`, `href="/form"`, `href="/.evergate/session"`, `href="/.evergate/logout"`} {
			if !strings.Contains(page, link) {
				t.Errorf("%s: lacks the link %s", path, link)
			}
		}
	}
}

func TestPageNamesEveryElementItsScriptTouches(t *testing.T) {
	_, url := open(t, demo.Options{})
	_, page := ask(t, "GET", url+"/", "")
	_, script := ask(t, "GET", url+"/app.js", "")
	ids := []string{"headers"}
	for _, m := range regexp.MustCompile(`(?:at|show|fill)\("([a-z-]+)"`).FindAllStringSubmatch(script, -1) {
		ids = append(ids, m[1])
	}
	for _, m := range regexp.MustCompile(`name \+ "(-[a-z]+)"`).FindAllStringSubmatch(script, -1) {
		ids = append(ids, "stream"+m[1], "socket"+m[1])
	}
	if len(ids) < 18 {
		t.Fatalf("found %d ids in the script, want 18 at least: %q", len(ids), ids)
	}
	for _, id := range ids {
		if !strings.Contains(page, ` id="`+id+`"`) {
			t.Errorf("the page has no #%s", id)
		}
	}
}

func TestAssets(t *testing.T) {
	_, url := open(t, demo.Options{})
	for path, want := range map[string]string{
		"/app.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/favicon.ico": "image/svg+xml",
	} {
		resp, body := ask(t, "GET", url+path, "")
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != want || body == "" {
			t.Errorf("%s: got %d %q, %d bytes, want 200 %q", path, resp.StatusCode, got, len(body), want)
		}
	}
}

// now is the answer of /api/now.
type now struct {
	User        string
	Claims      map[string]any
	SecondsLeft int `json:"seconds_left"`
	TokensSeen  int `json:"tokens_seen"`
	Renewals    int
	Requests    int
	Tokens      []struct{ Name string }
}

func askNow(t *testing.T, url string, headers ...string) (n now) {
	t.Helper()
	resp, body := ask(t, "GET", url+"/api/now", "", headers...)
	if resp.StatusCode != 200 {
		t.Fatalf("/api/now: got %d: %s", resp.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		t.Fatalf("/api/now: %v in %s", err, body)
	}
	return n
}

func TestTokensAreCounted(t *testing.T) {
	_, url := open(t, demo.Options{})
	steps := []struct {
		what                     string
		user, claims             string
		tokens, renewals, number int
	}{
		{"a first token", "alice", `{"jti":"t1","auth_time":100}`, 1, 0, 1},
		{"the same again", "alice", `{"jti":"t1","auth_time":100}`, 1, 0, 2},
		{"a renewed one", "alice", `{"jti":"t2","auth_time":100}`, 2, 1, 3},
		{"another user's", "bob", `{"jti":"t3","auth_time":100}`, 1, 0, 1},
		{"one of a second sign-in", "alice", `{"jti":"t4","auth_time":200}`, 3, 1, 4},
		{"that one renewed", "alice", `{"jti":"t5","auth_time":200}`, 4, 2, 5},
		{"the first sign-in's next", "alice", `{"jti":"t6","auth_time":100}`, 5, 3, 6},
	}
	for _, s := range steps {
		n := askNow(t, url, "Authorization: Bearer "+jwt(s.claims), "X-Forwarded-User: "+s.user)
		if n.TokensSeen != s.tokens || n.Renewals != s.renewals || n.Requests != s.number {
			t.Errorf("%s: got %d tokens, %d renewals, request %d, want %d, %d, %d",
				s.what, n.TokensSeen, n.Renewals, n.Requests, s.tokens, s.renewals, s.number)
		}
	}
	n := askNow(t, url, "X-Forwarded-User: alice")
	if got, want := len(n.Tokens), 5; got != want || n.Tokens[0].Name != "t6" {
		t.Errorf("tokens of alice: got %v, want %d with t6 first", n.Tokens, want)
	}
}

func TestOddAuthorizationIsShownNotBelieved(t *testing.T) {
	_, url := open(t, demo.Options{})
	rows := []struct {
		what, authorization string
		tokens              int
		claims              bool
	}{
		{"nothing", "", 0, false},
		{"another scheme", "Basic dXNlcjpwYXNzd29yZA==", 0, false},
		{"no token", "Bearer ", 0, false},
		{"an opaque token", "Bearer opaque-and-long-enough-to-be-one", 1, false},
		{"a payload that is not base64", "Bearer a.%%%.c", 1, false},
		{"a payload that is not JSON", "Bearer a.AAAA.c", 1, false},
		{"claims of the wrong types", "Bearer " + jwt(`{"jti":7,"exp":"soon","iat":1e300,"auth_time":-1}`), 1, true},
		{"a scheme in lower case", "bearer " + jwt(`{"sub":"x"}`), 1, true},
	}
	for i, row := range rows {
		user := fmt.Sprintf("X-Forwarded-User: user%d", i)
		n := askNow(t, url, "Authorization: "+row.authorization, user)
		if n.TokensSeen != row.tokens || (n.Claims != nil) != row.claims {
			t.Errorf("%s: got %d tokens, claims %v, want %d, claims: %t", row.what, n.TokensSeen, n.Claims, row.tokens, row.claims)
		}
		resp, page := ask(t, "GET", url+"/", "", "Authorization: "+row.authorization, user)
		if resp.StatusCode != 200 {
			t.Errorf("%s: the page: got %d", row.what, resp.StatusCode)
		}
		if strings.Contains(page, "dXNlcjpwYXNzd29yZA") {
			t.Errorf("%s: the page shows the credentials", row.what)
		}
	}
}

func TestFormIsShownByteForByte(t *testing.T) {
	_, url := open(t, demo.Options{})
	const urlencoded = "application/x-www-form-urlencoded"
	rows := []struct {
		what, contentType, body, shown, title, note string
	}{
		{"an encoded form", urlencoded, "title=a%3Cb%3E&note=one%0D%0Atwo+%26+%C3%BC", "", "a<b>", "one\r\ntwo & ü"},
		{"a first empty line", urlencoded, "title=&note=%0Ax", "", "", "\nx"},
		{"text with markup", "text/plain", "<script>&amp;</script> ü\tx\n", "", "", ""},
		{"line ends that HTML would change", "text/plain", "a\r\nb", `"a\r\nb"`, "", ""},
		{"bytes that are no text", "application/octet-stream", "\xff\x00", `"\xff\x00"`, "", ""},
		{"nothing", urlencoded, "", "", "", ""},
	}
	for i, row := range rows {
		resp, page := ask(t, "POST", url+"/form", row.body, "Content-Type: "+row.contentType)
		want := row.shown
		if want == "" {
			want = row.body
		}
		for id, want := range map[string]string{
			"form-body": want, "form-method": "POST", "form-type": row.contentType, "form-bytes": fmt.Sprint(len(row.body)),
			"form-count": fmt.Sprint(i + 1), "form-title": row.title, "form-note": row.note,
		} {
			if got := element(t, page, id); got != want {
				t.Errorf("%s: #%s: got %q, want %q", row.what, id, got, want)
			}
		}
		if strings.Contains(page, "<script>&") || resp.StatusCode != 200 {
			t.Errorf("%s: got %d and an unescaped body: %s", row.what, resp.StatusCode, page)
		}
	}
	if resp, _ := ask(t, "POST", url+"/form", strings.Repeat("x", 8<<20+1)); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of over 8 MiB: got %d, want 413", resp.StatusCode)
	}
	if _, page := ask(t, "GET", url+"/form", ""); strings.Contains(page, `id="result"`) {
		t.Error("the empty form shows a result")
	}
}

func TestTools(t *testing.T) {
	_, url := open(t, demo.Options{})
	rows := []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/slow?ms=1", 200, "after 1 ms"},
		{"GET", "/slow?ms=60001", 400, "/slow?ms="},
		{"GET", "/slow?ms=-1", 400, ""},
		{"GET", "/slow?ms=9223372036854775807", 400, ""},
		{"GET", "/big?mb=1025", 400, "1024 MiB"},
		{"HEAD", "/big?mb=1024", 200, ""},
		{"GET", "/status/418", 418, "418 I'm a teapot"},
		{"DELETE", "/status/204", 204, ""},
		{"GET", "/status/304", 304, ""},
		{"GET", "/status/101", 400, ""},
		{"GET", "/status/600", 400, ""},
		{"GET", "/nowhere", 404, "no such page"},
		{"PUT", "/echo?a=%2F;b", 200, "PUT /echo?a=%2F;b HTTP/1.1\r\n"},
	}
	for _, row := range rows {
		resp, body := ask(t, row.method, url+row.path, "")
		if resp.StatusCode != row.status || !strings.Contains(body, row.body) {
			t.Errorf("%s %s: got %d %q, want %d with %q", row.method, row.path, resp.StatusCode, body, row.status, row.body)
		}
	}
	if _, body := ask(t, "GET", url+"/big?mb=3", ""); len(body) != 3<<20 {
		t.Errorf("/big?mb=3: got %d bytes, want %d", len(body), 3<<20)
	}
	token := jwt(`{"sub":"alice"}`)
	_, echo := ask(t, "POST", url+"/echo", "the\r\nbody\x00", "Authorization: Bearer "+token, "X-Two: a", "X-Two: b")
	if !strings.HasSuffix(echo, "\r\n\r\nthe\r\nbody\x00") || !strings.Contains(echo, "X-Two: a\r\nX-Two: b\r\n") {
		t.Errorf("/echo: got %q", echo)
	}
	if strings.Contains(echo, token[40:]) {
		t.Errorf("/echo sends the token back: %q", echo)
	}
}
