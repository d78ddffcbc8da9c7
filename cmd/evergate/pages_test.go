package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPagesCommand: every page that the index names is there in its language, with the
// operator's look, and a change of the config shows at once.
func TestPagesCommand(t *testing.T) {
	dir := folder(t, map[string]string{
		"users.yaml": "users: {}\n", "fr.json": `{"Sign out?": "Se déconnecter ?"}`,
		"evergate.yaml": "public_url: http://localhost:8080\nidentity: [{ local: { users_file: users.yaml } }]\nroutes: [{ upstream: \"http://127.0.0.1:9\" }]\n" +
			"pages: { name: Acme, messages: ., colors: { accent: \"#1f4f8f\" } }\n",
	})
	file := filepath.Join(dir, "evergate.yaml")
	ctx, cancel := context.WithCancel(t.Context())
	out := &pagesOutput{}
	done := make(chan error, 1)
	go func() { done <- (&program{out: out, err: io.Discard}).pages(ctx, file, "127.0.0.1:0") }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var url string
	for end := time.Now().Add(10 * time.Second); url == "" && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		url = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(out.String()), "url "), "/")
	}
	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	_, index := get("/")
	links := regexp.MustCompile(`href="(/[a-z]+/\d+\?lang=(\w+))"`).FindAllStringSubmatch(index, -1)
	if len(links) < 4*20 {
		t.Fatalf("got %d links in\n%s\nwant every page in four languages", len(links), index)
	}
	for _, link := range links {
		status, body := get(link[1])
		if !strings.Contains(body, `<html lang="`+link[2]+`"`) || !strings.Contains(body, "Acme") || strings.HasPrefix(link[1], "/error") != (status >= 400) {
			t.Errorf("%s: got %d\n%s", link[1], status, body)
		}
	}
	if _, body := get("/logout/0?lang=fr"); !strings.Contains(body, "<h1>Se déconnecter ?</h1>") {
		t.Errorf("got\n%s\nwant the operator's text", body)
	}
	for _, asset := range []string{"/.evergate/style.css", "/.evergate/icon.svg", "/.evergate/login.js", "/.evergate/colors.css"} {
		if status, _ := get(asset); status != 200 {
			t.Errorf("%s: got %d", asset, status)
		}
	}
	change := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.Replace(string(b), from, to, 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	change("Acme", "Emca")
	if _, body := get("/login/0"); !strings.Contains(body, "Emca") {
		t.Errorf("got\n%s\nwant the name of now", body)
	}
	change("#1f4f8f", "#eeeeee")
	if status, body := get("/login/0"); status != 500 || !strings.Contains(body, "evergate.yaml:4:") || !strings.Contains(body, "1.1 to 1") {
		t.Errorf("got %d\n%s\nwant what is wrong with the config, and where", status, body)
	}
	if err := (&program{out: io.Discard, err: io.Discard}).pages(ctx, file, "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "pages.colors.accent") {
		t.Errorf("got %v, want the pages not to be shown at all", err)
	}
}

// pagesOutput is a buffer that may be read while it is written.
type pagesOutput struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *pagesOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *pagesOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
