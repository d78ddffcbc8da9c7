package oauth2proxy_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/oauth2proxy"
	"github.com/evergate/evergate/config"
)

var update = flag.Bool("update", false, "write what comes out as what is wanted")

// bring imports files of testdata.
func bring(t *testing.T, names ...string) *oauth2proxy.Result {
	t.Helper()
	var sources []oauth2proxy.Source
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, oauth2proxy.Source{Name: name, Data: data})
	}
	r, err := oauth2proxy.Import(sources, oauth2proxy.Options{ReadFile: emails})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func emails(name string) ([]byte, error) {
	if name != "emails.txt" {
		return nil, errors.New("there is no such file")
	}
	return []byte("# guests\nAlice@Example.net\nbob@example.net,Bob\n\"not an address\"\n"), nil
}

// imported parses what comes out of lines.
func imported(t *testing.T, text string) *config.Config {
	t.Helper()
	r, err := oauth2proxy.Import([]oauth2proxy.Source{{Name: "in", Data: []byte(text)}}, oauth2proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("out", r.Config, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestConfigsOfRealLife: each comes out as it is written down beside it.
func TestConfigsOfRealLife(t *testing.T) {
	for _, names := range [][]string{{"keycloak.cfg"}, {"dex.cfg"}, {"google.cfg"}, {"redis.cfg"}, {"azure.yaml"}, {"nginx.env"}, {"skip.cfg"},
		{"github.flags"}, {"alpha.yaml", "alpha.cfg"}} {
		r := bring(t, names...)
		golden := filepath.Join("testdata", names[0]+".golden")
		if *update {
			if err := os.WriteFile(golden, r.Config, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Config) != string(want) {
			t.Errorf("%s: got\n%s", names[0], r.Config)
		}
		for _, secret := range []string{"OQINaROshtE9TcZk", "72341b6d", "b2F1dGgy", "GOCSPX", "last year", "correct horse", "hunter2", "gloas-", "0123456789abcdef0", "c2VjcmV0"} {
			if strings.Contains(string(r.Config), secret) || strings.Contains(strings.Join(r.Todo, "\n"), secret) {
				t.Errorf("%s: it repeats the secret %s…", names[0], secret)
			}
		}
	}
}
