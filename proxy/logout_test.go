package proxy_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

const (
	leaves  = "Set-Cookie: app=; Max-Age=0\nLocation: /bye\nX-App: yes\nContent-Length: 3\n\nbye"
	cleared = sid + "=; Path=/; Max-Age=0; HttpOnly; Secure"
)

// leaving is a gate whose route signs out at /logout and /w/out, and how often it did.
func leaving(t *testing.T, way *proxy.Upstream, fault error) (*gateway, *atomic.Int32) {
	t.Helper()
	ended := &atomic.Int32{}
	s := newSession()
	s.due = fresh
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t,
		&proxy.Route{LogoutPaths: []string{"/logout"}, Upstream: way},
		&proxy.Route{Path: "/open/", LogoutPaths: []string{"/open/logout"}, Policy: auth.Policy{Public: true}, Upstream: way}),
		SignOut: func(h http.Header, r *http.Request) (string, error) {
			if fault != nil {
				return "", fault
			}
			ended.Add(1)
			h.Add("Set-Cookie", cleared)
			h.Set("Clear-Site-Data", `"cache"`)
			return "https://login.test/end", nil
		}})
	return gw, ended
}

// clicks is what a browser says of a click on a link of the page.
var clicks = []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html"}

func with(lines []string, changed ...string) []string {
	var out []string
	for _, l := range lines {
		keep := true
		for _, c := range changed {
			name, _, _ := strings.Cut(c, ":")
			keep = keep && !strings.HasPrefix(l, name+":")
		}
		if keep {
			out = append(out, l)
		}
	}
	for _, c := range changed {
		if !strings.HasSuffix(c, ":") {
			out = append(out, c)
		}
	}
	return out
}

func TestWhoMeansToSignOut(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 302 Found\n"+leaves))
	script := with(clicks, "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: */*")
	older := with(clicks, "Sec-Fetch-Site:", "Sec-Fetch-Mode:", "Sec-Fetch-Dest:")
	for _, tt := range []struct {
		name, method, path string
		lines              []string
		ends               bool
	}{
		{"a link of the page", "GET", "/logout", clicks, true},
		{"with a query", "GET", "/logout?token=x", clicks, true},
		{"spelled in another way", "GET", "/%6Cogout", clicks, true},
		{"on a public route", "GET", "/open/logout", clicks, true},
		{"a form of the page", "POST", "/logout", clicks, true},
		{"a script of the page that posts", "POST", "/logout", script, true},
		{"an older browser: Referer", "GET", "/logout", with(older, "Referer: https://gw.test/x?y"), true},
		{"an older browser: Origin", "POST", "/logout", with(older, "Origin: https://gw.test"), true},
		{"another path", "GET", "/logout/", clicks, false},
		{"below it", "GET", "/logout/x", clicks, false},
		{"L-01 an image of another site", "GET", "/logout", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, false},
		{"L-01 an image in a page of the app", "GET", "/logout", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, false},
		{"a frame in a page of the app", "GET", "/logout", with(clicks, "Sec-Fetch-Dest: iframe"), false},
		{"a link of another site", "GET", "/logout", with(clicks, "Sec-Fetch-Site: cross-site"), false},
		{"a link of a sibling host", "GET", "/logout", with(clicks, "Sec-Fetch-Site: same-site"), false},
		{"a tab that is opened again", "GET", "/logout", with(clicks, "Sec-Fetch-Site: none"), false},
		{"a form of another site", "POST", "/logout", with(clicks, "Sec-Fetch-Site: cross-site", "Origin: https://evil.test"), false},
		{"a script that gets", "GET", "/logout", script, false},
		{"a link that is fetched ahead", "GET", "/logout", with(clicks, "Sec-Purpose: prefetch;prerender"), false},
		{"HEAD", "HEAD", "/logout", clicks, false},
		{"an older browser: nothing said", "GET", "/logout", older, false},
		{"an older browser: another site", "GET", "/logout", with(older, "Referer: https://evil.test/https://gw.test/"), false},
		{"an older browser: another scheme", "GET", "/logout", with(older, "Referer: http://gw.test/"), false},
		{"an older browser: a form of nobody", "POST", "/logout", with(older, "Origin: null", "Referer: https://gw.test/"), false},
		{"two answers about where", "GET", "/logout", append(with(clicks), "Sec-Fetch-Site: cross-site"), false},
		{"a program", "GET", "/logout", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw, ended := leaving(t, newWay(t, proxy.UpstreamOptions{Target: up.addr}), nil)
			lines := append(with(tt.lines), "Cookie: "+sid+"=alice", "Content-Length: 0")
			a := gw.send(t, request(tt.method, tt.path, lines...))
			if got := ended.Load() == 1; got != tt.ends || ended.Load() > 1 {
				t.Errorf("got %d sign-outs, want %v", ended.Load(), tt.ends)
			}
			if sent := up.last(t); !strings.HasPrefix(sent, tt.method) || len(header(sent, "Authorization")) != 1 {
				t.Errorf("the app got %.80q, want it asked first, as ever", sent)
			}
			cookies := a.Header.Values("Set-Cookie")
			switch isScript := len(tt.lines) > 1 && strings.HasSuffix(tt.lines[len(tt.lines)-1], "*/*"); {
			case !tt.ends:
				if a.StatusCode != 302 || a.Header.Get("X-App") != "yes" || strings.Join(cookies, "\n") != "app=; Max-Age=0\n"+fresh {
					t.Errorf("got %d %v, want the app's answer", a.StatusCode, a.Header)
				}
			case isScript:
				if a.StatusCode != 302 || a.body != "bye" || strings.Join(cookies, "\n") != "app=; Max-Age=0\n"+cleared || a.Header.Get("Cache-Control") != "private, no-store" {
					t.Errorf("got %d %q %v, want the app's answer and no session", a.StatusCode, a.body, a.Header)
				}
			default:
				if a.StatusCode != 303 || a.Header.Get("Location") != "https://login.test/end" || a.body != "" || a.Header.Get("X-App") != "" ||
					strings.Join(cookies, "\n") != "app=; Max-Age=0\n"+cleared || a.Header.Get("Clear-Site-Data") != `"cache"` || a.Header.Get("X-Request-Id") == "" {
					t.Errorf("got %d %q %v, want to be sent on, without the app's session and ours", a.StatusCode, a.body, a.Header)
				}
			}
			if n := gw.note(t); (n.Decision == "signed-out") != tt.ends {
				t.Errorf("the access line says %q", n.Decision)
			}
		})
	}
}

// TestSignOutOfAnAppInTrouble: whatever the app answers, or does not, nobody who signed
// out is still signed in.
func TestSignOutOfAnAppInTrouble(t *testing.T) {
	dead := strings.TrimPrefix(refuses(t).URL, "http://")
	failing := newUpstream(t, says("HTTP/1.1 500 Internal Server Error\nContent-Length: 4\n\noops"))
	for name, addr := range map[string]string{"dead": dead, "failing": failing.addr} {
		gw, ended := leaving(t, newWay(t, proxy.UpstreamOptions{Target: addr}), nil)
		a := gw.send(t, get("/logout", clicks...))
		if a.StatusCode != 303 || a.Header.Get("Location") != "https://login.test/end" || a.Header.Get("Set-Cookie") != cleared || ended.Load() != 1 {
			t.Errorf("%s: got %d %v after %d sign-outs", name, a.StatusCode, a.Header, ended.Load())
		}
		a = gw.send(t, request("POST", "/logout", "Cookie: "+sid+"=alice", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Content-Length: 0"))
		if a.StatusCode < 500 || a.Header.Get("Set-Cookie") != cleared || ended.Load() != 2 {
			t.Errorf("%s, by a script: got %d %v after %d sign-outs", name, a.StatusCode, a.Header, ended.Load())
		}
	}
}

// TestSignOutOfWhoHasGone: the person closes the window before the app answers.
func TestSignOutOfWhoHasGone(t *testing.T) {
	reached := make(chan struct{}, 1)
	up := newUpstream(t, func(conn net.Conn, r *http.Request) {
		reached <- struct{}{}
		_, _ = conn.Read(make([]byte, 1)) // until the gateway hangs up
	})
	gw, ended := leaving(t, newWay(t, proxy.UpstreamOptions{Target: up.addr}), nil)
	ctx, cancel := context.WithCancel(t.Context())
	req := gw.request(t, "GET", "/logout", nil).WithContext(ctx)
	req.Host = "gw.test"
	for _, l := range clicks {
		name, value, _ := strings.Cut(l, ": ")
		req.Header.Set(name, value)
	}
	go func() { <-reached; cancel() }()
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	until(t, "the session has ended", func() bool { return ended.Load() == 1 })
}

// TestSignOutThatDoesNotHappen is said aloud, with what the app did to its own cookies:
// the session lives, and its handle is delivered as ever.
func TestSignOutThatDoesNotHappen(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 302 Found\n"+leaves))
	gw, _ := leaving(t, newWay(t, proxy.UpstreamOptions{Target: up.addr}), &web.Error{Status: 503, Title: "Error: You are still signed in"})
	a := gw.send(t, get("/logout", clicks...))
	if a.StatusCode != 503 || !strings.Contains(a.body, "You are still signed in") || strings.Join(a.Header.Values("Set-Cookie"), "\n") != fresh+"\napp=; Max-Age=0" {
		t.Errorf("got %d %v %s", a.StatusCode, a.Header, a.body)
	}
}

// TestSignOutOfNobody: their session was over. They are not asked to sign in for it.
func TestSignOutOfNobody(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw, ended := leaving(t, newWay(t, proxy.UpstreamOptions{Target: up.addr}), nil)
	for _, method := range []string{"GET", "POST"} {
		a := gw.send(t, request(method, "/logout", append(with(clicks), "Content-Length: 0")...))
		if a.StatusCode != 303 || a.Header.Get("Location") != "/.evergate/logout" {
			t.Errorf("%s: got %d %v, want the page that says so", method, a.StatusCode, a.Header)
		}
	}
	if a := gw.send(t, request("GET", "/logout", "Accept: */*")); a.StatusCode != 401 {
		t.Errorf("a program: got %d, want 401", a.StatusCode)
	}
	if len(up.requests()) != 0 || ended.Load() != 0 {
		t.Error("something was done for nobody")
	}
}

func TestLogoutPathsThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		routes []*proxy.Route
		want   string
	}{
		{[]*proxy.Route{{LogoutPaths: []string{"/a?b"}}}, "routes[0].logout_paths[0]"},
		{[]*proxy.Route{{LogoutPaths: []string{"/ok", "/*/out"}}}, "routes[0].logout_paths[1]"},
		{[]*proxy.Route{{LogoutPaths: []string{"/.evergate/logout"}}}, "is the gateway's own"},
		{[]*proxy.Route{{Path: "/w/", LogoutPaths: []string{"/logout"}}}, "no request for \"/logout\" comes to this route"},
		{[]*proxy.Route{{LogoutPaths: []string{"/x/logout"}}, {Path: "/x/"}}, "routes[0].logout_paths[0]: no request"},
		{[]*proxy.Route{{Host: "*.gw.test", LogoutPaths: []string{"/out"}}}, ""},
		{[]*proxy.Route{{Host: "gw.test", Path: "/out", Methods: []string{"POST"}, LogoutPaths: []string{"/out"}}, {}}, ""},
	} {
		_, err := proxy.NewRouter(tt.routes)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
