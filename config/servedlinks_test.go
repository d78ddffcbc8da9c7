package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestRoutesServeNoSecretsByAnyName: the config by a relative path and what it names by an
// absolute one, or the other way round, by links to folders and to files, and by hard links.
func TestRoutesServeNoSecretsByAnyName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"pub", "data/acme", "free/deep"} {
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"k.key", "pub/ring.key", "users.yaml", "data/admin.token", "data/acme/account.key", "free/page.html"} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"lnk": ".", "free/up": "..", "later.yaml": "users2.yaml", "free/deep/out": "../../pub", "free/not-yet": "../data/sessions.db"} {
		if err := os.Symlink(to, from); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
	}
	for from, to := range map[string]string{"free/hard.key": "k.key", "free/hard.token": "data/admin.token", "free/hard.account": "data/acme/account.key"} {
		if err := os.Link(to, from); err != nil {
			t.Skip("no hard links here: ", err)
		}
	}
	const key = "keys: { files: [k.key] }"
	abs := func(s string) string { return strings.ReplaceAll(s, "DIR", dir) }
	for _, tt := range []struct{ secret, answer, want string }{
		{key, "respond: { body_file: free/page.html }", ""},
		{key, "respond: { body_file: DIR/free/page.html }", ""},
		{key, "static: { dir: DIR/free }", ""},
		{key, "static: { dir: free/deep/out }", ""},
		{key, "static: { dir: DIR/pub }", ""},
		{key, "respond: { body_file: DIR/k.key }", "(keys.files[0])"},
		{"keys: { files: [DIR/k.key] }", "respond: { body_file: k.key }", "(keys.files[0])"},
		{key, "respond: { body_file: lnk/k.key }", "(keys.files[0])"},
		{key, "respond: { body_file: DIR/lnk/lnk/k.key }", "(keys.files[0])"},
		{key, "respond: { body_file: DIR/free/deep/out/../k.key }", "(keys.files[0])"},
		{"keys: { files: [lnk/k.key] }", "respond: { body_file: k.key }", "(keys.files[0])"},
		{"keys: { files: [pub/ring.key] }", "static: { dir: lnk/pub }", "(keys.files[0])"},
		{"keys: { files: [pub/ring.key] }", "static: { dir: DIR/pub }", "(keys.files[0])"},
		{"keys: { files: [DIR/lnk/pub/ring.key] }", "static: { dir: free/deep/out }", "(keys.files[0])"},
		{key, "static: { dir: DIR }", "(keys.files[0])"},
		{key, "static: { dir: free/up }", "(keys.files[0])"},
		{key, "respond: { body_file: DIR/FILE }", "(this config)"},
		{key, "respond: { body_file: lnk/FILE }", "(this config)"},
		{key, "respond: { body_file: DIR/data/admin.token }", "(data_dir)"},
		{key, "respond: { body_file: lnk/data/not-yet }", "(data_dir)"},
		{key, "respond: { body_file: free/not-yet }", "(data_dir)"},
		{key, "static: { dir: DIR/data }", "(data_dir)"},
		{key, "static: { dir: lnk/data/acme }", "(data_dir)"},
		{"identity: [ local: { users_file: lnk/users2.yaml } ]", "respond: { body_file: users2.yaml }", "users_file"},
		{"identity: [ local: { users_file: users2.yaml } ]", "respond: { body_file: later.yaml }", "users_file"},
		{"identity: [ local: { users_file: DIR/later.yaml } ]", "respond: { body_file: users2.yaml }", "users_file"},
		{"routes: [ { match: { path: /app/ }, upstream: \"http://127.0.0.1:9000\", upstream_auth: { basic: { user: app, password_file: lnk/k.key } } }, { ANSWER } ]", "respond: { body_file: DIR/k.key }", "password_file"},
		{key, "respond: { body_file: free/hard.key }", "(keys.files[0])"},
		{key, "respond: { body_file: DIR/free/hard.token }", "(data_dir)"},
		{key, "respond: { body_file: free/hard.account }", "(data_dir)"},
	} {
		text := "public_url: https://apps.example.com\ndata_dir: data\n" + tt.secret + "\n"
		if !strings.Contains(text, "identity:") {
			text += "identity: [ local: { users_file: users.yaml } ]\n"
		}
		if strings.Contains(text, "ANSWER") {
			text = strings.ReplaceAll(text, "ANSWER", "public: true, "+tt.answer)
		} else {
			text += fmt.Sprintf("routes: [ { public: true, %s } ]\n", tt.answer)
		}
		text = strings.ReplaceAll(abs(text), "FILE", "evergate.yaml")
		if err := os.WriteFile("evergate.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, by := range []string{"evergate.yaml", "./lnk/evergate.yaml", filepath.Join(dir, "evergate.yaml")} {
			_, err := config.Load(by)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s, with %s, read as %s: got %v, want %q", tt.answer, tt.secret, by, err, tt.want)
			}
		}
	}
}

// TestOwnFiles: what no route may serve is known by what it is, also by a link that came later.
func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("data/acme", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"k.key": "key", "data/admin.token": "token", "data/acme/account.key": "account", "page.html": "page",
		"evergate.yaml": "public_url: https://apps.example.com\ndata_dir: data\nkeys: { files: [k.key] }\nidentity: [ local: { users_file: users.yaml } ]\nroutes: [ { static: { dir: www } } ]\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load("evergate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	own := cfg.OwnFiles()
	for name, want := range map[string]bool{"k.key": true, "data/admin.token": true, "data/acme/account.key": true, "evergate.yaml": true, "page.html": false} {
		if err := os.Link(name, "link"); err != nil {
			t.Skip("no hard links here: ", err)
		}
		info, err := os.Stat("link")
		if err != nil {
			t.Fatal(err)
		}
		if got := own.Has(info); got != want {
			t.Errorf("a hard link of %s: got %v, want %v", name, got, want)
		}
		if err := os.Remove("link"); err != nil {
			t.Fatal(err)
		}
	}
}
