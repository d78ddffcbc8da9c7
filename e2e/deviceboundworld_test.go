package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"golang.org/x/net/websocket"
)

// bindingFlags have Chromium bind sessions on a machine without a chip for it: by keys in
// software, and without asking whether this site takes part in a trial.
//
// It signs six times in nine minutes for one site, which no test has time for; RefreshQuota
// switches that off. It also proves its key anew with every request that finds less than two
// minutes of life in the bound cookie, which is every request here where one of before has its
// answer. Until 2026 a flag of Chromium could change that.
const bindingFlags = "DeviceBoundSessions:ForceEnableForTesting/true/RefreshQuota/false," +
	"EnableBoundSessionCredentialsSoftwareKeysForManualTesting,DeviceBoundSessionsDevTools"

// boundFor is the life of a bound cookie in these tests, the shortest that there is.
const boundFor = 10 * time.Second

const boundPassword = "correct horse battery"

// boundGateway is a gateway at https, with a certificate that its browsers trust.
type boundGateway struct {
	*process
	t           *testing.T
	dir, config string
	port        string // of public_url
	listens     string // the port that it has
	certs       *certificates
	app         *httptest.Server
}

// boundPage can have a stream and a socket open, and ask the app.
const boundPage = `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p>
<script>
window.statuses = {}; window.last = ""; window.streams = 0; window.sockets = 0; window.broken = [];
const count = (s) => { statuses[s] = (statuses[s] || 0) + 1; last = String(s) };
window.poll = async () => { try { const r = await fetch("/told"); count(r.status); await r.text() } catch (e) { count(String(e)) } };
window.stream = () => { const es = new EventSource("/stream"); es.onmessage = () => { streams++; es.close(); setTimeout(stream, 1300) };
  es.onerror = () => { if (es.readyState == 2) { broken.push("stream"); setTimeout(stream, 1300) } } };
window.socket = () => { const ws = new WebSocket("wss://" + location.host + "/socket"); let got = false; ws.onopen = () => ws.send("hello");
  ws.onmessage = () => { got = true; sockets++; ws.close() }; ws.onclose = () => { if (!got) broken.push("socket"); setTimeout(socket, 1700) } };
</script>`

func newBoundApp(t *testing.T) *httptest.Server {
	t.Helper()
	socket := websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }}
	a := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stream":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: hello\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/socket":
			socket.ServeHTTP(w, r)
		case "/told":
			_ = json.NewEncoder(w).Encode(map[string]string{"user": r.Header.Get("X-Forwarded-User"), "cookie": r.Header.Get("Cookie")})
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, boundPage, r.Header.Get("X-Forwarded-User"))
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// newBoundGateway starts one for apps.evergate.test, with further routes; APP in them is the
// app.
func newBoundGateway(t *testing.T, routes string) *boundGateway {
	t.Helper()
	g := &boundGateway{t: t, port: freePort(t)}
	g.begin(g.port, "tls: { cert_file: cert.pem, key_file: key.pem }", routes)
	return g
}

// begin starts a gateway that listens at a port of its own, with the lines for that.
func (g *boundGateway) begin(port, lines, routes string) {
	t := g.t
	t.Helper()
	g.dir, g.app, g.certs = t.TempDir(), newBoundApp(t), newCertificates(t, "apps.evergate.test", "wiki.evergate.test")
	g.certs.write(t, g.dir)
	writeFile(t, g.dir, "users.yaml", "users: {}\n")
	writeFile(t, g.dir, "ring", evergate(t, g.dir, "", "key", "new"))
	g.config = writeFile(t, g.dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: https://apps.evergate.test:%s
admin: { listen: "127.0.0.1:%s" }
log: { level: debug, format: json }
data_dir: data
keys: { files: [ring] }
%s
audit: { file: audit.jsonl }
session: { bound_for: %s, rotation_grace: 1s }
identity: [ local: { users_file: users.yaml } ]
routes:
%s`, port, g.port, freePort(t), lines, boundFor, strings.ReplaceAll(routes, "APP", g.app.URL)))
	evergate(t, g.dir, boundPassword+"\n", "user", "add", "--config", g.config, "--password-stdin", "alice")
	g.listens = port
	g.serve()
}

func (g *boundGateway) serve() {
	g.t.Helper()
	g.process = start(g.t, g.dir, binary, "serve", "--config", g.config)
	g.awaitTLS(g.t, "127.0.0.1:"+g.listens)
}

func (g *boundGateway) url(host string) string { return "https://" + host + ".evergate.test:" + g.port }

// log is a file with what the gateway wrote so far.
func (g *boundGateway) log() (file string) {
	g.t.Helper()
	return writeFile(g.t, g.t.TempDir(), "log", g.process.stderr.String())
}

// audited are the events of a name in the audit log.
func (g *boundGateway) audited(name string) (events []map[string]any) {
	g.t.Helper()
	return linesOf(g.t, filepath.Join(g.dir, "audit.jsonl"), "event", name)
}

// linesOf are the lines of a file of JSON where a key has a value.
func linesOf(t *testing.T, file, key, value string) (lines []map[string]any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var line map[string]any
		if json.Unmarshal(s.Bytes(), &line) == nil && line[key] == value {
			lines = append(lines, line)
		}
	}
	return lines
}

// mustHave waits for n events of a name in the audit log, and fails where there are others.
func (g *boundGateway) mustHave(n int, name string) []map[string]any {
	g.t.Helper()
	for end := time.Now().Add(patience); len(g.audited(name)) < n && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	events := g.audited(name)
	if len(events) != n {
		g.t.Errorf("the audit log has %d times %s, want %d: %v", len(events), name, n, events)
	}
	return events
}

// newBoundBrowser is a Chromium that trusts the gateway's certificate: it binds nothing where
// it has to overlook one.
func (g *boundGateway) newBoundBrowser(flags ...chromedp.ExecAllocatorOption) *browser {
	g.t.Helper()
	return g.newTrustingBrowser(append([]chromedp.ExecAllocatorOption{chromedp.Flag("enable-features", bindingFlags)}, flags...)...)
}

func (g *boundGateway) newTrustingBrowser(flags ...chromedp.ExecAllocatorOption) *browser {
	g.t.Helper()
	return newChromium(g.t, append([]chromedp.ExecAllocatorOption{chromedp.Env("HOME=" + trusting(g.t, g.certs)),
		chromedp.Flag("host-resolver-rules", "MAP *.evergate.test 127.0.0.1")}, flags...)...)
}

// trusting is a home in which Chromium finds an authority to trust.
func trusting(t *testing.T, c *certificates) (home string) {
	t.Helper()
	certutil, home := need(t, "certutil", "libnss3-tools"), t.TempDir()
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	ca := writeFile(t, home, "ca.pem", string(c.ca))
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", "tests", "-i", ca}} {
		if out, err := exec.Command(certutil, append([]string{"-d", "sql:" + db}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %q: %v\n%s", args, err, out)
		}
	}
	return home
}

// bindings are what a browser says of its bound sessions.
type bindings struct {
	mu     sync.Mutex // guards events
	events []*network.EventDeviceBoundSessionEventOccurred
}

// bindings listens from now on.
func (p *tab) bindings() *bindings {
	p.t.Helper()
	b := &bindings{}
	err := chromedp.Listen(p.ctx, func(event any) {
		if e, ok := event.(*network.EventDeviceBoundSessionEventOccurred); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, network.EnableDeviceBoundSessions, network.EnableDeviceBoundSessionsParams{Enable: true}); err != nil {
		p.t.Fatalf("listen to bound sessions: %v", err)
	}
	return b
}

// said are the events since the mark, in words: created, refreshed, ended and challenged, with
// what there is to say of it.
func (b *bindings) said() (words []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		switch {
		case e.CreationEventDetails != nil:
			words = append(words, "created "+string(e.CreationEventDetails.FetchResult))
		case e.RefreshEventDetails != nil:
			how := ""
			if e.RefreshEventDetails.WasFullyProactiveRefresh {
				how = " ahead"
			}
			words = append(words, "refreshed "+string(e.RefreshEventDetails.RefreshResult)+how)
		case e.TerminationEventDetails != nil:
			words = append(words, "ended "+string(e.TerminationEventDetails.DeletionReason))
		case e.ChallengeEventDetails != nil:
			words = append(words, "challenged "+string(e.ChallengeEventDetails.ChallengeResult))
		}
	}
	return words
}

// count is how often something was said.
func (b *bindings) count(word string) (n int) {
	for _, said := range b.said() {
		if said == word || strings.HasPrefix(said, word+" ") {
			n++
		}
	}
	return n
}

// until waits until something was said so often.
func (b *bindings) until(t *testing.T, word string, times int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if b.count(word) >= times {
			return
		}
	}
	t.Fatalf("the browser does not say %q of its bound sessions %d times, but %q", word, times, b.said())
}

// none fails the test where something was said.
func (b *bindings) none(t *testing.T, word string) {
	t.Helper()
	if b.count(word) > 0 {
		t.Errorf("the browser says %q of its bound sessions", word)
	}
}
