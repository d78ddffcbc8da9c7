package auth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestSessionScript: it is small, the same for everybody, kept by browsers and asked
// after, and needs nothing that a strict Content-Security-Policy forbids.
func TestSessionScript(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.get("/.evergate/session.js")
	p.want(t, 200, `"/.evergate/session"`, `new BroadcastChannel("evergate")`)
	tag := p.Header.Get("Etag")
	if tag == "" || p.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || p.Header.Get("Cache-Control") != "public, max-age=300" ||
		p.Header.Get("Set-Cookie") != "" || p.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
		t.Errorf("got %v", p.Header)
	}
	if n := len(p.body); n == 0 || n >= 4<<10 {
		t.Errorf("got %d bytes, want less than 4 KiB", n)
	}
	for _, forbidden := range []string{"eval(", "Function(", "innerHTML", "document.write", `setAttribute("style`, "cookie", "localStorage", "<script"} {
		if strings.Contains(p.body, forbidden) {
			t.Errorf("it says %s", forbidden)
		}
	}
	if again := b.get("/.evergate/session.js", "If-None-Match", tag); again.StatusCode != http.StatusNotModified || again.body != "" {
		t.Errorf("asked after: got %d, want 304", again.StatusCode)
	}
}

// TestGlance: the page that watches is told, and the session hears of it.
func TestGlance(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	for uri, want := range map[string]bool{"/.evergate/session": false, "/.evergate/session?glance=1": true, "/.evergate/session?glance=0": false} {
		glanced := false
		h.sessions.set(func() { h.sessions.asked = func(r *http.Request) { glanced = auth.IsGlance(r.Context()) } })
		b.get(uri, "Accept", "*/*").want(t, 200, `"user":"alice"`)
		if glanced != want {
			t.Errorf("%s: got a glance %v, want %v", uri, glanced, want)
		}
	}
}
