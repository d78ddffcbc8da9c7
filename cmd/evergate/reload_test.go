//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/config"
)

// edit changes the config file: what is old to what is new, and so on, all at once.
func (p *process) edit(oldNew ...string) {
	p.Helper()
	b, err := os.ReadFile(p.file)
	if err != nil {
		p.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			p.Fatalf("%q is not in\n%s", oldNew[i], text)
		}
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

// admin asks the admin listener.
func (p *process) admin(path string) (int, string) {
	p.Helper()
	cfg, err := config.Load(p.file)
	if err == nil {
		p.adminAt = cfg.Admin.Listen
	}
	res, err := http.Get("http://" + p.adminAt + path)
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// header is what the route sets on answers.
func (p *process) header(b *browser) string {
	p.Helper()
	res, err := b.client.Get(p.base + "/")
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != 200 {
		p.Fatalf("got %d, want 200", res.StatusCode)
	}
	return res.Header.Get("X-Edition")
}

func (p *process) within(what string, so func() bool) {
	p.Helper()
	// Long enough to tell what takes its time on a busy machine from what never comes.
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
	}
	p.Fatalf("not within a minute: %s\n%s", what, p.out.String())
}

// toldAt is when the gateway wrote a line with text in it, which may be seen later.
func (p *process) toldAt(text string) (at time.Time) {
	p.Helper()
	p.within("in the log: "+text, func() bool {
		for line := range strings.Lines(p.out.String()) {
			var said struct{ Time time.Time }
			if strings.Contains(line, text) && json.Unmarshal([]byte(line), &said) == nil {
				at = said.Time
			}
		}
		return !at.IsZero()
	})
	return at
}

// TestReload: by a signal, by the command, and by the file itself; a bad file changes
// nothing and is told in the log, in /readyz, by a metric and to whoever asked; and then
// it is mended.
func TestReload(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	for _, by := range []string{"signal", "command", "file"} {
		t.Run(by, func(t *testing.T) {
			p := newProcess(t, app.URL)
			p.edit("routes:\n  - upstream", "routes:\n  - response_headers: { set: { X-Edition: one } }\n    upstream")
			p.start()
			defer p.kill()
			b := newBrowser(t)
			signInAgain(t, p, b)
			if got := p.header(b); got != "one" {
				t.Fatalf("got edition %q, want one", got)
			}
			reload := func(good bool, says string) {
				t.Helper()
				switch by {
				case "signal":
					if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
						t.Fatal(err)
					}
				case "command":
					var out bytes.Buffer
					code := run([]string{"reload", "--config", p.file}, nil, &out, &out)
					if (code == exitOK) != good || !strings.Contains(out.String(), says) {
						t.Errorf("evergate reload: got exit code %d, %s\nwant %s", code, out.String(), says)
					}
				}
			}

			p.edit("X-Edition: one", "X-Edition: two")
			reload(true, "routes[0].response_headers.set")
			p.within("the second edition", func() bool { return p.header(b) == "two" })

			// Good YAML, known keys, and still no config: the rest of it is not taken either.
			p.edit("X-Edition: two", "X-Edition: three", "listen: 127.0.0.1", "listen: 127.0.0.2")
			reload(false, "needs a restart")
			p.within("the word that it is bad", func() bool {
				code, ready := p.admin("/readyz")
				return code == 200 && strings.Contains(ready, `"ready":true`) && strings.Contains(ready, "evergate.yaml:1:9: listen: it has changed, and this needs a restart")
			})
			if got := p.header(b); got != "two" {
				t.Errorf("with a bad file: got edition %q, want two still", got)
			}
			p.within("the metrics and the log that say so", func() bool {
				_, m := p.admin("/metrics")
				log := p.out.String() // where the file's own look may have told it too
				return strings.Count(log, `"event":"config.bad","reason":"`+by+`"`) == 1 && strings.Contains(m, "evergate_config_last_reload_successful 0\n") &&
					metric(t, m, `evergate_config_reloads_total{outcome="rejected"}`) == strings.Count(log, `"event":"config.bad"`)
			})

			p.edit("listen: 127.0.0.2", "listen: 127.0.0.1")
			reload(true, "routes[0].response_headers.set")
			p.within("the third edition", func() bool { return p.header(b) == "three" })
			p.within("the word that it is good", func() bool {
				_, ready := p.admin("/readyz")
				return strings.Contains(ready, `"config":{"ok":true}`)
			})
			p.within("the metrics that say so", func() bool {
				_, m := p.admin("/metrics")
				return strings.Contains(m, "evergate_config_last_reload_successful 1\n")
			})
		})
	}
}

// TestReloadOfABrokenFile: half a file and no file.
func TestReloadOfABrokenFile(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	p.start()
	defer p.kill()
	b := newBrowser(t)
	signInAgain(t, p, b)
	_, _ = p.admin("/livez") // learns the address
	good, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says string
		do   func() error
	}{
		{"public_url", func() error { return os.WriteFile(p.file, good[:20], 0o600) }},
		{"no such file", func() error { return os.Remove(p.file) }},
		{"not YAML", func() error { return os.WriteFile(p.file, []byte("routes: ["), 0o600) }},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.within("in /readyz: "+c.says, func() bool {
			code, ready := p.admin("/readyz")
			return code == 200 && strings.Contains(ready, c.says)
		})
		if code, err := b.get(t.Context(), p.base); err != nil || code != 200 {
			t.Errorf("%s: got %d, %v, want the app", c.says, code, err)
		}
	}
}

// TestReloadOfNoGateway: the command says so.
func TestReloadOfNoGateway(t *testing.T) {
	t.Parallel()
	p := newProcess(t, "http://127.0.0.1:9")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(p.file), "evergate-data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := makeAdminToken(filepath.Join(filepath.Dir(p.file), "evergate-data")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"reload", "upgrade"} {
		var out bytes.Buffer
		if code := run([]string{command, "--config", p.file}, nil, &out, &out); code != exitFailed || !strings.Contains(out.String(), "is the gateway running") {
			t.Errorf("%s: got exit code %d, %s", command, code, out.String())
		}
	}
}

// TestReloadKeepsStreams: they go on, but those whose people may no longer use the route
// are closed within a second.
func TestReloadKeepsStreams(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	p.start()
	defer p.kill()
	b := newBrowser(t)
	signInAgain(t, p, b)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, strings.Replace(p.base, "http", "ws", 1)+"/socket", &websocket.DialOptions{HTTPClient: &http.Client{Jar: b.client.Jar}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	say := func() error {
		if err := socket.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
			return err
		}
		_, _, err := socket.Read(ctx)
		return err
	}
	reload := func() {
		t.Helper()
		var out bytes.Buffer
		if code := run([]string{"reload", "--config", p.file}, nil, &out, &out); code != exitOK {
			t.Fatal(out.String())
		}
	}
	for _, edit := range [][2]string{
		{"- upstream:", "- allow: [ users: [alice] ]\n    upstream:"},                                    // they may
		{app.URL, "http://127.0.0.1:9"},                                                                  // another upstream
		{"- allow:", "- match: { path: /elsewhere/ }\n    allow:"},                                       // its route is gone
		{"- match: { path: /elsewhere/ }\n    allow: [ users: [alice] ]", "- allow: [ users: [alice] ]"}, // and back
	} {
		p.edit(edit[0], edit[1])
		reload()
		if err := say(); err != nil {
			t.Fatalf("after %q: %v", edit[1], err)
		}
	}
	p.edit("[alice]", "[bob]")
	reload()
	_, _, err = socket.Read(ctx)
	took := p.toldAt(`"path":"/socket"`).Sub(p.toldAt(`"changed":["routes[0].allow[0].users[0]"]`))
	if websocket.CloseStatus(err) != 4401 || took > time.Second {
		t.Errorf("for bob alone: got %v after %v, want close code 4401 within a second", err, took)
	}
}

// TestReloadKeepsWhatDidNotChange: connections to an upstream, and what is known of a
// target, outlive a reload that does not concern them.
func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	t.Parallel()
	var connections, healths atomic.Int32
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			healths.Add(1)
		}
		_, _ = io.WriteString(w, "app")
	}))
	app.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	app.Start()
	defer app.Close()
	p := newProcess(t, app.URL)
	p.start()
	defer p.kill()
	b := newBrowser(t)
	signInAgain(t, p, b)
	before := connections.Load()
	for i := range 5 {
		p.edit("session: { rotation_grace: 1s", fmt.Sprintf("session: { idle_timeout: %dh, rotation_grace: 1s", i+5))
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.within("the reload", func() bool {
			return strings.Count(p.out.String(), `"event":"config.reloaded","reason":"signal"`) == i+1
		})
		p.edit(fmt.Sprintf("idle_timeout: %dh, ", i+5), "")
		if code, err := b.get(t.Context(), p.base); err != nil || code != 200 {
			t.Fatalf("got %d, %v, want the app", code, err)
		}
	}
	if got := connections.Load(); got != before {
		t.Errorf("got %d connections to the upstream after reloads that do not concern it, want %d still", got, before)
	}
	p.edit("- upstream: "+app.URL, "- upstream: { targets: ["+app.URL+"], health: { path: /health, interval: 1s } }")
	p.within("a health check", func() bool { return healths.Load() > 0 })
	p.edit("- upstream: { targets: ["+app.URL+"], health: { path: /health, interval: 1s } }", "- upstream: "+app.URL)
	p.within("the end of health checks", func() bool {
		n := healths.Load()
		time.Sleep(1500 * time.Millisecond)
		return healths.Load() == n
	})
}
