package e2e

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestSecretsStayWhereTheyBelong: a gateway with everything on lives through a day on which a lot
// goes wrong. Afterwards no cookie, token, code, password or key of that day is in the log, the
// audit log, the metrics, the traces, a page, what the operator's commands print, the store, or
// the stacks of a process that is asked for them.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"bolt", "redis"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			d := newSecretDay(t, store)
			d.signInAndRenew()
			d.askForTrouble()
			d.breakTheProvider()
			d.changePassword()
			d.stealACookie()
			d.signOut()
			places := d.places()
			for _, p := range places {
				if len(p.text) == 0 || !strings.Contains(p.text, p.knownBy) {
					t.Errorf("%s, of %d bytes, lacks %q: this test looks at less than there is", p.name, len(p.text), p.knownBy)
				}
				found := d.hoard.search([]byte(p.text))
				if p.name != "a page of the gateway" {
					found = append(found, d.echoed.search([]byte(p.text))...)
				}
				for _, f := range found {
					t.Errorf("%s holds %s", p.name, f)
				}
			}
			d.sawEnough()
			for _, p := range places { // lest the search finds nothing anywhere
				planted := p.text[:len(p.text)/2] + d.planted + p.text[len(p.text)/2:]
				if found := d.hoard.search([]byte(planted)); len(found) == 0 {
					t.Errorf("a secret that is planted into %s is not found", p.name)
				}
			}
			t.Logf("%d secrets in %d places", len(d.hoard.texts), len(places))
		})
	}
}

// secretDay is a gateway, and all that it was told in confidence.
type secretDay struct {
	t     *testing.T
	hoard *hoard
	*gateway
	public    string
	provider  *secretProvider
	app       *secretApp
	collector *rawCollector
	redis     *redistest.Server
	pages     *output // of the gateway, as browsers got them
	// planted is the one secret that the search is tried with.
	planted string
	local   string // alice's password here
	proxy   string // where a proxy in front would ask
	// echoed are secrets that a browser put into an address or a form itself: the page that
	// asks it to sign in leads back there, with them.
	echoed *hoard
}

// secret is one that nobody has seen before.
func (d *secretDay) secret(what string) string {
	s := what[:3] + "-" + rand.Text() + rand.Text()
	d.hoard.add(what, s)
	return s
}

func newSecretDay(t *testing.T, store string) *secretDay {
	t.Helper()
	d := &secretDay{t: t, hoard: &hoard{}, echoed: &hoard{}, pages: &output{}}
	port, proxyPort := freePort(t), freePort(t)
	d.public, d.proxy = "http://127.0.0.1:"+port, "127.0.0.1:"+proxyPort
	clientSecret := d.secret("client secret")
	d.planted = clientSecret
	d.provider = newSecretProvider(t, d.hoard, d.public, clientSecret)
	basic, key, form := d.secret("password of basic"), d.secret("api key of the app"), d.secret("password of the form")
	d.app, d.collector = newSecretApp(t, d.hoard, form), newRawCollector(t)
	files := map[string]string{
		"client": clientSecret + "\n", "basic": basic, "api": key + "\n", "form": form, "users.yaml": "users: {}\n",
		"otlp": "Authorization: Bearer " + d.secret("token for the collector") + "\n",
	}
	session := "session: { rotation_grace: 1s }\n"
	if store == "redis" {
		password := d.secret("password of redis")
		d.redis = redistest.Start(t, "appendonly", "yes", "aof-use-rdb-preamble", "no", "rdbcompression", "no", "maxmemory-policy", "noeviction",
			"user", "evergate on >"+password+" ~* &* +@all")
		files["redis"] = password
		session = fmt.Sprintf("session: { rotation_grace: 1s, store: redis, redis: { addresses: [%q], username: evergate, password_file: redis } }\n", d.redis.Address())
	}
	ring := evergate(t, t.TempDir(), "", "key", "new")
	files["ring"] = ring
	for _, word := range strings.Fields(ring) {
		d.hoard.add("a key of the ring", word)
	}
	d.local = d.secret("local password")
	config := fmt.Sprintf(`data_dir: data
keys: { files: [ring] }
trusted_proxies: [127.0.0.1]
forward_auth: { listen: %[1]q, dialect: nginx }
audit: { file: audit.jsonl, stdout: true }
tracing: { endpoint: %[2]q, headers_file: otlp, service_name: a-day }
access_token: { ttl: 30s }
%[3]sidentity:
  - local: { users_file: users.yaml }
  - oidc:
      name: corp
      issuer: %[4]s
      client_id: evergate
      client_secret_file: client
      timeout: 10s
      userinfo: true
      claims: { user: preferred_username }
      bearer_audiences: ["https://api.example.com/"]
routes:
  - { upstream: %[5]q }
  - { match: { path: /public/ }, public: true, upstream: %[5]q }
  - { match: { path: /denied/ }, allow: [ groups: [nobody] ], upstream: %[5]q }
  - { match: { path: /gone/ }, upstream: "http://127.0.0.1:1" }
  - { match: { path: /late/ }, upstream: %[5]q, timeouts: { response_header: 50ms } }
  - { match: { path: /basic/ }, upstream: %[5]q, upstream_auth: { basic: { user: service, password_file: basic } } }
  - { match: { path: /key/ }, upstream: %[5]q, upstream_auth: { api_key: { header: X-Api-Key, file: api } } }
  - { match: { path: /form/ }, upstream: %[5]q, upstream_auth: { form: { login: /form/login, user: service, password_file: form } } }
  - { match: { path: /robots/ }, upstream: %[5]q, bearer: true }
  - { match: { path: /own/ }, upstream: %[5]q, token: { type: evergate } }
  - { match: { path: /api/ }, upstream: %[5]q, token: { resource: "https://api.example.com/" } }
`, d.proxy, d.collector.URL, session, d.provider.Issuer, d.app.URL)
	// The users first: the gateway is started with the files that are there.
	dir := t.TempDir()
	writeFile(t, dir, "users.yaml", files["users.yaml"])
	writeFile(t, dir, "c.yaml", "public_url: http://127.0.0.1:1\nidentity: [ local: { users_file: users.yaml } ]\nroutes: [ upstream: \"http://127.0.0.1:1\" ]\n")
	evergate(t, dir, d.local+"\n", "user", "add", "alice", "--config", filepath.Join(dir, "c.yaml"), "--password-stdin")
	users, err := os.ReadFile(filepath.Join(dir, "users.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files["users.yaml"] = string(users)
	d.keepHashes(string(users))
	d.gateway = newGateway(t, port, config, files)
	token, err := os.ReadFile(filepath.Join(d.dir, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	d.hoard.add("the operator's token", strings.TrimSpace(string(token)))
	return d
}

// keepHashes takes the hashes of a users file for secrets.
func (d *secretDay) keepHashes(users string) {
	found := false
	for _, word := range strings.FieldsFunc(users, func(r rune) bool { return strings.ContainsRune(" \n\"'", r) }) {
		if strings.HasPrefix(word, "$argon2id$") {
			d.hoard.add("a password's hash", word[strings.LastIndexByte(word, '$')+1:])
			found = true
		}
	}
	if !found {
		d.t.Fatal("there is no hash in the users file")
	}
}

// browser is a person whose browser keeps for d what it sends and gets.
func (d *secretDay) browser() *person {
	p := newPerson(d.t)
	p.c.Transport = &secretWire{d: d, next: p.c.Transport}
	return p
}

// signInAtProvider goes to a path by way of the provider.
func (d *secretDay) signInAtProvider(p *person, path string, user idp.User) page {
	d.t.Helper()
	at := p.get(d.public + "/.evergate/login/corp?rd=" + url.QueryEscape(path))
	if strings.HasPrefix(at.url.String(), d.provider.Issuer+"/login") {
		at = p.get(d.provider.SignIn(d.t, p.c, at.url.String(), user.Username, user.Password).String())
	}
	return at
}

// signInHere goes to a path with a local user's password, and returns where that ends.
func (d *secretDay) signInHere(p *person, path, user, password string) page {
	d.t.Helper()
	return p.submit(p.get(d.public+"/.evergate/login?rd="+url.QueryEscape(path)), map[string]string{"username": user, "password": password})
}

// signInAndRenew: people sign in both ways, use what the gateway knows for apps, and go on over
// renewals and rotations.
func (d *secretDay) signInAndRenew() {
	d.t.Helper()
	alice, bob := d.browser(), d.browser()
	for _, at := range []page{d.signInAtProvider(bob, "/", d.provider.user), d.signInHere(alice, "/", "alice", d.local)} {
		if at.status != http.StatusOK || at.header.Get("X-From-App") == "" {
			d.t.Fatalf("signing in leads to %s (%d):\n%.1000s", at.url, at.status, at.body)
		}
	}
	for range 3 {
		for _, path := range []string{"/", "/basic/x", "/key/x", "/form/x", "/own/x", "/api/x"} {
			if at := bob.get(d.public + path); at.status != http.StatusOK || at.header.Get("X-From-App") == "" {
				d.t.Errorf("%s: got %d %.300s, want the app", path, at.status, at.body)
			}
		}
		alice.get(d.public + "/own/x")
		for _, path := range []string{"session", "account", "rotate?rd=/", "logout", "session.js"} {
			bob.get(d.public + "/.evergate/" + path)
		}
		d.askAsAProxy(bob)
		time.Sleep(secretLife + 500*time.Millisecond)
	}
	if n := d.provider.Stats().RefreshGrants; n < 2 {
		d.t.Errorf("the provider renewed %d times, want 2: this day is too short", n)
	}
}

// askAsAProxy asks on the forward_auth listener about a request of somebody's.
func (d *secretDay) askAsAProxy(p *person) {
	d.t.Helper()
	req := d.request("GET", "http://"+d.proxy+"/.evergate/auth")
	req.Host = strings.TrimPrefix(d.public, "http://")
	req.Header = http.Header{"X-Original-Method": {"GET"}, "X-Original-Url": {d.public + "/?key=" + d.echo("query")}, "X-Forwarded-For": {"192.0.2.1"}}
	here, _ := url.Parse(d.public)
	for _, c := range p.c.Jar.Cookies(here) {
		req.AddCookie(c)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(d.pages, res.Body)
	d.hoard.add("an access token", strings.TrimPrefix(res.Header.Get("Authorization"), "Bearer "))
}

func (d *secretDay) request(method, address string) *http.Request {
	d.t.Helper()
	req, err := http.NewRequest(method, address, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return req
}

// echo is a secret that a browser puts into an address or a form itself.
func (d *secretDay) echo(what string) string {
	s := "sent-" + rand.Text() + rand.Text()
	d.echoed.add(what, s)
	return s
}

// sawEnough fails where the day had less than it is to have.
func (d *secretDay) sawEnough() {
	d.t.Helper()
	for _, what := range []string{"an access token", "a refresh token", "an ID token", "a code", "a verifier", "a state", "a nonce", "a logout token", "the client's authentication",
		"a cookie of the gateway", "the provider's cookie", "a password's hash", "a key of the ring", "a cookie of the app", "what the app was given"} {
		if d.hoard.count(what) == 0 {
			d.t.Errorf("there was no %s on this day", strings.TrimPrefix(strings.TrimPrefix(what, "a "), "an "))
		}
	}
	for what, n := range map[string]int{"a cookie of the gateway": 6, "a refresh token": 4} {
		if got := d.hoard.count(what); got < n {
			d.t.Errorf("got %d of %s, want %d", got, what, n)
		}
	}
}

// quit asks the process for its stacks, with which it ends.
func (d *secretDay) quit() string {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("the gateway does not end with SIGQUIT")
	}
	return d.stderr.String()
}
