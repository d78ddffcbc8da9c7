package attacks

import (
	"fmt"
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// forwardOP is the provider of the lab behind nginx.
var forwardOP *oidctest.Provider

// newForwardNginx is a lab behind Debian's nginx, with what `evergate snippet` prints.
func newForwardNginx(t *testing.T) *lab {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		missing(t, "nginx is not installed: nginx-light of Debian")
	}
	forwardOP = oidctest.Start(t, oidctest.Config(func(c *idp.Config) {
		c.Users = append(c.Users, idp.User{Subject: "sub-carol", Username: "carol", Password: password, Groups: []string{"staff"}})
		c.AccessTTL = time.Hour
	}))
	l := &lab{t: t, dir: t.TempDir(), app: newRecorder(t), secrets: &secrets{}, jars: map[string]string{}, dialect: "nginx"}
	port := freePort(t)
	at := func() string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }
	l.config, l.address, l.host = filepath.Join(l.dir, "evergate.yaml"), fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("%s:%d", gatewayHost, port)
	l.admin, l.forward = at(), at()
	l.roots = certificate(t, l.dir)
	l.write("users.yaml", usersFile)
	l.write("oidc.secret", oidctest.ClientSecret)
	l.write("evergate.yaml", fmt.Sprintf(`listen: %s
public_url: https://%s
data_dir: data
admin: { listen: %q }
log: { level: debug, format: json }
audit: { file: audit.jsonl }
trusted_proxies: [127.0.0.1]
forward_auth: { listen: %q, dialect: nginx }
session: { rotation_grace: 1s }
identity:
  - local: { users_file: users.yaml }
%sroutes:
%s`, at(), l.host, l.admin, l.forward, headersProvider(forwardOP.URL()), fmt.Sprintf(usualRoutes, l.app.url())))
	l.program = start(t, l.dir, []string{"serve", "--config", l.config}, nil)
	headersAllow(l, forwardOP)

	printed, err := exec.Command(binary, "snippet", "nginx", "--config", l.config, "--listen", l.address, "--cert", filepath.Join(l.dir, "tls.pem"), "--key", filepath.Join(l.dir, "tls.key")).Output()
	if err != nil {
		t.Fatalf("snippet: %v", err)
	}
	l.write("snippet.conf", string(printed))
	// What a distribution has around conf.d, in a folder of the test's.
	l.write("nginx.conf", "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {}\nhttp {\n  access_log off;\n"+
		"  client_body_temp_path . ; proxy_temp_path . ; fastcgi_temp_path . ; uwsgi_temp_path . ; scgi_temp_path . ;\n  include snippet.conf;\n}\n")
	front := exec.Command(nginx, "-p", l.dir, "-c", "nginx.conf", "-e", "stderr")
	said := &output{}
	front.Stdout, front.Stderr = said, said
	if err := front.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = front.Process.Signal(syscall.SIGTERM)
		_ = front.Wait()
		if t.Failed() {
			t.Logf("nginx says:\n%s", said.end())
		}
	})
	l.awaitReady()
	for range 500 { // nginx may be up before the gateway
		if r := l.get("/.evergate/ping"); r.StatusCode == 200 {
			return l
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nginx does not reach the gateway: %s", said.end())
	return nil
}

func forwardRotates(t *testing.T, outer *lab) {
	l := forwardLabs["nginx"].of(t)
	forwardOP.Turn(func(k *idp.Knobs) { k.ExpiresIn = 2 }) // so that the handle is due after 2 s
	defer forwardOP.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
	cookie, _ := l.headersSignInAt(forwardOP, "carol")
	time.Sleep(2100 * time.Millisecond)
	const page = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document"
	for range 2 { // the first has the handle rotate, and no answer to a script brings the next one
		r := l.get("/x", cookie, "Accept: application/json")
		if r.status(t, 200); r.Header["Set-Cookie"] != nil {
			t.Errorf("an answer of the app's carries %q", r.Header["Set-Cookie"])
		}
	}
	r := l.get("/x?a=%2e", cookie, page)
	fresh := l.cookiesOf(r)
	if r.status(t, 200); !strings.Contains(fresh, "__Host-Http-evergate=") || strings.Contains(fresh, strings.TrimPrefix(cookie, "Cookie: ")) || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
		t.Fatalf("a page is answered %d with %v", r.StatusCode, r.Header)
	}
	for _, more := range []string{page, "Accept: application/json"} {
		if r := l.get("/x", fresh, more); r.StatusCode != 200 || strings.Contains(fmt.Sprint(r.Header["Set-Cookie"]), "__Host-Http-evergate=") {
			t.Errorf("with the new handle: got %d %v", r.StatusCode, r.Header)
		}
	}
	for _, g := range l.saw(traces{app: 5}) {
		if got := g.Header.Get("X-Forwarded-User"); got != "oidc/sub-carol" || strings.Contains(g.head(), "__Host-") {
			t.Errorf("the app is told of %q, and got %q", got, g.head())
		}
	}
	forwardRefusesCookieStore(t, l)
	outer.saw(traces{})
}

func forwardStorm(t *testing.T, outer *lab) {
	l := forwardLabs["nginx"].of(t)
	forwardOP.Turn(func(k *idp.Knobs) { k.ExpiresIn = 2 })
	cookie, _ := l.headersSignInAt(forwardOP, "carol")
	forwardOP.Turn(func(k *idp.Knobs) { *k = idp.Knobs{Delay: 100 * time.Millisecond} })
	defer forwardOP.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
	time.Sleep(2100 * time.Millisecond)
	before := forwardOP.Stats()
	var wg sync.WaitGroup
	answers := make(chan *reply, 1000)
	const together = 25
	for range together {
		wg.Go(func() {
			for _, r := range l.forwardTold(strings.Repeat(l.forwardAsk("GET", "/style.css", cookie, "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: style"), 1000/together), 1000/together) {
				answers <- r
			}
		})
	}
	wg.Wait()
	close(answers)
	n, tokens := 0, map[string]bool{}
	for r := range answers {
		n++
		if r.status(t, 200); r.Header["Set-Cookie"] != nil {
			t.Errorf("a cookie is handed out with an answer: %v", r.Header)
		}
		tokens[r.Header.Get("Authorization")] = true
	}
	if asked := forwardOP.Stats().RefreshGrants - before.RefreshGrants; n != 1000 || len(tokens) != 1 || asked != 1 {
		t.Errorf("%d answers with %d tokens, and the provider was asked %d times; want 1000, 1 and 1", n, len(tokens), asked)
	}
	l.saw(traces{})
	outer.saw(traces{})
}

// forwardPaths are ways to write a path under /admin/, for one server or another.
var forwardPaths = []string{
	"/public/../admin/", "/public/%2e%2e/admin/", "/public/..%2fadmin/", "/public/..%5cadmin/", "/public/%252e%252e/admin/", "/public/..;/admin/", "/public;/../admin/", "/public/.;/../admin/",
	"//admin/", "/.//admin/", "/./admin/", "///admin/", "/public//../admin/", "/%2fadmin/", "/%61dmin/", "/admi%6e/", "/%5cadmin/", "/public/..\\admin\\", "/public/\\..\\admin",
	"/admin/#/public/", "/admin/%23/public/", "/admin/x?/public/", "/admin/?/../public/", "/admin%00/public/", "/admin%0a", "/admin/%09", "/public/%c0%ae%c0%ae/admin/", "/public/%u002e%u002e/admin/",
	"/public/．．/admin/", "/admin/%", "/admin/%zz", "/admin//", "/admin;/", "/admin/;x", "/public/%2e%2e%2fadmin%2f", "/x/%2e%2e/admin/", "/x/..;a=b/admin/",
}

func forwardThroughNginx(t *testing.T, outer *lab) {
	front := forwardLabs["nginx"]
	for _, a := range headers.attacks {
		// The others are about what nginx drops or refuses, or about answers.
		if slices.Contains([]string{"H-02", "H-08", "H-10", "H-17"}, a.id) {
			t.Run(a.id, func(t *testing.T) {
				of := front.of(t)
				a.run(t, of)
				of.unharmed()
			})
		}
	}
	front.of(t).headersSpoofKnown(headersKnown) // nginx knows no patterns: names are removed one by one
	l := front.of(t)
	lines := []string{"Authorization: Bearer " + headersEvil, "authorization: Basic " + headersEvil, "x-auth-user: " + headersEvil + "\r\nX-AUTH-USER: " + headersEvil, "X-Forwarded-User: " + headersEvil + "\r\nX_Forwarded_User: " + headersEvil, "X-Auth_User: " + headersEvil}
	for _, line := range lines {
		l.headersSpoof(line)
		l.denied(l.get("/x", line))
	}
	l.headersSpoofed(len(lines))
	l = front.of(t)
	cookie := l.signedIn("alice")
	passed := 0
	for _, target := range forwardPaths {
		for _, as := range []string{cookie, "Cookie: a=1"} {
			all, _ := l.send(l.request("GET", target, as))
			if len(all) != 1 {
				t.Fatalf("%s: got %d answers", target, len(all))
			}
			if all[0].StatusCode == 200 {
				passed++
			} else if all[0].StatusCode >= 500 && all[0].StatusCode != 501 {
				t.Errorf("%s: got %d", target, all[0].StatusCode)
			}
		}
	}
	for _, method := range []string{"get", "TRACE", "CONNECT", "GETT"} {
		all, _ := l.send(l.request(method, "/admin/", cookie))
		for _, r := range all {
			if r.StatusCode < 400 {
				t.Errorf("%s: got %d", method, r.StatusCode)
			}
		}
	}
	for _, g := range l.saw(traces{app: passed}) {
		at, _, _ := strings.Cut(g.RequestURI, "?")
		plain, err := url.PathUnescape(at)
		if err != nil || strings.HasPrefix(path.Clean(plain), "/admin") || strings.Contains(plain, "..") || strings.Contains(plain, "\\") {
			t.Errorf("the app is asked for %q", g.RequestURI)
		}
	}
	outer.saw(traces{})
}
