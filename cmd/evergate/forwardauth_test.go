//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// frontProxy asks the gateway of a process as a proxy in front does.
type frontProxy struct {
	t       *testing.T
	at      string // of forward_auth
	public  string
	dialect string
	client  *http.Client
}

// behindAFront is a gateway that a proxy in front asks.
func behindAFront(t *testing.T) (*lineage, *frontProxy) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	f := &frontProxy{t: t, at: "127.0.0.1:" + port, dialect: "traefik", client: &http.Client{Timeout: 20 * time.Second}}
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	l := newLineage(t, "http://127.0.0.1:9", "\nsession:", "\nforward_auth: { listen: \""+f.at+"\", dialect: traefik }\nsession:", "routes:\n  - upstream: http://127.0.0.1:9",
		"routes:\n  - name: all\n  - match: { path: /admin/ }\n    allow: [ groups: [admin] ]")
	f.public = l.base
	t.Cleanup(f.client.CloseIdleConnections)
	return l, f
}

// ask asks about a page, for somebody's browser.
func (f *frontProxy) ask(b *browser, path string) (*http.Response, string, error) {
	u, err := url.Parse(f.public)
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequest("GET", "http://"+f.at+"/.evergate/auth", nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "text/html")
	if f.dialect == "nginx" {
		req.Header["X-Original-URL"], req.Header["X-Original-Method"] = []string{f.public + path}, []string{"GET"}
	} else {
		for name, value := range map[string]string{"Method": "GET", "Proto": "http", "Host": u.Host, "Uri": path} {
			req.Header.Set("X-Forwarded-"+name, value)
		}
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.200")
	for _, c := range b.client.Jar.Cookies(u) {
		req.AddCookie(c)
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// want asks, and holds the answer against a status.
func (f *frontProxy) want(b *browser, path string, status int) *http.Response {
	f.t.Helper()
	res, body, err := f.ask(b, path)
	if err != nil {
		f.t.Fatal(err)
	}
	if res.StatusCode != status {
		f.t.Fatalf("%s: got %d %s, want %d", path, res.StatusCode, body, status)
	}
	return res
}

// TestForwardAuthOutlivesHandOvers, as the other listeners do: no question goes without an
// answer.
func TestForwardAuthOutlivesHandOvers(t *testing.T) {
	t.Parallel()
	l, f := behindAFront(t)
	b := newBrowser(t)
	if res := f.want(b, "/x", 302); res.Header.Get("Location") != l.base+"/.evergate/login?rd=%2Fx" {
		t.Errorf("got %s", res.Header.Get("Location"))
	}
	code, err := b.post(l.base, "/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/.evergate/ping"}})
	if err != nil || code == 401 {
		t.Fatal(code, err)
	}
	if res := f.want(b, "/x", 200); res.Header.Get("X-Forwarded-User") != "alice" || !strings.HasPrefix(res.Header.Get("Authorization"), "Bearer ey") {
		t.Errorf("got %v, want alice and her token", res.Header)
	}
	f.want(b, "/admin/", 403)
	for _, path := range []string{"/.evergate/auth", "/.evergate/auth/x"} { // a page's script could read the token there
		if code, err := b.get(t.Context(), l.base+path); err != nil || code != 404 {
			t.Errorf("%s on the public listener: got %d, %v, want 404", path, code, err)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	asked := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			res, body, err := f.ask(b, "/x")
			if err != nil || res.StatusCode != 200 && res.StatusCode != 303 {
				t.Errorf("during a hand-over: got %v %s, %v", res, body, err)
				return
			}
			asked++
		}
	})
	for range 3 {
		if ok, said := l.upgrade(); !ok {
			t.Fatalf("evergate upgrade: %s", said)
		}
		time.Sleep(200 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d questions over three hand-overs", asked)
	if !strings.Contains(l.said(), `"forward_auth":"`+f.at+`"`) {
		t.Errorf("the log does not say where it is asked:\n%s", l.said())
	}
}

// TestForwardAuthReloads: another dialect is taken, whether there is a socket is not.
func TestForwardAuthReloads(t *testing.T) {
	t.Parallel()
	l, f := behindAFront(t)
	b := newBrowser(t)
	reload := func(code int, says string) {
		t.Helper()
		var out bytes.Buffer
		if got := run([]string{"reload", "--config", l.file}, nil, &out, &out); got != code || !strings.Contains(out.String(), says) {
			t.Fatalf("evergate reload: got %d, %s\nwant %d and %s", got, out.String(), code, says)
		}
	}
	f.want(b, "/x", 302)
	l.edit("dialect: traefik", "dialect: nginx")
	reload(exitOK, "forward_auth.dialect")
	f.want(b, "/x", 403) // what it says is another dialect's
	f.dialect = "nginx"
	f.want(b, "/x", 401)
	l.edit("trusted_proxies: [127.0.0.1]", "trusted_proxies: [192.0.2.1]")
	reload(exitOK, "trusted_proxies")
	f.want(b, "/x", 403)
	l.edit("trusted_proxies: [192.0.2.1]", "trusted_proxies: [127.0.0.1]")
	reload(exitOK, "trusted_proxies")
	line := fmt.Sprintf("forward_auth: { listen: \"%s\", dialect: nginx }", f.at)
	l.edit(line, strings.Replace(line, f.at, "127.0.0.1:1", 1))
	reload(exitFailed, "forward_auth.listen: it has changed, and this needs a restart")
	l.edit(strings.Replace(line, f.at, "127.0.0.1:1", 1), line)
	l.edit("  - name: all", "  - name: all\n    upstream: http://127.0.0.1:9")
	l.edit("    allow: [ groups: [admin] ]", "    upstream: http://127.0.0.1:9")
	l.edit(line, "")
	reload(exitFailed, "there is a socket for it or there is none") // and nothing else is taken
	f.want(b, "/x", 401)
}
