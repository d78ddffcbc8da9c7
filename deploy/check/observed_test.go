package check

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// observed is a gateway with something to tell of: alice is a user of its own, and bob comes
// from a provider whose tokens live for seconds.
type observed struct {
	*process
	t          *testing.T
	alice, bob *person
	provider   *oidctest.Provider
	url, admin string
	dir        string
	used       int
	revoked    time.Time // when bob's session was ended last
}

func newObserved(t *testing.T) *observed {
	t.Helper()
	dir, at, app := t.TempDir(), loopback(), loopback()
	newApp(t, app+":8000")
	o := &observed{t: t, url: "http://localhost:8000", admin: at + ":9180", dir: dir}
	o.provider = oidctest.Start(t, oidctest.Redirects(o.url+"/.evergate/callback/corp"), oidctest.Config(func(c *idp.Config) { c.AccessTTL = 5 * time.Second }))
	for name, text := range map[string]string{"users.yaml": users(t), "corp.secret": o.provider.ClientSecret, "evergate.yaml": fmt.Sprintf(`public_url: %s
listen: %s:8000
data_dir: data
admin: { listen: "%s" }
audit: { file: audit.jsonl }
identity:
  - local: { users_file: users.yaml }
  - oidc: { name: corp, issuer: "%s", client_id: "%s", client_secret_file: corp.secret }
rules:
  stronger: { mode: observe, allow: [{ amr: [hwk] }] }
routes:
  - { name: app, upstream: "http://%[6]s:8000", rules: [stronger], allow: [{ groups: [staff] }] }
  - { name: api, match: { path: /api/ }, upstream: "http://%[6]s:8000", rate_limit: { requests: 1, per: 24h, by: address } }
  - { name: nobody, match: { path: /nobody/ }, upstream: "http://%[6]s:8000", allow: [{ groups: [nobody] }] }
  - { name: dead, match: { path: /dead/ }, upstream: "http://%[6]s:9" }
`, o.url, at, o.admin, o.provider.Issuer, o.provider.ClientID, app)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.process = start(t, exec.Command(filepath.Join(built(t), "usr/bin/evergate"), "serve", "--config", filepath.Join(dir, "evergate.yaml")))
	o.within(t, "the gateway is there", func() error { return dial(at + ":8000") })
	issuer, err := url.Parse(o.provider.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	ports := map[string]string{"8000": at + ":8000", issuer.Port(): issuer.Host}
	o.alice, o.bob = newPerson(t, "", ports), newPerson(t, "", ports)
	landed := o.alice.submit(o.alice.get(o.url+"/"), map[string]string{"username": "alice", "password": password})
	if landed.status != http.StatusOK || landed.url.String() != o.url+"/" {
		t.Fatalf("alice comes to %s (%d):\n%s", landed.url, landed.status, landed.body)
	}
	return o
}

// use has each counter go on: requests that are answered, refused, turned away and in vain,
// a sign-in at the provider, one that does not work, and a session that the operator ends.
func (o *observed) use() {
	o.t.Helper()
	o.used++
	o.alice.get(o.url + "/")
	if o.alice.get(o.url+"/api/").status != http.StatusTooManyRequests && o.used > 1 {
		o.t.Fatal("there is no limit")
	}
	for path, want := range map[string]int{"/dead/": http.StatusBadGateway, "/nobody/": http.StatusForbidden} {
		if at := o.alice.get(o.url + path); at.status != want {
			o.t.Fatalf("%s: got %d, want %d", path, at.status, want)
		}
	}
	o.wrongPassword()
	if time.Since(o.revoked) > 15*time.Second { // meanwhile bob is renewed, some times
		if !o.revoked.IsZero() {
			evergate(o.t, o.dir, "", "session", "revoke", "--config", "evergate.yaml", "--user", "corp/subject-of-bob")
		}
		o.revoked = time.Now()
		o.bobSignsIn()
	}
	o.bob.get(o.url + "/")
}

func (o *observed) bobSignsIn() {
	o.t.Helper()
	at := o.bob.get(o.url + "/.evergate/login/corp?rd=/")
	if strings.Contains(at.body, "Sign in at the provider") {
		at.body = strings.Replace(at.body, "<form ", `<form action="" `, 1) // it goes to where it came from
		at = o.bob.submit(at, map[string]string{"username": "bob", "password": oidctest.Bob.Password})
	}
	if at.status != http.StatusOK || at.url.String() != o.url+"/" {
		o.t.Fatalf("bob comes to %s (%d):\n%s", at.url, at.status, at.body)
	}
}

// wrongPassword is somebody's who has no account.
func (o *observed) wrongPassword() {
	o.t.Helper()
	stranger := newPerson(o.t, "", map[string]string{"8000": strings.Replace(o.admin, ":9180", ":8000", 1)})
	stranger.submit(stranger.get(o.url+"/"), map[string]string{"username": "mallory", "password": "is wrong"})
}

// ask gets a path of the admin listener.
func (o *observed) ask(path string) (status int, body string) {
	o.t.Helper()
	res, err := http.Get("http://" + o.admin + path)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
