package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/internal/secret"
)

func TestReloadAndUpgrade(t *testing.T) {
	good := admin.Reloaded{OK: true, Changed: []string{"session.idle_timeout"}}
	api := func(out admin.Reloaded, err error) *admin.API {
		return &admin.API{Token: secret.New("t"), Reload: func() admin.Reloaded { return out }, Upgrade: func() (int, error) { return 7, err }}
	}
	for _, c := range []struct {
		name, method, path, token string
		api                       *admin.API
		status                    int
		says                      string
	}{
		{"a good config", "POST", "/api/reload", "t", api(good, nil), 200, `"changed":["session.idle_timeout"]`},
		{"a bad one", "POST", "/api/reload", "t", api(admin.Reloaded{Error: "evergate.yaml:3:1: no"}, nil), 422, "evergate.yaml:3:1"},
		{"no token", "POST", "/api/reload", "", api(good, nil), 401, "admin.token"},
		{"another token", "POST", "/api/upgrade", "u", api(good, nil), 401, "admin.token"},
		{"it is no link", "GET", "/api/reload", "t", api(good, nil), 404, ""},
		{"no file", "POST", "/api/reload", "t", &admin.API{Token: secret.New("t")}, 501, "without a config file"},
		{"a process that is ready", "POST", "/api/upgrade", "t", api(good, nil), 200, `{"pid":7}`},
		{"one that is not", "POST", "/api/upgrade", "t", api(good, errors.New("it ended")), 409, "it ended"},
		{"what is in force", "GET", "/api/config", "t", &admin.API{Token: secret.New("t"), Running: func() admin.Running { return admin.Running{File: "/f", Changed: []string{"routes"}} }}, 200, `{"file":"/f","changed":["routes"]}`},
		{"not for everybody", "GET", "/api/config", "u", api(good, nil), 401, "admin.token"},
		{"no file to compare", "GET", "/api/config", "t", api(good, nil), 501, "without a config file"},
		{"no file to start with", "POST", "/api/upgrade", "t", &admin.API{Token: secret.New("t")}, 501, "without a config file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://localhost"+c.path, nil)
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
			w := httptest.NewRecorder()
			(&admin.Handler{API: c.api}).ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, c.status, c.says)
			}
		})
	}
}

// TestCurrentParts: what the config in force makes is asked anew each time.
func TestCurrentParts(t *testing.T) {
	name := "upstream a"
	h := &admin.Handler{
		Current: func() map[string]admin.Check {
			return map[string]admin.Check{name: func(context.Context) error { return errors.New("refused") }}
		},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("a_metric 1\n")) }),
	}
	get := func(path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		return w.Body.String()
	}
	for _, name = range []string{"upstream a", "upstream b"} {
		if got := get("/readyz"); !strings.Contains(got, `"ready":true`) || !strings.Contains(got, name) {
			t.Errorf("got %s, want ready, and %s in it", got, name)
		}
	}
	if got := get("/metrics"); got != "a_metric 1\n" {
		t.Errorf("/metrics: got %q", got)
	}
}
