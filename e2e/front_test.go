package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// frontProxy is a proxy in front of apps that asks the gateway about every request.
type frontProxy interface {
	// dialect is its name for forward_auth and `evergate snippet`.
	dialect() string
	// start starts it, with what the command prints for s, and nothing besides that it
	// could do without. It ends with the test. It may skip the test aloud.
	start(t *testing.T, s *frontSetup)
}

// frontSetup is a gateway that a front proxy asks, and where that one has to listen.
type frontSetup struct {
	*process
	dir, config string
	folder      string   // of the front proxy, whose workers may be somebody else
	listen      string   // host:port, the --listen of flags
	flags       []string // of the command
}

// snippet is what the command prints, with further flags.
func (s *frontSetup) snippet(t *testing.T, dialect string, flags ...string) string {
	t.Helper()
	return evergate(t, s.dir, "", append(append([]string{"snippet", dialect, "--config", s.config}, s.flags...), flags...)...)
}

// newFrontSetup starts a gateway behind a front proxy of a dialect, and that proxy. Config
// is what comes behind forward_auth; certs are for https, nil where public_url is http.
func newFrontSetup(t *testing.T, front frontProxy, publicURL, port, config string, files map[string]string, certs *certificates, flags ...string) *frontSetup {
	t.Helper()
	s := &frontSetup{dir: t.TempDir(), folder: t.TempDir(), listen: "127.0.0.1:" + port}
	gw, fa := freePort(t), freePort(t)
	s.flags = append([]string{"--listen", s.listen}, flags...)
	if certs != nil { // in one file, which all can read
		cert := s.write(t, "cert.pem", string(certs.cert)+string(certs.key))
		s.flags = append(s.flags, "--cert", cert, "--key", cert)
	}
	for name, text := range files {
		writeFile(t, s.dir, name, text)
	}
	s.config = writeFile(t, s.dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
admin: { listen: "127.0.0.1:%s" }
log: { level: debug }
trusted_proxies: [127.0.0.1]
forward_auth: { listen: "127.0.0.1:%s", dialect: %s }
%s`, gw, publicURL, freePort(t), fa, front.dialect(), config))
	if files["users.yaml"] != "" {
		evergate(t, s.dir, "correct horse battery\n", "user", "add", "--config", s.config, "--password-stdin", "alice")
	}
	s.process = start(t, s.dir, binary, "serve", "--config", s.config)
	s.awaitHTTP(t, "http://127.0.0.1:"+gw+"/.evergate/ping")
	front.start(t, s)
	return s
}

// frontApp is an app behind a front proxy, which keeps what it was sent.
type frontApp struct {
	*httptest.Server
	mu   sync.Mutex // guards seen
	seen []seenRequest
}

// seenRequest is a request as it came to an app.
type seenRequest struct {
	method, host, uri string
	header            http.Header
}

func newFrontApp(t *testing.T) *frontApp {
	t.Helper()
	app := &frontApp{}
	socket := websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }}
	app.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		app.mu.Lock()
		app.seen = append(app.seen, seenRequest{r.Method, r.Host, r.RequestURI, r.Header.Clone()})
		app.mu.Unlock()
		switch r.URL.Path {
		case "/socket":
			socket.ServeHTTP(w, r)
		case "/body":
			h := sha256.New()
			n, err := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
		case "/public/says":
			w.Header().Set("X-Accel-Redirect", r.URL.RawQuery)
			w.Header().Set("X-Sendfile", r.URL.RawQuery)
			w.Header().Set("Clear-Site-Data", `"cookies"`)
			_, port, _ := net.SplitHostPort(r.Host)
			w.Header().Add("Set-Cookie", "evergate-"+port+"=FIXED; Path=/")
			w.Header().Add("Set-Cookie", "evergate-admin-9180=FIXED; Path=/")
			w.Header().Add("Set-Cookie", "mine=1; Path=/")
			_, _ = io.WriteString(w, "said")
		case "/cookie":
			w.Header().Add("Set-Cookie", "mine=1; Path=/")
			_, _ = io.WriteString(w, r.Header.Get("Cookie"))
		case "/told":
			_ = json.NewEncoder(w).Encode(map[string]string{"user": r.Header.Get("X-Forwarded-User"), "token": r.Header.Get("Authorization")})
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p><p id="host">%s</p><p id="uri">%s</p>`,
				r.Header.Get("X-Forwarded-User"), r.Host, r.RequestURI)
		}
	}))
	t.Cleanup(app.Close)
	return app
}

// taken returns what came since the last call.
func (a *frontApp) taken() []seenRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

// frontClient is an HTTP client that finds the hosts of these tests at listen, follows
// nothing and keeps no cookies.
func frontClient(t *testing.T, listen string) *http.Client {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, listen)
		}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// write puts a file into the front proxy's folder.
func (s *frontSetup) write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = writeFile(t, s.folder, name, text)
	open(t, s.folder)
	return path
}
