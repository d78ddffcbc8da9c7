package main

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/idp"
)

// TestInitOIDC probes a real provider; what is printed registers and configures.
func TestInitOIDC(t *testing.T) {
	p := oidctest.Start(t)
	var out, talk strings.Builder
	if code := run([]string{"init", "oidc", p.Issuer, "--host", "apps.example.com", "--name", "corp"}, nil, &out, &talk); code != exitOK {
		t.Fatalf("got exit code %d:\n%s", code, &talk)
	}
	for _, want := range []string{"redirect URI:          https://apps.example.com/.evergate/callback/corp\n",
		"after signing out:     https://apps.example.com/.evergate/logout\n",
		"back-channel logout:   https://apps.example.com/.evergate/backchannel-logout/corp\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant in it\n%s", &out, want)
		}
	}
	for _, want := range []string{"yes  PKCE with S256", "yes  refresh tokens", "yes  sign-out at the provider", "yes  signing keys (1)"} {
		if !strings.Contains(talk.String(), want) {
			t.Errorf("got\n%s\nwant in it\n%s", &talk, want)
		}
	}
	_, lines, _ := strings.Cut(out.String(), "\n\n")
	cfg, err := config.Parse("printed", []byte("public_url: https://apps.example.com\n"+lines+"routes: [ upstream: http://127.0.0.1:1 ]\n"),
		func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("the printed lines are no config: %v\n%s", err, lines)
	}
	if o := cfg.Providers()[0]; o.Issuer != p.Issuer || o.Name != "corp" {
		t.Errorf("got %+v", o)
	}

	p.Turn(func(k *idp.Knobs) {
		k.MutateMetadata = func(md map[string]any) { md["issuer"] = "https://another.example" }
	})
	talk.Reset()
	if code := run([]string{"init", "oidc", p.Issuer}, nil, &out, &talk); code != exitFailed || !strings.Contains(talk.String(), `issuer "https://another.example"`) {
		t.Errorf("metadata of another: got exit code %d, %s", code, &talk)
	}
}
