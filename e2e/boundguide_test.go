package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDeviceBoundGuide runs the gateway of docs/device-bound.md, with a browser that binds its
// session and one that does not, and asks for each of its routes.
func TestDeviceBoundGuide(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/device-bound.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if blocks == nil {
		t.Fatal("there is no config on the page")
	}
	app, port, admin := newFrontApp(t), freePort(t), freePort(t)
	public := "https://apps.example.com:" + port
	config := string(blocks[1])
	for old, put := range map[string]string{
		"public_url: https://apps.example.com\n": fmt.Sprintf("public_url: %s\nlisten: 127.0.0.1:%s\nadmin: { listen: \"127.0.0.1:%s\" }\n", public, port, admin),
		"tls: { acme: {} }\n":                    "tls: { cert_file: tls.pem, key_file: tls.key }\n",
		"bound_for: 10m # the default\n":         "rotation_grace: 1s\n",
		"https://apps.example.com/admin/":        public + "/admin/",
		"http://127.0.0.1:9000":                  app.URL,
	} {
		if !strings.Contains(config, old) {
			t.Fatalf("the config of the page has no %q", old)
		}
		config = strings.ReplaceAll(config, old, put)
	}
	certs, dir := newCertificates(t, "apps.example.com"), t.TempDir()
	for name, text := range map[string]string{"tls.pem": string(certs.cert), "tls.key": string(certs.key), "users.yaml": "users: {}\n"} {
		writeFile(t, dir, name, text)
	}
	file := writeFile(t, dir, "evergate.yaml", config)
	evergate(t, dir, "correct horse battery\n", "user", "add", "--config", file, "--groups", "operators", "--password-stdin", "alice")
	start(t, dir, binary, "serve", "--config", file).awaitHTTP(t, "http://127.0.0.1:"+admin+"/livez")

	for name, binds := range map[string]bool{"a browser that binds nothing": false, "one that binds its session": true} {
		b := newBoundPerson(t, public, "127.0.0.1:"+port)
		ask := func(when string, want map[string]int) {
			t.Helper()
			for _, path := range []string{"/", "/admin/", "/feed/"} {
				got := b.ask("GET", path)
				if got.status != want[path] {
					t.Errorf("%s, %s, at %s: got %d, want %d: %.300s", name, when, path, got.status, want[path], got.body)
				}
				if got.status == http.StatusForbidden && !strings.Contains(got.body, "bound to your device") {
					t.Errorf("%s, %s, at %s: it does not say why: %.300s", name, when, path, got.body)
				}
			}
		}
		if !binds {
			ask("signed in", map[string]int{"/": 200, "/admin/": 403, "/feed/": 200})
			continue
		}
		b.bind()
		time.Sleep(1500 * time.Millisecond) // what was under way may do without the proof
		ask("with the proof", map[string]int{"/": 200, "/admin/": 200, "/feed/": 200})
		b.dropProof()
		ask("without it", map[string]int{"/": 302, "/admin/": 302, "/feed/": 200})
	}
	listed := evergate(t, dir, "", "session", "list", "--config", file)
	if !regexp.MustCompile(`(?m)^\S+ +alice .* yes `).MatchString(listed) || !regexp.MustCompile(`(?m)^\S+ +alice .* no `).MatchString(listed) {
		t.Errorf("the list: got %s, want one that is bound and one that is not", listed)
	}
}
