package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// gradedGateway starts one at https://apps.evergate.test, as it would stand in front of the
// world: with nothing before it, on two ports in place of 443 and 80.
func gradedGateway(t *testing.T) (dir, secure, plain string) {
	t.Helper()
	dir, secure, plain = t.TempDir(), freePort(t), freePort(t)
	newCertificates(t, "apps.evergate.test").write(t, dir)
	app := newPagesApp(t)
	config := writeFile(t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: https://apps.evergate.test
admin: { listen: "127.0.0.1:%s" }
tls: { cert_file: cert.pem, key_file: key.pem, redirect_http: "127.0.0.1:%s", hsts: 365d }
identity: [ local: { users_file: users.yaml } ]
routes:
  - upstream: %[4]q
  - { match: { path: /finance/ }, allow: [ groups: [finance] ], upstream: %[4]q }
  - { match: { path: /down/ }, public: true, upstream: "http://127.0.0.1:%[5]s" }
`, secure, freePort(t), plain, app.URL, freePort(t)))
	writeFile(t, dir, "users.yaml", "users: {}\n")
	evergate(t, dir, pagesPassword+"\n", "user", "add", "--config", config, "--groups", "staff", "--password-stdin", "alice")
	start(t, dir, binary, "serve", "--config", config)
	await(t, "the gateway listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+secure)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return dir, secure, plain
}

// TestPagesObservatory has Mozilla's HTTP Observatory scan the gateway: somebody who opens
// the start page of an app is sent to the gateway's own sign-in page, and that is judged.
func TestPagesObservatory(t *testing.T) {
	t.Parallel()
	needPagesTools(t)
	dir, secure, plain := gradedGateway(t)
	var got struct {
		Grade, Error         string
		Score, Status, Tests int
		Lost, Found          []string
	}
	pagesTool(t, &got, "observatory.mjs", map[string]any{"host": "apps.evergate.test", "https": secure, "http": plain},
		"NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "ca.pem"))
	t.Logf("grade %s, %d points of %d tests: %s", got.Grade, got.Score, got.Tests, strings.Join(got.Found, ", "))
	if got.Grade != "A+" || got.Status != http.StatusOK || len(got.Lost) > 0 {
		t.Errorf("got grade %s with %d points for a page with status %d, want A+; lost: %q", got.Grade, got.Score, got.Status, got.Lost)
	}
}

// TestPagesLighthouse wants full marks for accessibility and best practices on pages of each
// kind. Of an error it forgives the status alone, which Chromium logs as a fault of the page.
func TestPagesLighthouse(t *testing.T) {
	t.Parallel()
	needPagesTools(t)
	chromium := need(t, "chromium", "chromium")
	_, secure, _ := gradedGateway(t)
	rules := fmt.Sprintf("MAP apps.evergate.test:443 127.0.0.1:%s", secure)

	// Who is denied has to be signed in.
	b := newBrowser(t, chromedp.Flag("host-resolver-rules", rules), chromedp.Flag("ignore-certificate-errors", true))
	p := b.tab()
	p.open("https://apps.evergate.test/")
	p.signIn("alice", pagesPassword)
	p.until("the app", patience, atTheApp)
	type cookie struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	var cookies []cookie
	for _, c := range p.cookies("https://apps.evergate.test/") {
		cookies = append(cookies, cookie{c.Name, c.Value})
	}

	type page struct {
		Name    string   `json:"name"`
		URL     string   `json:"url"`
		Cookies []cookie `json:"cookies,omitempty"`
	}
	pages := []page{
		{Name: "sign in", URL: "https://apps.evergate.test/.evergate/login"},
		{Name: "signed out", URL: "https://apps.evergate.test/.evergate/logout"},
		{Name: "denied", URL: "https://apps.evergate.test/finance/books", Cookies: cookies},
		{Name: "app unreachable", URL: "https://apps.evergate.test/down/page"},
	}
	flags := []string{"--headless=new", "--disable-gpu", "--disable-quic", "--disable-component-update", "--ignore-certificate-errors", "--host-resolver-rules=" + rules}
	if os.Geteuid() == 0 { // as in newBrowser
		flags = append(flags, "--no-sandbox")
	}
	var got []struct {
		Name, URL, Error string
		Scores           map[string]float64
		Lost             []string
	}
	began := time.Now()
	pagesTool(t, &got, "lighthouse.mjs", map[string]any{"chromium": chromium, "flags": flags, "pages": pages})
	t.Logf("%d pages in %v", len(got), time.Since(began))
	if len(got) != len(pages) {
		t.Fatalf("got %d pages, want %d", len(got), len(pages))
	}
	for i, g := range got {
		if g.URL != pages[i].URL {
			t.Errorf("%s: it looked at %s", g.Name, g.URL)
		}
		if g.Error != "" || g.Scores["accessibility"] != 1 || g.Scores["best-practices"] == 0 || len(g.Lost) > 0 {
			t.Errorf("%s: got %v %s, want 1 for both; lost: %q", g.Name, g.Scores, g.Error, g.Lost)
		}
	}
}
