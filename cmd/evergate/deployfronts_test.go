package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDeployedFrontProxies: the files in deploy/ are what `evergate snippet` prints for the
// config beside them.
func TestDeployedFrontProxies(t *testing.T) {
	config, err := os.ReadFile("../../deploy/forward-auth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dialect, file string
		flags         []string
	}{
		{"nginx", "nginx/evergate.conf", nil},
		{"haproxy", "haproxy/haproxy.cfg", nil},
		{"haproxy", "haproxy/evergate.lua", []string{"--lua"}},
		{"caddy", "caddy/Caddyfile", nil},
		{"traefik", "traefik/evergate.yaml", nil},
		{"traefik", "traefik/traefik.yaml", []string{"--static"}},
		{"envoy", "envoy/envoy.yaml", nil},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "forward-auth.yaml")
		text := strings.Replace(string(config), "dialect: caddy", "dialect: "+tt.dialect, 1)
		for name, text := range map[string]string{file: text, filepath.Join(dir, "client-secret"): "secret"} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		key := "/etc/ssl/apps.key"
		if tt.dialect == "haproxy" { // which takes it from there alone
			key = "/etc/ssl/apps.pem.key"
		}
		args := append([]string{"snippet", tt.dialect, "--config", file, "--cert", "/etc/ssl/apps.pem", "--key", key}, tt.flags...)
		var out, said strings.Builder
		if code := run(args, nil, &out, &said); code != exitOK {
			t.Errorf("%s: got exit code %d, %s", tt.file, code, said.String())
			continue
		}
		path := filepath.Join("../../deploy", tt.file)
		if os.Getenv("EVERGATE_WRITE") != "" {
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != out.String() {
			t.Errorf("deploy/%s is not what the command prints now (%v). To write it anew:  EVERGATE_WRITE=1 go test -run DeployedFrontProxies ./cmd/evergate", tt.file, err)
		}
	}
}
