package main

import (
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// gatewayWith builds a gateway on http://localhost:8080 with the rest of a config file.
func gatewayWith(t testing.TB, rest string, in parts) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "evergate.yaml")
	if err := os.WriteFile(file, []byte("public_url: http://localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := build(cfg, slog.New(slog.DiscardHandler), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g
}

func newForm(values url.Values) io.Reader { return strings.NewReader(values.Encode()) }
