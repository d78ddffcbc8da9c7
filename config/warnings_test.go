package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/inject"
)

func warned(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "evergate.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return strings.ReplaceAll(config.Faults(c.Warnings()).Error(), dir+"/", "")
}

// onlyOf are the warnings of those keys.
func onlyOf(all string, keys ...string) string {
	var some strings.Builder
	for line := range strings.Lines(all + "\n") {
		path, _, _ := strings.Cut(line, ": warning: ")
		path = strings.TrimSuffix(path, "[0]")
		for _, key := range keys {
			if strings.HasSuffix(path, "."+key) || strings.HasSuffix(path, " "+key) {
				some.WriteString(line)
				break
			}
		}
	}
	return some.String()
}

func TestPlainUpstreamsAreToldOfOnce(t *testing.T) {
	for _, row := range []struct {
		name, routes, want string
		times              int
	}{
		{"http off this machine", "- upstream: http://10.0.0.5:9000", "4:15: routes[0].upstream: warning: tokens travel to 10.0.0.5:9000 in the clear", 1},
		{"with what to do", "- upstream: http://10.0.0.5:9000", "Use https:// (tls.ca_file is for an authority of your own), or reach the app over loopback or a unix socket", 1},
		{"two targets of one upstream", "- upstream: { targets: [http://10.0.0.5:1, http://10.0.0.6:1] }", "to 10.0.0.5:1 and 1 more in the clear", 1},
		{"three routes to one upstream", "- upstream: http://10.0.0.5:1\n  - { match: { path: /a }, upstream: 'http://10.0.0.5:1' }\n  - { match: { path: /b }, upstream: 'http://10.0.0.5:1' }", "to 10.0.0.5:1 (2 more routes lead there) in the clear", 1},
		{"loopback", "- upstream: http://127.0.0.1:1", "in the clear", 0},
		{"localhost", "- upstream: http://localhost:1", "in the clear", 0},
		{"https", "- upstream: https://10.0.0.5", "in the clear", 0},
		{"a unix socket", "- upstream: unix:///run/app.sock", "in the clear", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := warned(t, t.TempDir(), head0+"routes:\n  "+row.routes+"\n")
			if strings.Count(got, row.want) != row.times {
				t.Errorf("got %q, want %d times %q", got, row.times, row.want)
			}
		})
	}
}

func TestRoutesThatNoBrowserGetsTo(t *testing.T) {
	const all = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
	one := func(match, methods string) string {
		return "  - { match: { " + match + ", methods: [" + methods + "] }, redirect: /x }\n"
	}
	for _, row := range []struct {
		name, routes string
		want         bool
	}{
		{"all methods are taken by others", "  - { match: { host: a.example, path: /a/ }, redirect: /x }\n" + one("host: a.example, path: /a/", "GET, POST, PUT") + one("host: a.example, path: /a/", "PATCH, DELETE, OPTIONS"), true},
		{"one is left", "  - { match: { host: a.example, path: /a/ }, redirect: /x }\n" + one("host: a.example, path: /a/", "GET, POST, PUT"), false},
		{"another host's", "  - { match: { host: a.example, path: /a/ }, redirect: /x }\n" + one("host: b.example, path: /a/", all), false},
		{"a folder, and some that is in it", "  - { match: { path: /a/ }, redirect: /x }\n" + one("path: /a/b/", all), false},
		{"no path and the path /", "  - { match: { host: a.example }, redirect: /x }\n" + one("host: a.example, path: /", all), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := warned(t, t.TempDir(), head0+"routes:\n"+row.routes)
			if strings.Contains(got, "4:5: routes[0]: warning: no browser gets here: the routes on lines 5") != row.want {
				t.Errorf("got %q, want a warning: %t", got, row.want)
			}
		})
	}
}

// TestSecretFilesAreLookedAt: every key that names one, whoever can read it.
func TestSecretFilesAreLookedAt(t *testing.T) {
	const text = `public_url: https://apps.example.com
tls: { cert_file: open.pem, key_file: tls.key }
pages: { logo_file: logo.svg, logo_dark_file: logo.svg }
keys: { files: [ring.key] }
identity:
  - local: { users_file: users.yaml }
  - oidc: { name: a, issuer: https://a.example.com, client_id: e, client_secret_file: a.secret, ca_file: open.pem }
  - oidc: { name: b, issuer: https://b.example.com, client_id: e, client_auth: private_key_jwt, client_key_file: b.key }
session:
  store: redis
  redis: { password_file: redis.password, sentinel_password_file: sentinel.password, master: m, tls: { cert_file: open.pem, key_file: redis.key } }
routes:
  - { match: { path: /a }, upstream: { targets: [https://10.0.0.5], tls: { cert_file: open.pem, key_file: client.key } } }
  - { match: { path: /b }, upstream: "https://10.0.0.5", upstream_auth: { basic: { user: "{user}", password_file: basic.password } } }
  - { match: { path: /c }, upstream: "https://10.0.0.5", upstream_auth: { api_key: { header: X-Key, file: api.key } } }
  - { match: { path: /d }, upstream: "https://10.0.0.5", upstream_auth: { form: { login: /l, password_file: form.password } } }
  - { match: { path: /e }, respond: { body_file: open.pem } }
`
	secrets := map[string]string{
		"tls.key": "tls.key_file", "ring.key": "keys.files[0]", "users.yaml": "identity[0].local.users_file",
		"a.secret": "identity[1].oidc.client_secret_file", "b.key": "identity[2].oidc.client_key_file",
		"redis.password": "session.redis.password_file", "sentinel.password": "session.redis.sentinel_password_file", "redis.key": "session.redis.tls.key_file",
		"client.key": "routes[0].upstream.tls.key_file", "basic.password": "routes[1].upstream_auth.basic.password_file",
		"api.key": "routes[2].upstream_auth.api_key.file", "form.password": "routes[3].upstream_auth.form.password_file",
	}
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil { // past the umask
			t.Fatal(err)
		}
	}
	write("open.pem", 0o644)
	write("logo.svg", 0o644)
	for name := range secrets {
		write(name, 0o600)
	}
	if got := warned(t, dir, text); got != "" {
		t.Errorf("all are in order: got %s", got)
	}
	for name, key := range secrets {
		write(name, 0o604)
		got := warned(t, dir, text)
		if strings.Count(got, "warning: ") != 1 || !strings.Contains(got, key+": warning: ") || !strings.Contains(got, "try: chmod 600 "+name) {
			t.Errorf("%s is open to all: got %q, want one warning at %s", name, got, key)
		}
		write(name, 0o600)
	}
	write("open.pem", 0o646)
	if got := warned(t, dir, text); !strings.Contains(got, "tls.cert_file: warning: everybody on this machine can change it") {
		t.Errorf("got %q, want a warning of a certificate that anybody may change", got)
	}
	write("open.pem", 0o644)
	write("evergate.yaml", 0o602)
	if got := warned(t, dir, text); !strings.Contains(got, "warning: everybody on this machine can change this file") || strings.Count(got, "warning: ") != 1 {
		t.Errorf("got %q, want a warning of a config that anybody may change", got)
	}
	write("evergate.yaml", 0o644)
	if got := warned(t, dir, text); got != "" {
		t.Errorf("a config that all can read: got %q, want nothing, for no secret is in it", got)
	}
	if err := os.Remove(filepath.Join(dir, "api.key")); err != nil {
		t.Fatal(err)
	}
	if got := warned(t, dir, text); !strings.Contains(got, "api_key.file: warning: it cannot be read here") {
		t.Errorf("got %q, want a warning of a file that is not there", got)
	}
	write("api.key", 0o600)
	if err := os.Remove(filepath.Join(dir, "logo.svg")); err != nil {
		t.Fatal(err)
	}
	got := warned(t, dir, text)
	for _, key := range []string{"pages.logo_file", "pages.logo_dark_file"} {
		if strings.Count(got, key+": warning: it cannot be read here") != 1 {
			t.Errorf("got %q, want one warning of %s, which is not there", got, key)
		}
	}
}

func TestSecretsInTheConfigAreToldOf(t *testing.T) {
	t.Setenv("WORD", "zesty-secret")
	const oidc = "public_url: https://apps.example.com\nidentity: [ oidc: { issuer: https://a.example.com, client_id: e, client_secret%s } ]\nroutes:\n"
	for _, row := range []struct{ name, text, want string }{
		{"a client's secret", strings.Replace(oidc, "%s", ": zesty-secret", 1) + "  - redirect: /x\n", "identity[0].oidc.client_secret: warning: a secret in this file is read"},
		{"one in the environment", strings.Replace(oidc, "%s", `: "${WORD}"`, 1) + "  - redirect: /x\n", "identity[0].oidc.client_secret: warning: a secret in the environment"},
		{"a key in a header", head0 + "routes:\n  - { upstream: 'http://127.0.0.1:1', request_headers: { set: { X-Api-Key: zesty-secret } } }\n", "request_headers.set.X-Api-Key: warning: a secret in this file is read by whoever reads the file; upstream_auth: { api_key: { header: X-Api-Key"},
		{"a claim in a header", head0 + "routes:\n  - { upstream: 'http://127.0.0.1:1', request_headers: { set: { X-Api-Key: '{claims.key}' } } }\n", ""},
		{"a variable in a header", head0 + "routes:\n  - { upstream: 'http://127.0.0.1:1', request_headers: { set: { X-Api-Key: '${WORD}' } } }\n", ""},
		{"another header", head0 + "routes:\n  - { upstream: 'http://127.0.0.1:1', request_headers: { set: { X-Department: sales } } }\n", ""},
		{"a parameter of a sign-in", strings.Replace(oidc, "%s", ": \"${WORD}\", extra_params: { app_secret: zesty-secret }", 1) + "  - redirect: /x\n", "extra_params.app_secret: warning: it goes through everybody's browser"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := warned(t, t.TempDir(), row.text)
			if !strings.Contains(got, row.want) || row.want == "" && got != "" || strings.Contains(got, "zesty") {
				t.Errorf("got %q, want %q in it and no secret", got, row.want)
			}
		})
	}
}

// TestPassedIdentities: a client may not say who it is, and where a route lets it, that is said.
func TestPassedIdentities(t *testing.T) {
	for name, want := range map[string]string{
		"Remote-User": "an app that believes Remote-User believes anybody", "REMOTE_USER": "believes REMOTE_USER", "x.auth.request.email": "believes x.auth.request.email",
		"X-WEBAUTH-USER": "believes X-WEBAUTH-USER", "X-Remote-Groups": "believes", "X-SSL-Client-S-DN": "believes",
		"X-Forwarded-User": "the gateway sets X-Forwarded-User itself", "x-request-id": "the gateway sets x-request-id itself",
		"X-Authentik-Username": "believes anybody", "Tailscale-User-Login": "believes anybody", "X-Consumer-Username": "believes anybody",
		"X-Ms-Client-Principal": "believes anybody", "X-Ms-Client-Principal-Name": "believes anybody", "X-Goog-Authenticated-User-Email": "believes anybody",
		"Cf-Access-Authenticated-User-Email": "believes anybody", "X-Amzn-Oidc-Identity": "believes anybody", "X-Amzn-Oidc-Data": "believes anybody",
		"Oidc-Claim-Sub": "believes anybody", "Shib-Session-Id": "believes anybody", "X-Shib-User": "believes anybody", "Eppn": "believes anybody",
		"X-Vouch-User": "believes anybody", "X-Pomerium-Claim-Email": "believes anybody", "X-Wonderwall-Id": "believes anybody", "X-Proxy-User": "believes anybody",
		"Client-Cert": "believes anybody", "X-Access-Token": "hands it as a token", "X-Credential-Identifier": "hands it as a token", "X_Ms_Token_Aad_Id_Token": "hands it as a token",
		"X-Evergate-X": "a part of itself", "X-Middleware-Subrequest": "a part of itself", "Proxy": "a part of itself", "X-Original-URL": "serves another address",
		"X-Rewrite-URL": "serves another address", "X-HTTP-Method-Override": "serves another address", "Impersonate-User": "act as anybody", "Impersonate-Extra-Scopes": "act as anybody",
		"X-Real-IP": "wherever", "X-Forwarded-Port": "wherever", "Front-End-Https": "wherever",
		"Authorization": "", "X-Auth-Token": "", "Cf-Access-Jwt-Assertion": "", "X-Team": "",
	} {
		got := onlyOf(warned(t, t.TempDir(), head0+"routes: [ { upstream: 'http://127.0.0.1:9000', pass_headers: ["+name+"] } ]\n"), "pass_headers")
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	names, families := inject.ProtectedNames()
	silent := []string{"authorization"} // it is the client's own, and the app's to judge
	for _, name := range append(names, families...) {
		name += strings.Repeat("x", strings.Count(name[len(name)-1:], "-"))
		got := onlyOf(warned(t, t.TempDir(), head0+"routes: [ { upstream: 'http://127.0.0.1:9000', pass_headers: ["+name+"] } ]\n"), "pass_headers")
		if (got == "") != slices.Contains(silent, name) {
			t.Errorf("%s, which is taken from clients: got %q", name, got)
		}
	}
}
