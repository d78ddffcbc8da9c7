package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/cmd/evergate/internal/doctor"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/session/bolt"
)

// clinic is a config with everything that it needs, and all of it well.
type clinic struct {
	*testing.T
	op                 *oidctest.Provider
	app                *httptest.Server
	dir, file          string
	public, adminAt    string
	text               string // of the file
	status             int    // of the app
	port, administrate string
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{T: t, dir: t.TempDir(), status: http.StatusOK}
	for _, to := range []*string{&c.port, &c.administrate} {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		*to = port
	}
	c.public, c.adminAt = "http://localhost:"+c.port, "127.0.0.1:"+c.administrate
	c.op = oidctest.Start(t, oidctest.Redirects(c.public+"/.evergate/callback/corp"))
	c.app = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) }))
	t.Cleanup(c.app.Close)
	c.write("corp.secret", oidctest.ClientSecret, 0o600)
	c.file = filepath.Join(c.dir, "evergate.yaml")
	c.text = fmt.Sprintf(`
listen: 127.0.0.1:%s
admin: { listen: 127.0.0.1:%s }
public_url: %s
identity:
  - oidc:
      name: corp
      issuer: %s
      client_id: %s
      client_secret_file: corp.secret
      scopes: [openid, profile, email, offline_access]
routes:
  - upstream:
      targets: [%s]
      health: { path: /healthz }
`, c.port, c.administrate, c.public, c.op.Issuer, oidctest.ClientID, c.app.URL)
	c.write("evergate.yaml", c.text, 0o600)
	return c
}

func (c *clinic) write(name, text string, mode os.FileMode) {
	c.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		c.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		c.Fatal(err)
	}
}

// edit changes the config.
func (c *clinic) edit(old, new string) {
	c.Helper()
	if !strings.Contains(c.text, old) {
		c.Fatalf("%q is not in\n%s", old, c.text)
	}
	c.text = strings.Replace(c.text, old, new, 1)
	c.write("evergate.yaml", c.text, 0o600)
}

// doctor has the doctor come. Neither what it says nor its talk has the secret.
func (c *clinic) doctor(args ...string) (code int, out, talk string) {
	c.Helper()
	var stdout, stderr lockedBuffer
	code = run(append([]string{"doctor", "--config", c.file}, args...), strings.NewReader(""), &stdout, &stderr)
	if strings.Contains(stdout.String()+stderr.String(), oidctest.ClientSecret) {
		c.Errorf("the client secret is told:\n%s%s", &stdout, &stderr)
	}
	return code, stdout.String(), stderr.String()
}

// plain takes out what is another each time.
func (c *clinic) plain(out string) string {
	out = strings.NewReplacer(c.dir, "DIR", c.op.Issuer, "ISSUER", c.app.URL, "APP", c.port, "PORT", c.administrate, "ADMIN").Replace(out)
	out = regexp.MustCompile(`\b[0-9.]+(ms|µs|s)\b`).ReplaceAllString(out, "TIME")
	return regexp.MustCompile(` {2,}`).ReplaceAllString(out, "  ")
}

const soundDown = `ok  config  DIR/evergate.yaml is sound
ok  files.data_dir  DIR/evergate-data is for its owner alone (mode 0700)
ok  files.secrets  2 files are for their owner alone
skip  gateway.admin 127.0.0.1:ADMIN  no gateway runs here: nothing answers on the admin listener
ok  gateway.listen 127.0.0.1:PORT  is free for listen
ok  gateway.listen 127.0.0.1:ADMIN  is free for admin.listen
ok  store.round_trip bolt  a record of the doctor's own was written in TIME, read and removed
ok  provider.discovery corp  ISSUER answers in TIME, and is the issuer that is configured
ok  provider.offers corp  code, PKCE with S256, client_secret_basic, the scopes, offline_access
ok  provider.keys corp  1 of 1 keys can check signatures, with RS256
ok  provider.clock corp  its clock is that of this machine
ok  provider.client corp  client "evergate" is known with client_secret_basic: a made-up code gets invalid_grant
ok  provider.redirect_uri corp  the provider takes http://localhost:PORT/.evergate/callback/corp
ok  provider.logout corp  end_session_endpoint; back-channel logout of single sessions; revocation
skip  provider.refresh corp  whether refresh tokens work, rotate and can be revoked shows a sign-in alone
  mend: evergate doctor --sign-in=corp
ok  upstream APP  answers 200 to GET / in TIME
ok  upstream.health APP  /healthz answers 200 in TIME
ok  dns localhost  is this machine, whatever a name server says
skip  tls  public_url is plain http, for this machine alone
ok  cookie localhost  browsers keep evergate-PORT here; it is not Secure, and goes to every port of this name; localhost and 127.0.0.1 are two hosts to them
`

// fresh has the session file of a gateway that has run.
func (c *clinic) ran() {
	c.Helper()
	data := filepath.Join(c.dir, "evergate-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		c.Fatal(err)
	}
	s, err := bolt.Open(filepath.Join(data, "sessions.db"), nil)
	if err != nil {
		c.Fatal(err)
	}
	if err := s.Close(); err != nil {
		c.Fatal(err)
	}
}

// TestDoctorOfASoundConfig: every line of it, while no gateway runs.
func TestDoctorOfASoundConfig(t *testing.T) {
	c := newClinic(t)
	c.ran()
	code, out, talk := c.doctor()
	if code != exitOK || talk != "" {
		t.Errorf("got exit code %d and %s", code, talk)
	}
	if got := c.plain(out); got != soundDown {
		t.Errorf("got\n%s\nwant\n%s", got, soundDown)
	}
	if s := c.op.Stats(); s.CodeGrants != 0 {
		t.Errorf("the provider gave something: %+v", s)
	}
}

// TestDoctorInJSON: the same findings, with names that stay.
func TestDoctorInJSON(t *testing.T) {
	c := newClinic(t)
	c.app.Close()
	code, out, _ := c.doctor("--json")
	var all []map[string]string
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitFailed {
		t.Fatalf("got exit code %d, %v\n%s", code, err, out)
	}
	_, text, _ := c.doctor()
	if lines := strings.Count(text, "\n") - strings.Count(text, "\n      mend: "); lines != len(all) {
		t.Errorf("got %d findings and %d lines", len(all), lines)
	}
	i := slices.IndexFunc(all, func(f map[string]string) bool { return f["probe"] == "upstream" })
	if i < 0 || all[i]["status"] != "FAIL" || all[i]["about"] != c.app.URL || !strings.Contains(all[i]["text"], "refused") || all[i]["mend"] == "" {
		t.Errorf("got %v", all)
	}
	for _, f := range all {
		if !slices.ContainsFunc(doctor.Probes, func(p doctor.Probe) bool { return p.Name == f["probe"] }) {
			t.Errorf("%s is not among the probes", f["probe"])
		}
	}
}

// TestDoctorFindsFaults: each fault has its line and its mend.
func TestDoctorFindsFaults(t *testing.T) {
	metadata := func(change func(map[string]any)) func(*clinic) {
		return func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.MutateMetadata = change }) }
	}
	for _, row := range []struct {
		name string
		harm func(*clinic)
		line string // status, probe and what is in the text
		text string
		mend string
		code int
	}{
		{"a provider that is down", func(c *clinic) { c.op.Stop() }, "FAIL provider.discovery corp", "refused", "curl " /* the issuer */, 1},
		{"metadata of another issuer", metadata(func(md map[string]any) { md["issuer"] = "https://other.example" }), "FAIL provider.discovery corp", "https://other.example", "set issuer in the config", 1},
		{"no metadata", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.DiscoveryStatus = 404 }) }, "FAIL provider.discovery corp", "404", "it often has a path", 1},
		{"a provider in trouble", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.Down = true }) }, "FAIL provider.discovery corp", "503", "in trouble", 1},
		{"no PKCE", metadata(func(md map[string]any) { delete(md, "code_challenge_methods_supported") }), "warn provider.offers corp", "PKCE with S256", "turn PKCE on", 0},
		{"no code flow", metadata(func(md map[string]any) { md["response_types_supported"] = []string{"token"} }), "FAIL provider.offers corp", "response type code", "authorization code flow", 1},
		{"no such client authentication", metadata(func(md map[string]any) { md["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"} }), "FAIL provider.offers corp", "client_secret_basic", "client_auth to one of: private_key_jwt", 1},
		{"no refresh tokens", metadata(func(md map[string]any) {
			md["grant_types_supported"] = []string{"authorization_code"}
			md["scopes_supported"] = []string{"openid", "profile", "email"}
		}), "FAIL provider.offers corp", "refresh_token is not among them", "allow refresh tokens", 1},
		{"no DPoP where it is wanted", func(c *clinic) {
			c.op.Turn(func(k *idp.Knobs) { k.NoDPoP = true })
			c.edit("client_id: evergate", "client_id: evergate\n      dpop: true")
		}, "FAIL provider.offers corp", "DPoP with ES256", "turn DPoP on there", 1},
		{"a scope that is not listed", func(c *clinic) { c.edit("email, offline", "email, payroll, offline") }, "warn provider.offers corp", "payroll", "define them there", 1},
		{"a scope that is refused", func(c *clinic) { c.edit("email, offline", "email, payroll, offline") }, "FAIL provider.redirect_uri corp", "does not take the request: invalid_scope", "payroll", 1},
		{"no keys", func(c *clinic) {
			c.op.Turn(func(k *idp.Knobs) { k.MutateJWKS = func(m map[string]any) { m["keys"] = []any{} } })
		}, "FAIL provider.keys corp", "no key", "RSA with 2048", 1},
		{"keys that cannot be had", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.JWKSStatus = 500 }) }, "FAIL provider.keys corp", "500", "jwks_uri", 1},
		{"keys for another algorithm", metadata(func(md map[string]any) { md["id_token_signing_alg_values_supported"] = []string{"ES256"} }), "FAIL provider.keys corp", "none is for", "that algorithm", 1},
		{"a wrong secret", func(c *clinic) { c.write("corp.secret", "another", 0o600) }, "FAIL provider.client corp", "invalid_client", "the secret", 1},
		{"a wrong client", func(c *clinic) { c.edit("client_id: evergate", "client_id: somebody") }, "FAIL provider.client corp", "invalid_client", "client_id", 1},
		{"a token endpoint in trouble", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.TokenStatus = 502 }) }, "FAIL provider.client corp", "502", "later", 1},
		{"an answer that tells nothing", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.TokenError = "invalid_request" }) }, "skip provider.client corp", "cannot be told", "--sign-in=corp", 0},
		{"a redirect URI that is not registered, pushed", func(c *clinic) {
			c.op.ChangeClient(func(i *idp.Client) { i.RedirectURIs = []string{"https://elsewhere.example/"} })
		}, "FAIL provider.redirect_uri corp", "pushed request with invalid_request", "register exactly http://localhost", 1},
		{"a redirect URI that is not registered", func(c *clinic) {
			c.op.Turn(func(k *idp.Knobs) { k.NoPAR = true })
			c.op.ChangeClient(func(i *idp.Client) { i.RedirectURIs = []string{"https://elsewhere.example/"} })
		}, "FAIL provider.redirect_uri corp", "400 with a page of its own", "register exactly http://localhost", 1},
		{"a client that may not ask", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.RefuseAuthorize = "unauthorized_client" }) }, "FAIL provider.redirect_uri corp", "unauthorized_client", "allow the code flow", 1},
		{"no way to sign out there", func(c *clinic) {
			c.op.Turn(func(k *idp.Knobs) {
				k.NoEndSession, k.NoRevocation = true, true
				k.MutateMetadata = func(md map[string]any) {
					delete(md, "backchannel_logout_supported")
					delete(md, "backchannel_logout_session_supported")
				}
			})
		}, "warn provider.logout corp", "no end_session_endpoint", "short", 0},
		{"a secret file that is not there", func(c *clinic) { c.edit("corp.secret", "no.secret") }, "FAIL provider.discovery corp", "no.secret", "see to the file", 1},
		{"a secret that others may read", func(c *clinic) { c.write("corp.secret", oidctest.ClientSecret, 0o644) }, "warn files.secrets", "mode 0644", "chmod 600", 0},
		{"an empty secret", func(c *clinic) { c.write("corp.secret", "", 0o600) }, "FAIL files.secrets", "empty", "write the secret", 1},
		{"a key ring that others may read", func(c *clinic) { c.ran(); c.write("evergate-data/cookie.key", "k", 0o640) }, "FAIL files.secrets", "mode 0640", "chmod 600", 1},
		{"a data_dir that others may look into", func(c *clinic) {
			c.ran()
			if err := os.Chmod(filepath.Join(c.dir, "evergate-data"), 0o755); err != nil {
				c.Fatal(err)
			}
		}, "FAIL files.data_dir", "mode 0755", "chmod 700", 1},
		{"a session file that is none", func(c *clinic) {
			c.ran()
			c.write("evergate-data/sessions.db", strings.Repeat("no sessions ", 10000), 0o600)
		}, "FAIL store.round_trip bolt", "damaged", "from a backup", 1},
		{"an app that is down", func(c *clinic) { c.app.Close() }, "FAIL upstream http://127.0.0.1", "refused", "start the app", 1},
		{"an app that fails", func(c *clinic) { c.status = 500 }, "warn upstream http://127.0.0.1", "answers 500", "log", 1},
		{"an app that fails its check", func(c *clinic) { c.status = 404 }, "FAIL upstream.health http://127.0.0.1", "/healthz answers 404", "health.path", 1},
		{"an app that asks for a password", func(c *clinic) { c.status = 401 }, "ok upstream http://127.0.0.1", "answers 401", "", 1},
		{"an app that has no https", func(c *clinic) { c.edit("targets: [http:", "targets: [https:") }, "FAIL upstream https://127.0.0.1", "TLS handshake", "write http://", 1},
		{"an address that somebody has", func(c *clinic) {
			c.edit("listen: 127.0.0.1:"+c.port, "listen: "+strings.TrimPrefix(c.app.URL, "http://"))
		}, "FAIL gateway.listen 127.0.0.1", "in use", "ss -ltnp", 1},
		{"a warning of check", func(c *clinic) { c.write("corp.secret", oidctest.ClientSecret, 0o644) }, "warn config", "a warning", "evergate check", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			row.harm(c)
			code, out, talk := c.doctor()
			lines := strings.Split(regexp.MustCompile(` {2,}`).ReplaceAllString(out, " "), "\n")
			i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, row.line) && strings.Contains(l, row.text) })
			if i < 0 || code != row.code {
				t.Fatalf("got exit code %d, want %d, and %q with %q in\n%s%s", code, row.code, row.line, row.text, out, talk)
			}
			if mend, is := strings.CutPrefix(lines[i+1], " mend: "); is != (row.mend != "") || !strings.Contains(mend, row.mend) {
				t.Errorf("got the mend %q, want %q in it, after\n%s", lines[i+1], row.mend, lines[i])
			}
		})
	}
}
