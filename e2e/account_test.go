package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/net/websocket"
)

const firefoxOnWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// openSocket opens a WebSocket of the page, and notes when it is closed.
const openSocket = `new Promise((done) => { const w = window.socket = new WebSocket("ws://" + location.host + "/socket"); window.socketClosed = 0;
	w.onopen = () => w.send("hello"); w.onmessage = (e) => done(e.data); w.onclose = () => { window.socketClosed = Date.now(); done("closed") } })`

// lastPost is when a gateway answered what was last posted to path and was good, by its log.
func lastPost(log, path string) (at time.Time) {
	for line := range strings.Lines(log) {
		var l struct {
			Time         time.Time
			Method, Path string
			Status       int
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Method == http.MethodPost && l.Path == path && l.Status < 400 {
			at = l.Time
		}
	}
	return at
}

// TestAccountInTwoBrowsers: a person sees both of their devices in words, signs one out on
// the other, and changes their password on one, which the other has to know to go on.
func TestAccountInTwoBrowsers(t *testing.T) {
	t.Parallel()
	ended := make(chan time.Time, 8) // sockets of the other device
	socket := websocket.Server{Handler: func(c *websocket.Conn) {
		_, _ = io.Copy(c, c)
		if c.Request().UserAgent() == firefoxOnWindows {
			ended <- time.Now()
		}
	}}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" {
			socket.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p>`, r.Header.Get("X-Forwarded-User"))
	}))
	t.Cleanup(app.Close)
	dir, port := t.TempDir(), freePort(t)
	public := "http://localhost:" + port
	config := writeFile(t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
data_dir: data
admin: { listen: 127.0.0.1:%s }
identity: [ local: { users_file: users.yaml } ]
routes: [{ upstream: %q }]
`, port, public, freePort(t), app.URL))
	writeFile(t, dir, "users.yaml", "# Our people.\nusers: {}\n")
	const first, second = "correct horse battery staple", "what nobody would think of"
	evergate(t, dir, first+"\n", "user", "add", "--config", config, "--password-stdin", "alice")
	gateway := start(t, dir, binary, "serve", "--config", config)
	gateway.awaitHTTP(t, public+"/.evergate/ping")

	home := newBrowser(t)
	desk, account, away := home.tab(), home.tab(), newBrowser(t, chromedp.UserAgent(firefoxOnWindows)).tab()
	for _, p := range []*tab{desk, away} {
		p.open(public + "/")
		p.signIn("alice", first)
		p.until("the app", patience, atHome)
		if got := eval[string](p, openSocket); got != "hello" {
			t.Fatalf("the WebSocket says %q", got)
		}
	}
	closedBy := func(p *tab, path string) {
		t.Helper()
		p.until("the other device's WebSocket is closed", patience, "window.socketClosed")
		var answered time.Time
		await(t, "the log has the answer", func() bool {
			answered = lastPost(gateway.stderr.String(), path)
			return !answered.IsZero()
		})
		// The gateway and this test go by one clock.
		if took := (<-ended).Sub(answered); took > time.Second {
			t.Errorf("the other device's WebSocket was closed %v after the answer to %s, want a second at the latest", took, path)
		}
	}

	account.open(public + "/.evergate/account")
	account.until("both devices, in words", patience, `document.title.startsWith("Your account") && document.querySelectorAll(".devices li").length == 2`)
	account.everyLook("account")
	list := account.text(".devices")
	for _, want := range []string{"Chrome on Linux", "This device", "Firefox on Windows", "127.0.0.1"} {
		if !strings.Contains(list, want) {
			t.Errorf("there is no %q among the devices: %s", want, list)
		}
	}
	account.click(`button[aria-label*="Firefox on Windows"]`)
	account.until("it says so", patience, `document.body.innerText.includes("That device is signed out.")`)
	closedBy(away, "/.evergate/account/signout")
	away.open(public + "/")
	away.until("the other device has to sign in", patience, atSignIn)
	if eval[float64](desk, "window.socketClosed") != 0 {
		t.Error("this device's WebSocket was closed too")
	}

	away.signIn("alice", first)
	away.until("signed in again", patience, atHome)
	if got := eval[string](away, openSocket); got != "hello" {
		t.Fatalf("the WebSocket says %q", got)
	}
	account.open(public + "/.evergate/account/password")
	account.everyLook("account-password")
	account.fill("#current", "something else entirely")
	account.fill("#new", second)
	account.fill("#again", second)
	account.click("button[type=submit]")
	account.until("a wrong one is told", patience, alerted+`?.innerText.includes("current password is wrong")`)
	account.everyLook("account-password-wrong")
	account.fill("#current", first)
	account.fill("#new", second)
	account.fill("#again", second)
	account.click("button[type=submit]")
	account.until("it is changed, and this device goes on", patience, `document.body.innerText.includes("Your password is changed.")`)
	closedBy(away, "/.evergate/account/password")
	away.open(public + "/")
	away.until("the other device has to sign in", patience, atSignIn)
	away.signIn("alice", first)
	away.until("the old password is no good", patience, alerted)
	desk.open(public + "/")
	desk.until("this device is signed in", patience, atHome)
	if got := eval[string](desk, openSocket); got != "hello" {
		t.Errorf("with the new session the WebSocket says %q", got)
	}
	other := newBrowser(t).tab()
	other.open(public + "/")
	other.signIn("alice", second)
	other.until("the new password is good", patience, atHome)

	account.open(public + "/.evergate/account")
	account.click(`input[value=all] ~ button`)
	account.until("signed out everywhere", patience, `document.title.startsWith("Signed out")`)
	for _, p := range []*tab{desk, other} {
		p.open(public + "/")
		p.until("signed out here too", patience, atSignIn)
	}
	account.faultless("status of 403")

	users, err := os.ReadFile(filepath.Join(dir, "users.yaml"))
	if err != nil || !strings.HasPrefix(string(users), "# Our people.\n") {
		t.Errorf("got the users file %q, %v", users, err)
	}
	logged := gateway.stdout.String() + gateway.stderr.String()
	for _, secret := range []string{first, second, "something else entirely", "$argon2id"} {
		if strings.Contains(logged, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	if !strings.Contains(logged, "password.changed") || !strings.Contains(logged, "by_person") {
		t.Errorf("the log tells of neither:\n%s", logged)
	}
}
