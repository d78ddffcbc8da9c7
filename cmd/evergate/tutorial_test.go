//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTutorial follows docs/tutorial.md from a clean folder: every command of it, with what it
// prints, and what its reader does in a browser.
func TestTutorial(t *testing.T) {
	t.Parallel()
	p := pageOf(t, "docs/tutorial.md")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(t.TempDir(), "first")
	c := newConsole(t, root, nil, "8080", "9180", "3000", "9000")
	c.drawn["mkdir first"], c.drawn["first/evergate"], c.drawn["cd first"] = "mkdir "+first, first+"/evergate", "cd "+first
	times := regexp.MustCompile(`\d\d:\d\d:\d\d`)
	watched, followed := false, 0
	for _, b := range p.blocks {
		switch b.kind {
		case "go":
			if err := os.WriteFile(filepath.Join(first, "app.go"), []byte(c.here(b.text)), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		case "console":
		default:
			t.Errorf("docs/tutorial.md:%d: nobody follows a block of the kind %q", b.line, b.kind)
			continue
		}
		followed++
		said := c.follow(p, b)
		if strings.Contains(b.text, "evergate init") {
			// What the page leaves at its default, several at once cannot have.
			here := "admin: { listen: 127.0.0.1:9180 }\n"
			edit := filepath.Join(first, "evergate.yaml")
			text, err := os.ReadFile(edit)
			if err != nil {
				t.Fatal(err)
			}
			text = append([]byte(strings.ReplaceAll(string(text), "8080", c.here("8080"))), c.here(here)...)
			if err := os.WriteFile(edit, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(b.text, "for i in") {
			watched = true
			if at := times.FindAllString(said, -1); len(at) != 4 || at[0] == at[3] {
				t.Errorf("got the tokens until %q, want another one in the end", at)
			}
		}
	}
	if followed < 13 || !watched {
		t.Errorf("got %d blocks followed, want 13, and the renewal watched: %v", followed, watched)
	}
	demoSignIn(t, c)
}

// demoSignIn does what the last part says, in a browser: Bob signs in at the demo's provider.
func demoSignIn(t *testing.T, c *console) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	t.Cleanup(browser.CloseIdleConnections)
	get := func(res *http.Response, err error) (*url.URL, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.Request.URL, string(body)
	}
	base := "http://localhost:" + c.here("9000")
	_, page := get(browser.Get(base + "/.evergate/login"))
	if !strings.Contains(page, "Demo provider") {
		t.Fatalf("the sign-in page does not offer the demo provider:\n%s", page)
	}
	at, page := get(browser.Get(base + "/.evergate/login/demo?rd=/"))
	request := regexp.MustCompile(`name="request" value="([^"]+)"`).FindStringSubmatch(page)
	if request == nil {
		t.Fatalf("the provider has no form:\n%s", page)
	}
	_, _ = get(browser.PostForm(at.String(), url.Values{"request": {request[1]}, "username": {"bob"}, "password": {c.here("7wq2-k3mh-p5xz-a6tj-n4rc")}}))
	if _, who := get(browser.Get(base + "/.evergate/session")); !strings.Contains(who, `"provider":"demo"`) {
		t.Errorf("bob is not signed in: %s", who)
	}
	_, control := get(browser.Get(at.Scheme + "://" + at.Host + "/"))
	for _, button := range []string{"Answer 503", "Behave again"} {
		if !strings.Contains(control, button) {
			t.Errorf("there is no button %q on\n%s", button, control)
		}
	}
}
