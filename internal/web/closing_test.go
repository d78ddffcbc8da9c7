package web_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

// TestClosing: an answer says that its connection ends, and the client sends the next
// request on another one, over HTTP/1.1 and HTTP/2.
func TestClosing(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			var closing atomic.Bool
			s := httptest.NewUnstartedServer(web.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.RemoteAddr)
			}), web.Options{Closing: closing.Load}))
			s.EnableHTTP2 = h2
			s.StartTLS()
			defer s.Close()
			tr := &http.Transport{ForceAttemptHTTP2: h2, TLSClientConfig: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
			defer tr.CloseIdleConnections()
			get := func() string {
				t.Helper()
				res, err := (&http.Client{Transport: tr}).Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				if err != nil || (res.ProtoMajor == 2) != h2 {
					t.Fatal(res.Proto, err)
				}
				return string(b)
			}
			first := get()
			if again := get(); again != first {
				t.Fatalf("got connections %s and %s, want one", first, again)
			}
			closing.Store(true)
			if last := get(); last != first {
				t.Errorf("got connection %s, want %s once more", last, first)
			}
			if next := get(); next == first {
				t.Error("the connection is used on")
			}
		})
	}
}
