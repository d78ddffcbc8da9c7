package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestTracingHeaders: a file of headers is read line by line, and what it holds is told by
// no error.
func TestTracingHeaders(t *testing.T) {
	for _, tt := range []struct{ name, text, want, fault string }{
		{"headers, and what is none", "# of the vendor\n\nAuthorization: Bearer secret\nX-Scope: a: b \n", "Bearer secret|a: b", ""},
		{"Windows' ends of lines", "Authorization: secret\r\n", "secret|", ""},
		{"a token alone", "secret\n", "", ":1: it is no header; write it as  Name: value"},
		{"a name that is none", "X-Ok: 1\nmy secret: x\n", "", ":2: it is no header"},
		{"no value", "Authorization:\n", "", ":1: it is no header"},
		{"nothing", "# soon\n", "", "holds no header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "headers")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := (&config.Tracing{HeadersFile: file}).Headers()
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %s", err, tt.fault)
				}
				return
			}
			if got := h.Get("Authorization") + "|" + h.Get("X-Scope"); err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestTracingWarnsOfHeadersInTheClear(t *testing.T) {
	const head = "public_url: https://apps.example.com\nidentity: [ local: { users_file: u.yaml } ]\nroutes: [ upstream: \"http://127.0.0.1:9000\" ]\n"
	for _, tt := range []struct {
		endpoint string
		want     bool
	}{{"http://collector:4318", true}, {"http://127.0.0.1:4318", false}, {"https://collector:4318", false}} {
		cfg, err := config.Parse("t.yaml", []byte(head+"tracing: { endpoint: \""+tt.endpoint+"\", headers_file: h }\n"), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, w := range cfg.Warnings() {
			got = got || strings.Contains(w.Error(), "travel in the clear")
		}
		if got != tt.want {
			t.Errorf("%s: got a warning %v, want %v", tt.endpoint, got, tt.want)
		}
		if cfg.Tracing.Sample != 1 || cfg.Tracing.Trust != "nobody" || cfg.Tracing.ServiceName != "evergate" {
			t.Errorf("got the defaults %+v", *cfg.Tracing)
		}
	}
}
