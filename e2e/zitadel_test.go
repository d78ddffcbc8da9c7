package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestZitadelSignsInRenewsAndSignsOut(t *testing.T) {
	t.Parallel()
	app, port, at := newUpstream(t), freePort(t), freePort(t)
	gw := "http://localhost:" + port
	bin := filepath.Join(t.TempDir(), "zitadel")
	if out, err := exec.Command("go", "build", "-o", bin, "./providers/zitadel").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	p := start(t, t.TempDir(), bin, at, "5s", gw+"/.evergate/callback/z", gw+"/.evergate/logout")
	issuer := "http://localhost:" + at + "/"
	p.awaitHTTP(t, issuer+".well-known/openid-configuration")
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, url: gw, config: filepath.Join(dir, "evergate.yaml")}
	config := fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
admin: { listen: "127.0.0.1:%s" }
identity:
  - oidc: { name: z, issuer: %q, client_id: web, client_secret: secret, claims: { user: preferred_username }, userinfo: true }
routes:
  - upstream: %s
`, port, gw, freePort(t), issuer, app.URL)
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.serve()
	who := newPerson(t)
	told := who.signIn(gw+"/", map[string]string{"username": "test-user2", "password": "verysecure"}).told(t)
	if told["user"] != "test-user2" || told["email"] != "test-user2@zitadel.ch" {
		t.Errorf("the app was told %v", told)
	}
	refreshed := func() int {
		t.Helper()
		var stats map[string]int
		res, err := http.Get(issuer + "test/stats")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&stats); err != nil {
			t.Fatal(err)
		}
		return stats["refreshed"]
	}
	began := time.Now()
	total, _ := who.storm(gw+"/storm", 100, 20*time.Second)
	for refreshed() < 3 && time.Since(began) < patience { // a busy machine takes its time for each
		more, _ := who.storm(gw+"/storm", 100, 5*time.Second)
		total += more
	}
	n, took := refreshed(), time.Since(began)
	t.Logf("%d requests, %d renewals in %v", total, n, took)
	if most := int(took/(3*time.Second)) + 1; n < 3 || n > most { // a token is good for 3.5 s at least
		t.Errorf("got %d renewals of 5 s tokens in %v, want one for each expiry, %d at most", n, took, most)
	}
	out := who.submit(who.get(gw+"/.evergate/logout"), nil)
	if out.url.Path != "/.evergate/logout" || !strings.Contains(out.body, "Signed out") {
		t.Errorf("signed out: at %s (%d)", out.url, out.status)
	}
}
