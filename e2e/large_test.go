package e2e

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pattern reads as the same random mebibyte again and again, for so many bytes.
type pattern struct {
	block []byte
	left  int64
	at    int
}

func newPattern(t *testing.T, n int64) func() io.Reader {
	t.Helper()
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	return func() io.Reader { return &pattern{block: block, left: n} }
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), p.left)], p.block[p.at:])
	p.at, p.left = (p.at+n)%len(p.block), p.left-int64(n)
	return n, nil
}

// TestLargeBodies: 4 GiB up and down (256 MiB unless the tests run full) cost no more
// memory than any other request. How fast it is beside httputil.ReverseProxy is told.
func TestLargeBodies(t *testing.T) {
	size, rounds := int64(256<<20), 1
	if full() {
		size, rounds = 4<<30, 3
	}
	content := newPattern(t, size)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.Copy(w, content())
	}))
	t.Cleanup(app.Close)
	g := newGateway(t, freePort(t), fmt.Sprintf(`identity: [ local: { users_file: users.yaml } ]
routes: [ { public: true, upstream: %q } ]
`, app.URL), map[string]string{"users.yaml": "users: {}\n"})
	program := filepath.Join(t.TempDir(), "bareproxy")
	if out, err := exec.Command("go", "build", "-o", program, "./bareproxy").CombinedOutput(); err != nil {
		t.Fatalf("build bareproxy: %v\n%s", err, out)
	}
	port := freePort(t)
	// A shell makes of the proxy, which ends by the signal, a program that ends well.
	bare := start(t, t.TempDir(), "/bin/sh", "-c", `"$0" "$1" "$2" & p=$!; trap 'kill $p; exit 0' TERM; wait $p`, program, "127.0.0.1:"+port, app.URL)
	bare.awaitHTTP(t, "http://127.0.0.1:"+port+"/none")

	transfer := func(method, url string) time.Duration {
		t.Helper()
		var body io.Reader
		if method == http.MethodPut {
			body = content()
		}
		req, err := http.NewRequestWithContext(t.Context(), method, url, body)
		if err != nil {
			t.Fatal(err)
		}
		if body != nil {
			req.ContentLength = size
		}
		began := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if method == http.MethodPut {
			told, err := io.ReadAll(res.Body)
			if string(told) != fmt.Sprint(size, " <nil>") {
				t.Errorf("the app got %s, %v, want %d bytes", told, err, size)
			}
		} else if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
			t.Errorf("got %d bytes, %v, want %d", n, err, size)
		}
		return time.Since(began)
	}
	transfer(http.MethodGet, g.url+"/small") // what every large body needs, once
	_, before := g.memory(t)
	took := map[string][]time.Duration{}
	for range rounds {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			took[method+" evergate"] = append(took[method+" evergate"], transfer(method, g.url+"/"))
			took[method+" bare"] = append(took[method+" bare"], transfer(method, "http://127.0.0.1:"+port+"/"))
		}
	}
	_, after := g.memory(t)
	var lines []string
	for _, name := range []string{"GET evergate", "GET bare", "PUT evergate", "PUT bare"} {
		slices.Sort(took[name])
		lines = append(lines, fmt.Sprintf("%s %.0f MiB/s", name, float64(size)/(1<<20)/took[name][rounds/2].Seconds()))
	}
	t.Logf("%d MiB each, median of %d: %s; the gateway's memory was %d KiB at most, and %d KiB with large bodies", size>>20, rounds, strings.Join(lines, ", "), before, after)
	if after-before > 16<<10 {
		t.Errorf("the gateway took %d KiB more for %d MiB", after-before, size>>20)
	}
}
