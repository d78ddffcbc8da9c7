package oauth2proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/oauth2proxy"
	"github.com/evergate/evergate/config"
)

// FuzzImport: any text makes a config that loads, or an error that says something.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && !strings.HasSuffix(file, ".golden") {
			f.Add(string(data))
		}
	}
	for _, s := range []string{"--upstream", "a = [1, 2.5, {b = 1}]", "--email-domain='", "OAUTH2_PROXY_X", "services: {p: {command: --provider=github --x}}",
		"client_id = \"a\\u0000b\"", "upstreams = [\"http://[::1]:8080/%2e/\"]", "skip_auth_routes = [\"^/(a|b)*$\"]\nupstreams=\"http://a\"",
		"providers: [{provider: oidc, clientID: \"${X}\"}]\nupstreams: [{path: /a, uri: 'file:///x'}]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := oauth2proxy.Import([]oauth2proxy.Source{{Name: "in", Data: []byte(text)}}, oauth2proxy.Options{})
		if err != nil {
			if err.Error() == "" {
				t.Error("the error says nothing")
			}
			return
		}
		cfg, err := config.Parse("out", r.Config, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%v in\n%s", err, r.Config)
		}
		if o := cfg.Providers()[0]; o.Allow == nil && !strings.Contains(text, "*") {
			t.Errorf("everybody may sign in, and nothing says so:\n%s", text)
		}
	})
}
