package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestApacheBehindTheGateway by HTTP/1.1, by HTTP/2 with and without TLS, at a path that
// it does not know of: its own redirects, ranges, conditions, large files and bodies.
func TestApacheBehindTheGateway(t *testing.T) {
	t.Parallel()
	certs, dir := newCertificates(t), t.TempDir()
	certs.write(t, dir)
	docs := filepath.Join(dir, "docs")
	if err := os.MkdirAll(filepath.Join(docs, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 32<<20)
	_, _ = rand.Read(large)
	write(t, filepath.Join(docs, "large.bin"), string(large))
	write(t, filepath.Join(docs, "folder", "index.html"), "in the folder")
	// Of a file that was written a moment ago Apache vouches for no byte.
	if err := os.Chtimes(filepath.Join(docs, "large.bin"), time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "echo"), "#!/bin/sh\nf=$(mktemp -p "+dir+")\ncat >$f\nprintf 'Content-Type: application/octet-stream\\r\\n\\r\\n'\nexec cat $f\n")
	open(t, dir)
	if err := os.Chmod(filepath.Join(dir, "echo"), 0o755); err != nil {
		t.Fatal(err)
	}
	common := fmt.Sprintf(`DocumentRoot %[1]s
Header always set X-Protocol "expr=%%{SERVER_PROTOCOL}"
<Directory %[1]s>
Require all granted
</Directory>
ScriptAlias /echo %[2]s/echo
ScriptSock %[2]s/cgi
<Directory %[2]s>
Require all granted
</Directory>
`, docs, dir)
	urls := startApache(t, dir, []string{"mpm_event", "http2", "ssl", "headers", "cgid"}, common,
		"Protocols http/1.1", "Protocols h2c http/1.1",
		fmt.Sprintf("Protocols h2 http/1.1\nSSLEngine on\nSSLCertificateFile %[1]s/cert.pem\nSSLCertificateKeyFile %[1]s/key.pem\nSSLCACertificateFile %[1]s/ca.pem\nSSLVerifyClient require", dir))
	g := newSecureGateway(t, certs, fmt.Sprintf(`
identity: [ local: { users_file: users.yaml } ]
routes:
  - { public: true, match: { path: /one/ }, strip_prefix: /one, upstream: %q }
  - { public: true, match: { path: /h2c/ }, strip_prefix: /h2c, upstream: { targets: [%q], protocol: h2c } }
  - { public: true, match: { path: /tls/ }, strip_prefix: /tls,
      upstream: { targets: [%q], tls: { ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem } } }
`, urls[0], urls[1], strings.Replace(urls[2], "http://", "https://", 1)))
	g.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	g.client.Timeout = time.Minute

	do := func(method, path string, body io.Reader, headers ...string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequest(method, g.url+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := g.client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return res, b
	}
	for path, protocol := range map[string]string{"/one": "HTTP/1.1", "/h2c": "HTTP/2.0", "/tls": "HTTP/2.0"} {
		res, body := do("GET", path+"/large.bin", nil)
		if res.StatusCode != 200 || res.Header.Get("X-Protocol") != protocol || sha256.Sum256(body) != sha256.Sum256(large) {
			t.Errorf("%s: got %d by %s, %d bytes, want %s and the file", path, res.StatusCode, res.Header.Get("X-Protocol"), len(body), protocol)
		}
		tag := res.Header.Get("Etag")
		if res, body := do("GET", path+"/large.bin", nil, "If-None-Match", tag); res.StatusCode != 304 || len(body) > 0 {
			t.Errorf("%s: what is at hand: got %d and %d bytes", path, res.StatusCode, len(body))
		}
		if res, body := do("GET", path+"/large.bin", nil, "Range", "bytes=1000-1999", "If-Range", tag); res.StatusCode != 206 || !bytes.Equal(body, large[1000:2000]) {
			t.Errorf("%s: a range: got %d and %d bytes", path, res.StatusCode, len(body))
		}
		if res, body := do("HEAD", path+"/large.bin", nil); res.StatusCode != 200 || res.ContentLength != int64(len(large)) || len(body) > 0 {
			t.Errorf("%s: HEAD: got %d, length %d", path, res.StatusCode, res.ContentLength)
		}
		// Apache redirects a folder to itself with a slash, where it thinks that it is.
		if res, _ := do("GET", path+"/folder?a=1", nil); res.StatusCode != 301 || res.Header.Get("Location") != g.url+path+"/folder/?a=1" {
			t.Errorf("%s: a folder: got %d to %s, want %s", path, res.StatusCode, res.Header.Get("Location"), g.url+path+"/folder/?a=1")
		}
		for name, sent := range map[string]io.Reader{"with a length": bytes.NewReader(large[:4<<20]), "in chunks": io.MultiReader(bytes.NewReader(large[:4<<20]))} {
			if res, body := do("POST", path+"/echo", sent); res.StatusCode != 200 || !bytes.Equal(body, large[:4<<20]) {
				t.Errorf("%s: a body %s came back as %d, %d bytes", path, name, res.StatusCode, len(body))
			}
		}
		// It refuses without reading.
		if res, _ := do("PUT", path+"/large.bin", bytes.NewReader(large)); res.StatusCode != 405 {
			t.Errorf("%s: PUT: got %d, want 405", path, res.StatusCode)
		}
		if res, _ := do("GET", path+"/nothing", nil); res.StatusCode != 404 {
			t.Errorf("%s: got %d, want Apache's 404", path, res.StatusCode)
		}
	}
	t.Run("a graceful restart", func(t *testing.T) { gracefully(t, g, dir) })
}

// gracefully restarts Apache again and again under load, which closes idle connections
// under the gateway.
func gracefully(t *testing.T, g *secureGateway, dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "apache.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	count, p := newTally(), newPerson(t)
	p.c.Transport = g.client.Transport
	stop := make(chan struct{})
	c := &crowd{people: map[string]*person{"": p}, counts: map[string]*tally{"": count}, stop: stop}
	for _, path := range []string{"/one/folder/", "/h2c/folder/", "/tls/folder/"} {
		for range 5 {
			c.wg.Go(func() { c.use(p, g.url+path, count, stop) })
		}
	}
	for range 3 {
		time.Sleep(time.Second)
		if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	c.leave()
	t.Log(count)
	if n := count.others(served); n > 0 || count.total() < 100 {
		var why strings.Builder
		for line := range strings.Lines(g.stderr.String()) {
			if !strings.Contains(line, `"status":200`) {
				why.WriteString(line)
			}
		}
		t.Errorf("%d of %d requests were not served; the gateway's log of others than 200:\n%s", n, count.total(), why.String())
	}
}
