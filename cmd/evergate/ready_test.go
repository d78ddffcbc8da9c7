package main

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

// fullStore is a store that reads and does not write.
type fullStore struct {
	session.Store
	full atomic.Bool // the gateway asks on its own as well
}

func (s *fullStore) Trouble() error {
	if s.full.Load() {
		return errors.New("the disk is full; make room")
	}
	return nil
}

// TestReadyzTellsThatNothingCanBeWritten, and stays ready: whoever is signed in is
// served on.
func TestReadyzTellsThatNothingCanBeWritten(t *testing.T) {
	store := &fullStore{Store: memory.New()}
	g := replica(t, store, t.TempDir(), newKeyFile(t), slog.New(slog.DiscardHandler))
	ask := func() string {
		rec := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodGet, "/readyz", nil)
		req.Host = "localhost"
		g.Admin.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK {
			t.Errorf("got %d, want ready", rec.Code)
		}
		return rec.Body.String()
	}
	if got := ask(); !strings.Contains(got, `"store writes":{"ok":true}`) {
		t.Errorf("all is well: got %s", got)
	}
	store.full.Store(true)
	if got := ask(); !strings.Contains(got, `"store writes":{"ok":false,"reason":"the disk is full; make room"}`) {
		t.Errorf("got %s, want the reason", got)
	}
}
