package event_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

func TestTell(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	var heard []event.Event
	hub := event.NewHub(nil, func(_ context.Context, e event.Event) { heard = append(heard, e) })
	h := web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event.Tell(r.Context(), logger, hub.Hear, slog.LevelInfo, "signed in",
			event.Event{Name: event.SessionStarted, User: "alice", Provider: "local", Session: "abc"}, slog.Int("more", 7))
	}), web.Options{})
	r := httptest.NewRequest("GET", "http://apps.example.com/", nil)
	r.Header.Set("User-Agent", strings.Repeat("x", 300))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	event.Tell(t.Context(), logger, hub.Hear, slog.LevelDebug, "beside", event.Event{Name: event.SessionRenewalFailed, Err: errors.New("away")})

	if got := log.String(); !strings.Contains(got, `msg="signed in" event=session.started session=abc subject=alice provider=local more=7`) || strings.Contains(got, "beside") {
		t.Errorf("log: got %s", got)
	}
	if len(heard) != 2 {
		t.Fatalf("heard %d events, want those too that are below the log's level", len(heard))
	}
	o := heard[0].Origin
	if o.RequestID == "" || o.RequestID != w.Header().Get("X-Request-Id") || o.Client != "192.0.2.1" || o.Host != "apps.example.com" || len(o.Agent) > 260 {
		t.Errorf("origin: got %+v", o)
	}
	if heard[0].At.IsZero() || heard[1].Origin != (event.Origin{}) {
		t.Errorf("got %+v", heard)
	}
}

// TestCatalogue: every name is there once, with its meaning.
func TestCatalogue(t *testing.T) {
	seen := map[event.Name]bool{}
	for _, k := range event.Kinds {
		if seen[k.Name] || k.Says == "" || !strings.HasSuffix(k.Says, ".") {
			t.Errorf("%s: twice, or without a sentence", k.Name)
		}
		seen[k.Name] = true
		if has := slices.Contains(k.Fields, "reason"); k.Reasons != nil && !has {
			t.Errorf("%s: reasons without the field", k.Name)
		}
		if k.Own && !slices.Contains(k.Fields, "subject") {
			t.Errorf("%s: nobody whose own it is", k.Name)
		}
		if event.KindOf(k.Name) == nil {
			t.Errorf("%s: not found", k.Name)
		}
	}
}
