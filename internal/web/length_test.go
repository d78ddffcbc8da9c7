package web_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

// TestLengthsOverHTTP2: M-24. Length is what net/http makes of the first of them.
func TestLengthsOverHTTP2(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lines  []string
		length int64
		status int
	}{
		{"none", nil, -1, 200},
		{"none, and no body", nil, 0, 200},
		{"one", []string{"3"}, 3, 200},
		{"no body", []string{"0"}, 0, 200},
		{"equal ones", []string{"3", "3", "3"}, 3, 200},
		{"unequal ones", []string{"3", "4"}, 3, 400},
		{"unequal ones that are one number", []string{"3", "03"}, 3, 400},
		{"the last of three", []string{"3", "3", "2"}, 3, 400},
		{"a length without a body", []string{"5"}, 0, 400},
		{"a list", []string{"3, 3"}, 0, 400},
		{"a sign", []string{"+3"}, 0, 400},
		{"a blank", []string{""}, 0, 400},
		{"no number", []string{"three"}, 0, 400},
		{"more than there is", []string{"9223372036854775808"}, 0, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			served := false
			h := web.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				served = true
				if got := r.Header["Content-Length"]; len(got) > 1 || len(tt.lines) > 0 && !slices.Equal(got, tt.lines[:1]) {
					t.Errorf("got %q, want one", got)
				}
			}), web.Options{})
			r := httptest.NewRequest("POST", "https://gw.test/", strings.NewReader("abc"))
			r.Proto, r.ProtoMajor, r.ProtoMinor, r.ContentLength = "HTTP/2.0", 2, 0, tt.length
			if tt.lines != nil {
				r.Header["Content-Length"] = slices.Clone(tt.lines)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || served != (tt.status == 200) {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}
