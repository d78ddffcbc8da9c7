package web_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

func TestLimitBody(t *testing.T) {
	// The handlers are the two kinds there are: one that knows what a body too
	// long means, and one that takes it for a fault of its upstream.
	plain := web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		_, _ = w.Write(b)
		return nil
	})
	proxy := web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return &web.Error{Status: 502, Detail: "upstream broke: {why}", Args: web.Args{"why": err.Error()}}
		}
		_, _ = w.Write(b)
		return nil
	})
	for _, c := range []struct {
		name    string
		next    http.Handler
		limit   int64
		size    int
		chunked bool
		want    int
	}{
		{"a body at the limit passes", plain, 10, 10, false, 200},
		{"a longer one is refused by its length", plain, 10, 11, false, 413},
		{"a longer one of no known length is refused on the way", plain, 10, 11, true, 413},
		{"also where the handler takes it for another failure", proxy, 10, 11, true, 413},
		{"a chunked body at the limit passes", proxy, 10, 10, true, 200},
		{"no body passes", plain, 10, 0, false, 200},
		{"zero is no limit", plain, 0, 100000, false, 200},
		{"less is none either", plain, -1, 100000, true, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(web.Serve(web.LimitBody(c.next, c.limit), web.Options{}))
			defer srv.Close()
			var body io.Reader = bytes.NewReader(bytes.Repeat([]byte("x"), c.size))
			if c.chunked {
				body = struct{ io.Reader }{body}
			}
			res, err := http.Post(srv.URL, "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, _ := io.ReadAll(res.Body)
			if res.StatusCode != c.want {
				t.Errorf("got %d %s, want %d", res.StatusCode, got, c.want)
			}
			if c.want == 413 && !strings.Contains(string(got), "10 bytes") {
				t.Errorf("the answer does not name the limit: %s", got)
			}
			if c.want == 200 && len(got) != c.size {
				t.Errorf("got %d bytes through, want %d", len(got), c.size)
			}
		})
	}
}
