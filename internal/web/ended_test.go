package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

// A stream that is cut because its session ended is as it should be; one that
// is cut for anything else is something to look at.
func TestCutAnswersAreToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		ended bool
		want  string
	}{
		"its session ended":   {true, "level=INFO"},
		"the upstream failed": {false, "level=WARN"},
	} {
		var log bytes.Buffer
		done := make(chan struct{})
		h := web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("half"))
			web.NoteOf(r.Context()).Ended.Store(c.ended)
			panic(http.ErrAbortHandler)
		}), web.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			h.ServeHTTP(w, r)
		}))
		if res, err := http.Get(srv.URL); err == nil {
			res.Body.Close()
		}
		<-done
		srv.Close()
		if !strings.Contains(log.String(), c.want) {
			t.Errorf("%s: got %q, want %s", name, log.String(), c.want)
		}
	}
}
