package e2e

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// pagesWorld is all that it takes to see every page of the gateway: several gateways, which
// serve https under names of their own, providers in every condition, and an app.
type pagesWorld struct {
	t     *testing.T
	app   *httptest.Server
	certs *certificates
	ports map[string]string // of the gateways, by the first label of their names

	fickle *oidctest.Provider // goes away while people are signed in
	config map[string]string  // files, by gateway
	admin  map[string]string  // where the operator's pages are, by gateway
	codes  pagesCodes
	ready  time.Time // since when those are signed in who will be signed out
}

// pagesPassword is that of the local users of these gateways.
const pagesPassword = "correct horse battery"

// pagesHash is its hash, and the cheapest that a users file may have: people sign in hundreds of
// times to see each page.
const pagesHash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdCBvZiB0aGUgcGFnZQ$Fnvtp1Pxzd5398iBXMmJVMYmoy7TTNJCicI/f22uKd8"

// newPagesWorld starts everything. The gateways are: apps with local users and many
// providers, plain with local users alone, codes where a password is not enough, one with one provider, which knows no sign-out,
// and idle and limit, where sessions end after a minute.
func newPagesWorld(t *testing.T) *pagesWorld {
	t.Helper()
	w := &pagesWorld{t: t, app: newPagesApp(t), ports: map[string]string{}, config: map[string]string{}, admin: map[string]string{}}
	w.certs = newCertificates(t, "*.evergate.test")
	for _, name := range []string{"apps", "plain", "codes", "one", "idle", "limit"} {
		w.ports[name] = freePort(t)
	}

	var ways strings.Builder
	cas := map[string]string{}
	for _, p := range []struct {
		name, more string
		ttl        time.Duration
		knobs      func(*idp.Knobs)
	}{
		{name: "corp"},
		{name: "gone"},
		{name: "strict", knobs: func(k *idp.Knobs) { k.RefuseAuthorize = "access_denied" }},
		{name: "closed", more: "\n      allow: [ { groups: [board] } ]"},
		{name: "fickle", ttl: 2 * time.Second},
	} {
		provider := w.provider("apps", p.name, p.ttl, p.knobs)
		cas[p.name+".pem"] = provider.certificate(t)
		ways.WriteString(provider.entry(p.name, p.more))
		switch p.name {
		case "gone":
			provider.Stop()
		case "fickle":
			w.fickle = provider.Provider
		}
	}
	dead := "http://127.0.0.1:" + freePort(t)
	w.gateway("apps", "  - local: { users_file: users.yaml }\n"+ways.String(), fmt.Sprintf(`limits: { body_bytes: 64KiB }
routes:
  - { match: { host: apps.evergate.test }, upstream: %[1]q }
  - { match: { host: apps.evergate.test, path: /public/ }, public: true, upstream: %[1]q }
  - { match: { host: apps.evergate.test, path: /finance/ }, allow: [ groups: [finance] ], upstream: %[1]q }
  - { match: { host: apps.evergate.test, path: /operator/ }, allow: [ groups: [staff] ], admin: true }
  - { match: { host: apps.evergate.test, path: /down/ }, public: true, upstream: %[2]q }
  - { match: { host: apps.evergate.test, path: /slow/ }, public: true, upstream: %[1]q, timeouts: { response_header: 200ms } }
  - { match: { host: apps.evergate.test, path: /busy/ }, public: true, upstream: %[1]q, rate_limit: { requests: 1, per: 24h, by: address } }
  - { match: { host: little.evergate.test, path: /public/ }, public: true, upstream: %[1]q }
`, w.app.URL, dead), cas)

	plain := "  - local: { users_file: users.yaml }\n"
	everything := fmt.Sprintf("routes: [ { upstream: %q } ]\n", w.app.URL)
	w.gateway("plain", plain, everything, nil)
	w.gateway("codes", "  - local: { users_file: users.yaml, second_factor: required }\n", everything, nil)
	w.gateway("idle", plain, "session: { idle_timeout: 1m }\n"+everything, nil)
	w.gateway("limit", plain, "session: { max_lifetime: 1m, idle_timeout: 1m }\n"+everything, nil)

	one := w.provider("one", "works", 2*time.Second, func(k *idp.Knobs) { k.NoEndSession = true })
	w.gateway("one", one.entry("works", ""), "session: { rotation_grace: 1s }\n"+everything,
		map[string]string{"works.pem": one.certificate(t)})
	return w
}

// gateway starts one, with what stands behind identity and what stands beside it.
func (w *pagesWorld) gateway(name, identity, more string, files map[string]string) {
	w.t.Helper()
	dir, port, admin := w.t.TempDir(), w.ports[name], freePort(w.t)
	w.admin[name] = "http://127.0.0.1:" + admin
	w.certs.write(w.t, dir)
	for file, text := range files {
		writeFile(w.t, dir, file, text)
	}
	writeFile(w.t, dir, "secret", oidctest.ClientSecret+"\n")
	writeFile(w.t, dir, "users.yaml", "users: {}\n")
	w.config[name] = writeFile(w.t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%[1]s
public_url: %[2]s
admin: { listen: "127.0.0.1:%[3]s" }
tls: { cert_file: cert.pem, key_file: key.pem, hsts: 365d }
identity:
%[4]s%[5]s`, port, w.at(name), admin, identity, more))
	if strings.Contains(identity, "users_file") {
		user := fmt.Sprintf("{ password: %q, groups: [staff] }", pagesHash)
		// Of dora there are few sessions: a list of them is looked at as long as it is.
		writeFile(w.t, dir, "users.yaml", fmt.Sprintf("users: { alice: %[1]s, carol: %[1]s, dora: %[1]s }\n", user))
	}
	p := start(w.t, dir, binary, "serve", "--config", w.config[name])
	await(w.t, "the gateway "+name+" listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			select {
			case <-p.ended:
				w.t.Fatalf("the gateway %s ended: %v\n%s", name, p.err, p.stderr.String())
			default:
			}
			return false
		}
		conn.Close()
		return true
	})
}

// at is where a gateway is, under the first label of its name.
func (w *pagesWorld) at(name string) string {
	port := w.ports[name]
	if port == "" { // a further host of the first one
		port = w.ports["apps"]
	}
	return "https://" + name + ".evergate.test:" + port
}

// revoke has an operator end the sessions of a user.
func (w *pagesWorld) revoke(gateway, user string) {
	w.t.Helper()
	evergate(w.t, filepath.Dir(w.config[gateway]), "", "session", "revoke", "--config", w.config[gateway], "--user", user)
}

// invite has a one-time code made for a user.
func (w *pagesWorld) invite(gateway, user string) string {
	w.t.Helper()
	out := evergate(w.t, filepath.Dir(w.config[gateway]), "", "user", "invite", "--config", w.config[gateway], user)
	return inviteLines.FindStringSubmatch(out)[2]
}

// browser starts a Chromium that finds all of it.
func (w *pagesWorld) browser() *browser {
	w.t.Helper()
	return newBrowser(w.t, chromedp.Flag("host-resolver-rules", "MAP *.evergate.test 127.0.0.1"), chromedp.Flag("ignore-certificate-errors", true))
}

// pagesProvider is a provider of one gateway.
type pagesProvider struct{ *oidctest.Provider }

func (w *pagesWorld) provider(gateway, name string, ttl time.Duration, knobs func(*idp.Knobs)) pagesProvider {
	w.t.Helper()
	p := oidctest.Start(w.t, oidctest.TLS(), oidctest.Config(func(c *idp.Config) {
		c.AccessTTL = ttl
		c.Clients[0].RedirectURIs = []string{w.at(gateway) + "/.evergate/callback/" + name}
		c.Clients[0].PostLogoutRedirectURIs = []string{w.at(gateway) + "/.evergate/logout"}
	}))
	if knobs != nil {
		p.Turn(knobs)
	}
	return pagesProvider{p}
}

// entry is it in the config of its gateway.
func (p pagesProvider) entry(name, more string) string {
	return fmt.Sprintf(`  - oidc:
      name: %[1]s
      label: The %[1]s provider
      issuer: %[2]s
      ca_file: %[1]s.pem
      client_id: %[3]s
      client_secret_file: secret
      scopes: [openid, profile, email, groups, offline_access]
      claims: { user: preferred_username }%[4]s
`, name, p.Issuer, p.ClientID, more)
}

// certificate is what it shows, which nobody signed but itself.
func (p pagesProvider) certificate(t *testing.T) string {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(p.Issuer, "https://"), &tls.Config{RootCAs: p.RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw}))
}

// newPagesApp is an app with a form, a large form, a frame, a form for another host, and
// pages that take their time.
func newPagesApp(t *testing.T) *httptest.Server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>app</title><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><style>iframe { position: fixed; inset: 0; width: 100%; height: 100%; border: 0 }</style>`)
		switch {
		case strings.HasPrefix(r.URL.Path, "/slow/"):
			select {
			case <-time.After(5 * time.Second):
			case <-r.Context().Done():
			}
		case r.URL.Path == "/public/frame":
			_, _ = io.WriteString(w, `<iframe src="/inside" title="a page of the app"></iframe>`)
		case r.URL.Path == "/public/foreign":
			fmt.Fprintf(w, `<form method="post" action=%q><button type="submit">Do it</button></form>`, r.URL.Query().Get("to"))
		case r.URL.Path == "/public/upload":
			fmt.Fprintf(w, `<form method="post"><textarea name="text">%s</textarea><button type="submit">Send</button></form>`, strings.Repeat("0123456789abcdef", 8<<10))
		default:
			fmt.Fprintf(w, `<p id="user">%s</p><form method="post" action="/form"><input name="note" value="a note"><button type="submit" id="send">Send</button></form>`,
				r.Header.Get("X-Forwarded-User"))
		}
	}))
	t.Cleanup(app.Close)
	return app
}
