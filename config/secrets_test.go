package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestSecretFilesAreAllThereAre: every file that a config can name is a secret, or known to
// be none.
func TestSecretFilesAreAllThereAre(t *testing.T) {
	open := map[string]bool{"logo_file": true, "logo_dark_file": true, "ca_file": true, "cert_file": true, "body_file": true} // anybody may read these
	var walk func(reflect.Type, map[string]bool)
	named := map[string]bool{}
	seen := map[reflect.Type]bool{}
	walk = func(of reflect.Type, into map[string]bool) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] || !strings.HasPrefix(of.PkgPath(), reflect.TypeFor[Config]().PkgPath()) {
			return
		}
		seen[of] = true
		for f := range of.Fields() {
			key := f.Tag.Get("yaml")
			if strings.HasSuffix(key, "_file") && !open[key] {
				into[key] = true
			}
			walk(f.Type, into)
		}
	}
	walk(reflect.TypeFor[Config](), named)
	if len(named) < 6 {
		t.Fatalf("got %d kinds of files, want 6 or more: %v", len(named), named)
	}
	source, err := os.ReadFile("secrets.go")
	if err != nil {
		t.Fatal(err)
	}
	auth, err := os.ReadFile("upstreamauth.go")
	if err != nil {
		t.Fatal(err)
	}
	for key := range named {
		if !strings.Contains(string(source), key+`"`) && !strings.Contains(string(auth), `.`+key+`"`) {
			t.Errorf("SecretFiles does not know %s", key)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	cfg, err := Parse("t.yaml", []byte(`
public_url: https://apps.example.com
tls: { cert_file: /c, key_file: /k }
keys: { files: [/ring] }
identity:
  - local: { users_file: /users }
  - oidc: { issuer: "https://login.example.com", client_id: e, client_secret_file: /secret }
session: { store: redis, redis: { password_file: /redis } }
routes:
  - upstream: http://127.0.0.1:9000
    upstream_auth: { basic: { user: app, password_file: /app } }
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.SecretFiles()
	want := []SecretFile{{"tls.key_file", "/k"}, {"keys.files[0]", "/ring"}, {"identity[0].local.users_file", "/users"},
		{"identity[1].oidc.client_secret_file", "/secret"}, {"routes[0].upstream_auth.basic.password_file", "/app"}, {"session.redis.password_file", "/redis"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
