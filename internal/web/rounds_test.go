package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

// TestLoop (D-19): a request that comes back with the id that it was given is counted, and
// refused once nobody can have meant it.
func TestLoop(t *testing.T) {
	served := 0
	h := web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served++ }), web.Options{})
	ask := func(id string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "https://gw.test/x", nil)
		r.Header.Set("X-Request-Id", id)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	id := ""
	for round := range 17 {
		w := ask(id)
		next := w.Header().Get("X-Request-Id")
		if w.Code != 200 || served != round+1 || next == "" || len(id) >= 26 && next[:26] == id[:26] {
			t.Fatalf("round %d with %q: got %d, %q, want it served, with an id of its own", round, id, w.Code, next)
		}
		id = next
	}
	if w := ask(id); w.Code != http.StatusLoopDetected || served != 17 || !strings.Contains(w.Body.String(), `"loop"`) {
		t.Errorf("after 17 rounds, with %q: got %d %s, want 508 and nobody asked", id, w.Code, w.Body)
	}
	// What else comes under the name is nobody's, and counts for nothing.
	known := id[:26]
	for _, sent := range []string{"chosen", known + "-", known + "+9", known + "-x", known + "-99x", known + "-999", known + "99", strings.ToLower(known) + "-99", known + "--9", known + "- 9", strings.Repeat("1", 26), known + "é", strings.Repeat("A", 100_000)} {
		if w := ask(sent); w.Code != 200 || len(w.Header().Get("X-Request-Id")) != 26 {
			t.Errorf("%.40q: got %d and %q, want it served, with an id that says nothing of it", sent, w.Code, w.Header().Get("X-Request-Id"))
		}
	}
	if w := ask(known); w.Header().Get("X-Request-Id")[26:] != "-1" {
		t.Errorf("an id of an answer that is sent once more: got %q", w.Header().Get("X-Request-Id"))
	}
}
