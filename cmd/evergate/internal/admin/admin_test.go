package admin_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
)

func TestHandler(t *testing.T) {
	var broken error
	draining := false
	h := &admin.Handler{
		Checks:   map[string]admin.Check{"store": func(context.Context) error { return broken }},
		Draining: func() bool { return draining },
	}
	get := func(method, host, path string) (int, string) {
		r := httptest.NewRequest(method, "http://"+host+path, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		name, method, host, path string
		status                   int
		says                     string
	}{
		{"it lives", "GET", "127.0.0.1:9180", "/livez", 200, "ok"},
		{"it is ready", "GET", "localhost:9180", "/readyz", 200, `"ready":true`},
		{"an IPv6 address is fine", "GET", "[::1]:9180", "/readyz", 200, `"store":{"ok":true}`},
		{"a foreign name is refused (G-17)", "GET", "evil.example:9180", "/readyz", 421, "loopback"},
		{"nothing is posted", "POST", "localhost", "/readyz", 405, "GET"},
		{"nothing else is here (G-16)", "GET", "localhost", "/debug/pprof/", 404, ""},
	} {
		status, body := get(c.method, c.host, c.path)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: got %d %q, want %d with %q", c.name, status, body, c.status, c.says)
		}
	}
	broken = errors.New("the disk is full")
	if status, body := get("GET", "localhost", "/readyz"); status != 503 || !strings.Contains(body, "the disk is full") {
		t.Errorf("a broken store: got %d %q, want 503 and the reason", status, body)
	}
	broken, draining = nil, true
	if status, body := get("GET", "localhost", "/readyz"); status != 503 || !strings.Contains(body, "going down") {
		t.Errorf("draining: got %d %q, want 503 and the reason", status, body)
	}
}
