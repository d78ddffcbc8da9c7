package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestRoutesServeNoSecrets: a folder or a file with what is the gateway's own is no answer of a
// route, by whichever way it leads there.
func TestRoutesServeNoSecrets(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"www", "secrets", "data/inside"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "secrets"), filepath.Join(dir, "www", "link")); err != nil {
		t.Skip(err)
	}
	file := filepath.Join(dir, "evergate.yaml")
	for _, tt := range []struct{ answer, want string }{
		{"static: { dir: www }", ""}, {"static: { dir: www-of-another }", ""}, {"respond: { body_file: www/index.html }", ""},
		{"static: { dir: . }", "routes[0].static.dir"}, {"static: { dir: / }", "routes[0].static.dir"}, {"static: { dir: secrets }", "(keys.files[0])"},
		{"static: { dir: www/link }", "(keys.files[0])"}, {"static: { dir: data }", "(data_dir)"}, {"static: { dir: data/inside }", "(data_dir)"},
		{"respond: { body_file: secrets/ring.key }", "routes[0].respond.body_file"}, {"respond: { body_file: www/link/ring.key }", "(keys.files[0])"},
		{"respond: { body_file: users.yaml }", "users_file"}, {"respond: { body_file: evergate.yaml }", "this config"}, {"respond: { body_file: data/admin.token }", "(data_dir)"},
	} {
		text := fmt.Sprintf("public_url: https://apps.example.com\ndata_dir: data\nkeys: { files: [secrets/ring.key] }\nidentity: [ local: { users_file: users.yaml } ]\nroutes:\n  - { public: true, %s }\n", tt.answer)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(file)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.answer, err, tt.want)
		}
	}
}
