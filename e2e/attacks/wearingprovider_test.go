package attacks

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// wearFront stands in front of a provider, whose issuer it is, and answers in its place.
type wearFront struct {
	provider *oidctest.Provider
	url      string

	mu     sync.Mutex // guards bombed, away
	bombed string     // the end of a path that is answered with a bomb; "" is none
	away   bool       // connections break off
	bombs  int        // that were thrown
}

// wearBomb is 1 GiB of spaces in 1 MiB: one piece many times, as gzip lets pieces follow each other.
var wearBomb = sync.OnceValue(func() []byte {
	var piece bytes.Buffer
	w := gzip.NewWriter(&piece)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 16<<20))
	_ = w.Close()
	return bytes.Repeat(piece.Bytes(), 64)
})

func (f *wearFront) set(bombed string, away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bombed, f.away, f.bombs = bombed, away, 0
}

func (f *wearFront) thrown() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bombs
}

func newWearProvider(t *testing.T) (*lab, *wearFront) {
	t.Helper()
	f := &wearFront{}
	front := httptest.NewUnstartedServer(nil)
	f.url = "http://" + front.Listener.Addr().String()
	f.provider = oidctest.Start(t, oidctest.Config(func(c *idp.Config) { c.Issuer = f.url }))
	behind, err := url.Parse(f.provider.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	f.provider.Issuer = f.url
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(behind) }}
	front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		away, bomb := f.away, f.bombed != "" && strings.HasSuffix(r.URL.Path, f.bombed)
		if bomb {
			f.bombs++
		}
		f.mu.Unlock()
		switch {
		case away:
			panic(http.ErrAbortHandler)
		case bomb:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(wearBomb())
		default:
			through.ServeHTTP(w, r)
		}
	})
	front.Start()
	t.Cleanup(front.Close)
	f.set("/openid-configuration", false) // the first thing that is asked for
	l := newLab(t, setup{identity: fmt.Sprintf("  - oidc: { name: corp, issuer: %q, client_id: %s, client_secret_file: secret }\n", f.url, f.provider.ClientID),
		files: map[string]string{"secret": f.provider.ClientSecret, "app.password": "of the app\n"},
		routes: `  - match: { path: /public/ }
    public: true
    upstream: %[1]q
  - match: { path: /form/ }
    upstream: %[1]q
    upstream_auth: { form: { login: /login, user: "{user}", password_file: app.password } }
  - upstream: %[1]q
`})
	f.provider.ChangeClient(func(c *idp.Client) { c.RedirectURIs = []string{"https://" + l.host + "/.evergate/callback/corp"} })
	return l, f
}

// wearSignIn has alice sign in at the provider, and returns the last answer of the gateway and
// the cookies that came with it.
func (l *lab) wearSignIn(f *wearFront) (*reply, string) {
	l.t.Helper()
	r := l.get("/.evergate/login/corp?rd=/", "Accept: text/html")
	if r.StatusCode != http.StatusSeeOther {
		return r, ""
	}
	to := f.provider.SignIn(l.t, nil, r.Header.Get("Location"), "alice", oidctest.Alice.Password)
	r = l.get(to.RequestURI(), l.cookiesOf(r), "Accept: text/html")
	return r, l.cookiesOf(r)
}

// wearSignedIn does it once the gateway has good metadata, for which it asks again by itself, and
// returns the cookies.
func (l *lab) wearSignedIn(f *wearFront) string {
	l.t.Helper()
	var r *reply
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var cookie string
		if r, cookie = l.wearSignIn(f); r.StatusCode == http.StatusSeeOther {
			return cookie
		}
	}
	l.t.Fatalf("with good metadata: got %d %.300q", r.StatusCode, r.body)
	return ""
}

// wearIsPage fails the case unless the answer is an error page.
func (r *reply) wearIsPage(t *testing.T, what string) {
	t.Helper()
	if r.StatusCode < 400 || !strings.Contains(r.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%s: got %d %.200q, want an error page", what, r.StatusCode, r.body)
	}
}

func wearBombs(t *testing.T, l *lab) {
	f, there := wearProvider.wearFront, wearProvider.lab.of(t)
	var cookie string
	served := there.wearBeside(64, func() {
		r, _ := there.wearSignIn(f)
		r.wearIsPage(t, "the metadata are a bomb")
		if f.thrown() == 0 {
			t.Error("nobody asked for the metadata")
		}
		f.set("", false)
		cookie = there.wearSignedIn(f)
		for _, path := range []string{"/token", "/jwks"} {
			if path == "/jwks" { // they are kept, unless one is missing
				if err := f.provider.RotateKeys(); err != nil {
					t.Fatal(err)
				}
			}
			f.set(path, false)
			r, _ := there.wearSignIn(f)
			r.wearIsPage(t, path+" answers with a bomb")
			if f.thrown() == 0 {
				t.Errorf("nobody asked for %s", path)
			}
			f.set("", false)
			if r, _ := there.wearSignIn(f); r.StatusCode != http.StatusSeeOther {
				t.Errorf("after that of %s: got %d %.200q", path, r.StatusCode, r.body)
			}
		}
		f.provider.Turn(func(k *idp.Knobs) { k.HugeBody = true })
		r, _ = there.wearSignIn(f)
		r.wearIsPage(t, "a token answer of 4 MiB")
		f.provider.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} })
	})
	page := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: " + fmt.Sprint(len(wearBomb())) + "\r\n\r\n" + string(wearBomb())
	asked := false
	there.app.answers(t, func(g *got) string {
		switch g.URL.Path {
		case "/login":
			asked = true
			return page
		case "/form/":
			return answer(302, "Location: /login\r\n", "")
		}
		return echo(g)
	})
	served += there.wearBeside(64, func() {
		r := there.get("/form/", cookie, "Accept: text/html", "Accept-Encoding: gzip")
		r.wearIsPage(t, "the app's login form is a bomb")
	})
	if !asked {
		t.Error("nobody asked for the app's login form")
	}
	there.saw(traces{any: true, sessions: 3, app: served + 1})
	l.saw(traces{})
}

func wearOutage(t *testing.T, l *lab) {
	f, there := wearProvider.wearFront, wearProvider.lab.of(t)
	f.set("", false) // alone this begins where the metadata are a bomb
	cookie := there.wearSignedIn(f)
	f.set("", true)
	defer f.set("", false)
	there.get("/", cookie).status(t, 200) // the first use of a cookie may be noted
	before := there.wearStore()
	n, live, after := wearCount(t, "sign-ins begun", 2000, 100_000), 1, before
	served := there.wearBeside(64, func() {
		client := there.wearClient("127.0.0.97")
		defer client.CloseIdleConnections()
		wearInTurn(n, func(i int) {
			// As browsers do, and to ever new targets.
			status, err := there.wearGet(client, fmt.Sprintf("/.evergate/login/corp?rd=/%d", i), "Accept: text/html")
			if err != nil || status != http.StatusSeeOther && status != http.StatusServiceUnavailable {
				t.Errorf("%d: got %d %v, want to be sent to the provider, or 503", i, status, err)
			}
		})
		after = there.wearStore()
		for range 50 { // which settle the handle of alice, where all that took ten seconds
			there.get("/", cookie).status(t, 200)
			live++
		}
	})
	if after != before {
		t.Error("the store was written to for people who only began to sign in")
	}
	// Who comes back from the provider meanwhile is told.
	f.set("", false)
	r := there.get("/.evergate/login/corp?rd=/", "Accept: text/html")
	to := f.provider.SignIn(t, nil, r.Header.Get("Location"), "alice", oidctest.Alice.Password)
	f.set("", true)
	r = there.get(to.RequestURI(), there.cookiesOf(r), "Accept: text/html")
	r.status(t, http.StatusServiceUnavailable)
	there.saw(traces{any: true, sessions: 1, app: served + live})
	l.saw(traces{})
}

func wearExpired(t *testing.T, l *lab) {
	n := wearCount(t, "sessions that have ended", 20_000, 1_000_000)
	there := newLab(t, setup{})
	// The gateway makes its folder; then it is stopped, and its file filled behind its back.
	_ = there.cmd.Process.Signal(syscall.SIGTERM)
	<-there.ended
	store, err := bolt.Open(filepath.Join(there.dir, "data", "sessions.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, err := store.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries, data := make([]bolt.Entry, n), bytes.Repeat([]byte("d"), 1100)
	for i := range entries {
		for j := range 4 {
			entries[i].Key[j] = byte(i * 7919 >> (8 * j))
			entries[i].Key[4+j] = byte(i >> (8 * j))
		}
		entries[i].Record = session.Record{Version: 1, Expires: now.Add(-time.Hour + time.Duration(i)), Tags: []session.Tag{session.Tag(entries[i].Key)}, Data: data}
	}
	if err := store.Fill(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	there.program = start(t, there.dir, []string{"serve", "--config", there.config}, nil)
	there.awaitReady()
	t.Logf("open after %v", time.Since(began))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the gateway took %v to open", took)
	}
	own := there.of(t)
	own.before = own.marks()
	rounds := 3
	if wearFull { // the first sweep comes after a minute
		rounds = 100
	}
	var took wearTimes
	signedIn := 0
	served := own.wearBeside(256, func() {
		for range rounds {
			start := time.Now()
			own.signIn("alice")
			took.add(time.Since(start))
			signedIn++
			if wearFull {
				time.Sleep(time.Second)
			}
		}
		if got := len(own.sessions()); got != signedIn {
			t.Errorf("the operator is shown %d sessions, want %d", got, signedIn)
		}
	})
	if half := took.most(50); half > 3*time.Second {
		t.Errorf("half of the sign-ins took %v or longer", half)
	}
	t.Logf("%d sign-ins, %d requests beside", signedIn, served)
	own.unharmed()
	l.saw(traces{})
}

// wearLoop: the app is a relay to the gateway itself, as a wrong address in a front proxy makes one.
func wearLoop(t *testing.T, l *lab) {
	relay, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	there := newLab(t, setup{routes: fmt.Sprintf("  - match: { path: /public/ }\n    public: true\n    upstream: %%[1]q\n  - match: { path: /loop/ }\n    public: true\n    upstream: \"http://%s\"\n", relay.Addr())}).of(t)
	go func() {
		for {
			c, err := relay.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
				up, err := tls.DialWithDialer(d, "tcp", there.address, there.tlsConfig(gatewayHost, "http/1.1"))
				if err != nil {
					return
				}
				defer up.Close()
				go func() {
					_, _ = io.Copy(up, c)
					up.Close()
				}()
				_, _ = io.Copy(c, up)
			}()
		}
	}()
	served := 0
	for _, target := range []string{"/loop/x", "/loop/websocket"} {
		var r *reply
		lines, how := []string{"Accept: text/html"}, "close"
		if target == "/loop/websocket" {
			how = "Upgrade"
			lines = append(lines, "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: https://"+there.host)
		}
		served += there.wearBeside(64, func() {
			r = there.one(strings.Replace(there.request("GET", target, lines...), "Connection: close", "Connection: "+how, 1))
		})
		rounds := func() int { return strings.Count(there.out.from(there.before.log), `"path":"`+target+`"`) }
		r.status(t, http.StatusLoopDetected)
		// The first one, 16, and the one that is refused. Access lines are written beside.
		there.eventually(target+" comes 18 times", func() bool { return rounds() >= 18 })
		if n := rounds(); n != 18 {
			t.Errorf("%s came %d times, want 18", target, n)
		}
	}
	there.saw(traces{app: served})
	there.unharmed()
	l.saw(traces{})
}
