package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is a proxy at https that keeps what browsers send to prove their keys, and what they
// are answered.
type wire struct {
	mu   sync.Mutex // guards sent
	sent []sentProof
}

type sentProof struct {
	path   string
	header http.Header
	status int
}

// newWire puts one in front of a gateway.
func newWire(t *testing.T, address string, pair tls.Certificate, gateway string) *wire {
	t.Helper()
	w := &wire{}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: gateway})
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(res *http.Response) error {
			if strings.HasPrefix(res.Request.URL.Path, "/.evergate/dbsc/") {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.sent = append(w.sent, sentProof{res.Request.Method + " " + res.Request.URL.Path, res.Request.Header.Clone(), res.StatusCode})
			}
			return nil
		},
	})
	_ = s.Listener.Close()
	s.Listener, s.TLS = l, &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return w
}

func (w *wire) taken() []sentProof {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

// TestWhatABrowserSendsToProveItsKey: Chromium's network stack makes these requests below
// everything that knows of pages, so they had neither Sec-Fetch-Site nor Origin up to 2026, and
// say by now that they come from the same origin. Either way http.CrossOriginProtection lets them
// pass: as it does what no page can send. A page that
// posts to the same addresses says where it comes from, and is refused; it cannot set the
// headers either, but for a page of the same origin.
func TestWhatABrowserSendsToProveItsKey(t *testing.T) {
	t.Parallel()
	g := &boundGateway{t: t, port: freePort(t)}
	port := freePort(t)
	g.begin(port, "trusted_proxies: [127.0.0.1]", boundRoutes)
	w := newWire(t, "127.0.0.1:"+g.port, g.certs.pair, "127.0.0.1:"+port)
	b := g.newBoundBrowser()
	p := b.tab()
	said := p.bindings()
	home := g.url("apps") + "/"
	g.signInBound(p, said, home)
	sent := w.taken()
	p.open("about:blank")
	untilOver()
	w.taken() // ahead of the end, where a page was on its way as the session was bound
	before := said.count("refreshed Refreshed")
	p.open(home)
	p.atApp(home)
	said.until(t, "refreshed Refreshed", before+1)

	sent = append(sent[:min(1, len(sent))], w.taken()...)
	if len(sent) < 2 || sent[0].path != "POST /.evergate/dbsc/register" || sent[1].path != "POST /.evergate/dbsc/refresh" {
		t.Fatalf("the browser sent %v, want one registration, and one proof with the challenge that it had", sent)
	}
	for i, s := range sent {
		if i > 1 && s.path != sent[1].path {
			t.Errorf("the browser sent %s after its first proof", s.path)
		}
		for name, own := range map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Origin": g.url("apps"), "Referer": ""} {
			if values := s.header.Values(name); len(values) > 0 && !slices.Equal(values, []string{own}) {
				t.Errorf("%s came with %s: %q", s.path, name, values)
			}
		}
		// The draft has both of them as strings of RFC 9651, in quotes.
		proof := s.header.Values("Secure-Session-Response")
		if len(proof) != 1 || strings.Count(proof[0], ".") != 2 || strings.Contains(proof[0], `"`) {
			t.Errorf("%s came with the proof %q, want one JWT, bare", s.path, proof)
		}
		if id := s.header.Values("Sec-Secure-Session-Id"); len(id) != min(i, 1) || i > 0 && strings.Contains(id[0], `"`) {
			t.Errorf("%s came for the binding %q", s.path, id)
		}
		if cookies := strings.Join(s.header.Values("Cookie"), ";"); !strings.Contains(cookies, "__Host-Http-evergate=") || i < 2 && strings.Contains(cookies, "__Host-evergate-bound=") { // what comes later is ahead of the end
			t.Errorf("%s came with the cookies %q, want that of the session, and no bound one yet, or any more", s.path, cookies)
		}
		if s.status != http.StatusOK {
			t.Errorf("%s was answered %d", s.path, s.status)
		}
	}

	// Pages: of another site, which has no cookie to send; of a sister host; and of the app.
	other, sister := b.tab(), b.tab()
	other.open(g.app.URL)
	sister.open(g.url("wiki") + "/")
	sister.atApp(g.url("wiki") + "/")
	said.until(t, "created Success", 2) // which the browser does by itself
	w.taken()
	post := func(p *tab, headers string) sentProof {
		t.Helper()
		eval[string](p, fmt.Sprintf(`fetch(%q, { method: "POST", mode: location.origin == %[2]q ? "cors" : "no-cors", credentials: "include", headers: %[3]s }).then((r) => r.type, (e) => e.name)`, // a page of another origin is not even told that there was an answer
			g.url("apps")+"/.evergate/dbsc/refresh", g.url("apps"), headers))
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if sent := w.taken(); len(sent) > 0 {
				return sent[len(sent)-1]
			}
		}
		t.Fatal("nothing was sent")
		return sentProof{}
	}
	const forged = `{ "Secure-Session-Response": "a.b.c", "Sec-Secure-Session-Id": "id" }`
	for from, p := range map[string]*tab{"cross-site": other, "same-site": sister, "same-origin": p} {
		s := post(p, forged)
		if s.status != http.StatusForbidden || s.header.Get("Sec-Fetch-Site") != from || s.header.Get("Sec-Secure-Session-Id") != "" {
			t.Errorf("a page, %s: got %d for Sec-Fetch-Site %q and the binding %q, want 403", from, s.status, s.header.Get("Sec-Fetch-Site"), s.header.Get("Sec-Secure-Session-Id"))
		}
	}
	untilOver()
	p.open(home)
	p.atApp(home)
	said.none(t, "ended")
	refused := 0
	for _, l := range linesOf(t, g.log(), "path", "/.evergate/dbsc/refresh") {
		if why, _ := l["err"].(string); strings.Contains(why, "This did not come from our own page") {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d posts were refused as those of another origin, want 2", refused)
	}
}

// TestBoundSessionBehindAProxy: one in front asks the gateway about each request, and lets no
// cookie of it through to the app.
func TestBoundSessionBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, front := range []frontProxy{nginxFront{}, haproxyFront{}} {
		t.Run(front.dialect(), func(t *testing.T) { t.Parallel(); boundBehind(t, front) })
	}
}

func boundBehind(t *testing.T, front frontProxy) {
	t.Helper()
	app, port := newFrontApp(t), freePort(t)
	certs := newCertificates(t, "apps.evergate.test", "wiki.evergate.test")
	g := &boundGateway{t: t, port: port, certs: certs}
	s := newFrontSetup(t, front, g.url("apps"), port, fmt.Sprintf(`audit: { file: audit.jsonl }
identity: [ local: { users_file: users.yaml } ]
session: { bound_for: %s, rotation_grace: 1s }
routes:
  - upstream: %[2]q
  - { match: { host: wiki.evergate.test }, upstream: %[2]q }
`, boundFor, app.URL), map[string]string{"users.yaml": "users: {}\n"}, certs)
	g.dir = s.dir
	p := g.newBoundBrowser().tab()
	said := p.bindings()
	home := g.url("apps") + "/"
	g.signInBound(p, said, home)
	g.mustHave(1, "session.bound")

	client := frontClient(t, s.listen)
	copied := func(bound bool) (cookies string) {
		for _, c := range p.cookies(home) {
			if c.Name != "__Host-evergate-bound" || bound {
				cookies += "; " + c.Name + "=" + c.Value
			}
		}
		return strings.TrimPrefix(cookies, "; ")
	}
	ask := func(cookies string) (status int, user string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, home+"told", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", cookies+"; theirs=1")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var told struct{ User string }
		_ = json.NewDecoder(res.Body).Decode(&told)
		return res.StatusCode, told.User
	}
	time.Sleep(1500 * time.Millisecond) // what was on its way when the session was bound
	app.taken()
	with := copied(true)
	if status, user := ask(with); status != http.StatusOK || user != "alice" {
		t.Errorf("with the proof: got %d for %q, want alice", status, user)
	}
	seen := app.taken()
	if len(seen) != 1 || strings.Join(seen[0].header.Values("Cookie"), "; ") != "theirs=1" {
		t.Errorf("the app was sent %v, want its own cookie alone", seen)
	}
	if status, _ := ask(copied(false)); status != http.StatusUnauthorized {
		t.Errorf("without the proof: got %d, want 401", status)
	}
	untilOver()
	if status, _ := ask(with); status != http.StatusUnauthorized {
		t.Errorf("with a proof that is over: got %d, want 401", status)
	}
	g.mustHave(2, "session.device_mismatch")
	p.open(home + "again")
	p.atApp(home + "again")
	said.until(t, "refreshed Refreshed", 1)
	if got := eval[string](p, tryASocket); got != "open" {
		t.Errorf("a socket is %s, want open", got)
	}
	p.faultless()
	for _, r := range app.taken() {
		if cookies := strings.Join(r.header.Values("Cookie"), "; "); strings.Contains(cookies, "evergate") {
			t.Errorf("the app was sent %s", cookies)
		}
	}
}
