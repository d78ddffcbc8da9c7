//go:build unix

package main

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// TestImportedConfigServes: an example of oauth2-proxy's own documentation, with the addresses
// of this test, is imported, checked and served, and people sign in through it as before.
func TestImportedConfigServes(t *testing.T) {
	t.Parallel()
	browse := importedGateway(t, nil)
	if code, body := browse("alice", oidctest.Alice.Password); code != 200 || body != "app of subject-of-alice alice@example.com /wiki/page " {
		t.Errorf("alice: got %d %s, want the page that she asked for, as oauth2-proxy sends it up", code, body)
	}
	// Nobody vouches for bob's address, and the rule is about addresses.
	if code, body := browse("bob", oidctest.Bob.Password); code != 403 || strings.Contains(body, "app of") {
		t.Errorf("bob: got %d %.200s, want 403", code, body)
	}
}

// TestImportedStarLetsInWhomItLetIn: with email_domains = "*" oauth2-proxy refuses whose
// address the provider calls unverified, and who has none.
func TestImportedStarLetsInWhomItLetIn(t *testing.T) {
	t.Parallel()
	user := func(name, email string, claims map[string]any) idp.User {
		return idp.User{Subject: "subject-of-" + name, Username: name, Password: "pw", Email: email, Groups: []string{"staff"}, Claims: claims}
	}
	people := []idp.User{user("unverified", "u@example.com", nil), user("saysno", "n@example.com", map[string]any{"email_verified": "false"}),
		user("nameless", "", nil), user("nulls", "", map[string]any{"email": nil}), user("silent", "s@example.com", map[string]any{"email_verified": nil})}
	for _, more := range []string{"", "allowed_groups = [\"staff\"]\n"} {
		browse := importedGateway(t, func(text string) string {
			return more + strings.Replace(text, `email_domains="example.com"`, `email_domains="*"`, 1)
		}, people...)
		for _, c := range []struct {
			name, password string
			want           int
		}{{"alice", oidctest.Alice.Password, 200}, {"silent", "pw", 200}, {"unverified", "pw", 403}, {"saysno", "pw", 403}, {"nameless", "pw", 403}, {"nulls", "pw", 403}} {
			if code, body := browse(c.name, c.password); code != c.want || strings.Contains(body, "app of") != (c.want == 200) {
				t.Errorf("%s%s: got %d %.200s, want %d", more, c.name, code, body, c.want)
			}
		}
	}
}

// importedGateway serves what is made of an example of oauth2-proxy, changed by change, and
// returns what a person sees who signs in.
func importedGateway(t *testing.T, change func(string) string, people ...idp.User) func(user, password string) (int, string) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "app of "+r.Header.Get("X-Forwarded-User")+" "+r.Header.Get("X-Forwarded-Email")+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(app.Close)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &process{T: t, bin: evergateBinary(t), file: filepath.Join(dir, "evergate.yaml"), base: "http://127.0.0.1:" + port}
	op := oidctest.Start(t, oidctest.Redirects(p.base+"/.evergate/callback/oidc"), oidctest.Config(func(c *idp.Config) { c.Users = append(c.Users, people...) }))
	example, err := os.ReadFile("internal/oauth2proxy/testdata/dex.cfg")
	if err != nil {
		t.Fatal(err)
	}
	text := string(example)
	for old, now := range map[string]string{"0.0.0.0:4180": "127.0.0.1:" + port, "http://httpbin.localtest.me:8080": app.URL,
		"http://oauth2-proxy.localtest.me:4180": p.base, "http://dex.localtest.me:5556/dex": op.Issuer} {
		if !strings.Contains(text, old) {
			t.Fatalf("the example has no %s", old)
		}
		text = strings.Replace(text, old, now, 1)
	}
	if change != nil {
		text = change(text)
	}
	clientID := regexp.MustCompile(`client_id="(.*)"`).FindStringSubmatch(text)[1]
	secret := regexp.MustCompile(`client_secret="(.*)"`).FindStringSubmatch(text)[1]
	op.ChangeClient(func(c *idp.Client) { c.ID, c.Secret = clientID, secret })
	source := filepath.Join(dir, "oauth2-proxy.cfg")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	var said strings.Builder
	if code := run([]string{"import", "oauth2-proxy", source, "--out", p.file}, nil, &said, &said); code != exitOK {
		t.Fatalf("import: got exit code %d, %s", code, &said)
	}
	made, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(made)+said.String(), secret) {
		t.Errorf("the secret is repeated in\n%s\n%s", made, &said)
	}
	// What it says has to be done is done as it says.
	command := regexp.MustCompile(`\(umask 077; cat > [a-z.-]+\)`).FindString(said.String())
	sh := exec.Command("sh", "-c", command)
	sh.Dir, sh.Stdin = dir, strings.NewReader(secret+"\n")
	if out, err := sh.CombinedOutput(); command == "" || err != nil {
		t.Fatalf("%q: %v, %s", command, err, out)
	}
	// The operator's listener would be another test's.
	if err := os.WriteFile(p.file, []byte(string(made)+"admin: { listen: 127.0.0.1:"+admin+" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said.Reset()
	if code := run([]string{"check", p.file}, nil, &said, &said); code != exitOK || !strings.Contains(said.String(), "is sound: 1 route, 0 warnings") {
		t.Fatalf("check: got exit code %d, %s in\n%s", code, &said, made)
	}
	p.start()
	t.Cleanup(p.kill)

	return func(user, password string) (int, string) {
		t.Helper()
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), op.Issuer) {
				return http.ErrUseLastResponse
			}
			r.Header.Set("Accept", "text/html")
			return nil
		}}
		defer c.CloseIdleConnections()
		get := func(url string) *http.Response {
			t.Helper()
			res, err := c.Do(request("GET", url, "Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"))
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		res := get(p.base + "/wiki/page")
		page, _ := io.ReadAll(res.Body)
		res.Body.Close()
		// The sign-in page goes on to the only provider there is.
		onward := regexp.MustCompile(`href="(/\.evergate/login/[^"]*)"[^>]* data-go>Go to Dex`).FindStringSubmatch(string(page))
		if onward == nil {
			t.Fatalf("%s is not sent on to the provider: got %d %s", user, res.StatusCode, page)
		}
		res = get(p.base + html.UnescapeString(onward[1]))
		res.Body.Close()
		to := res.Header.Get("Location")
		if !strings.HasPrefix(to, op.Issuer) {
			t.Fatalf("%s is not sent to the provider, but to %q (%d)", user, to, res.StatusCode)
		}
		res = get(op.SignIn(t, nil, to, user, password).String())
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
}

// TestImportedConfigsAreSound: what comes out of each example passes `evergate check`.
func TestImportedConfigsAreSound(t *testing.T) {
	files, err := filepath.Glob("internal/oauth2proxy/testdata/*.golden")
	if err != nil || len(files) < 9 {
		t.Fatalf("got %d configs, %v, want 9", len(files), err)
	}
	for _, file := range files {
		var said strings.Builder
		if code := run([]string{"check", file}, nil, &said, &said); code != exitOK {
			t.Errorf("%s: got exit code %d, %s", file, code, &said)
		}
	}
}
