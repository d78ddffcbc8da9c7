package proxy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// rewritten is a gateway before an app that answers with what it was asked for.
func rewritten(t *testing.T, route proxy.Route, o proxy.UpstreamOptions) *gateway {
	t.Helper()
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s prefix=%s host=%s", r.RequestURI, strings.Join(r.Header["X-Forwarded-Prefix"], "|"), r.Host)
	})
	o.Target = a.url()
	route.Upstream = newWay(t, o)
	return newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &route)})
}

func TestPrefixes(t *testing.T) {
	strip := proxy.Rewrite{StripPrefix: "/w"}
	add := proxy.Rewrite{AddPrefix: "/app"}
	both := proxy.Rewrite{StripPrefix: "/w", AddPrefix: "/app"}
	for _, tt := range []struct {
		name         string
		match        string
		rewrite      proxy.Rewrite
		chars        proxy.PathChars
		target, want string // want "" is 400
	}{
		{"taken off", "/w/", strip, 0, "/w/a/b", "/a/b"},
		{"the folder is the root", "/w/", strip, 0, "/w/", "/"},
		{"the folder without its slash is the root too", "/w", strip, 0, "/w", "/"},
		{"put in front", "/", add, 0, "/a", "/app/a"},
		{"the root is the folder", "/", add, 0, "/", "/app/"},
		{"one for the other", "/w/", both, 0, "/w/a", "/app/a"},
		{"a folder stays one", "/w/", both, 0, "/w/", "/app/"},
		{"what is no folder stays none", "/w", both, 0, "/w", "/app"},
		{"taken off once", "/w/", strip, 0, "/w/w/w/a", "/w/w/a"},
		{"a longer rule", "/w/x/", strip, 0, "/w/x/a", "/x/a"},
		{"the prefix in escapes is the prefix", "/w/", strip, 0, "/%77/a", "/a"},
		{"a prefix in UTF-8", "/büro/", proxy.Rewrite{StripPrefix: "/büro", AddPrefix: "/é"}, 0, "/b%c3%bcro/a", "/%C3%A9/a"},
		{"the query goes up byte for byte", "/w/", both, 0, "/w/a?x=%2e%2e/&/w/;%zz?", "/app/a?x=%2e%2e/&/w/;%zz?"},
		{"an empty query stays", "/w/", both, 0, "/w/a?", "/app/a?"},
		{"escapes stay", "/w/", both, 0, "/w/a%20b%25", "/app/a%20b%25"},
		{"an encoded slash where allowed", "/w/", both, proxy.EncodedSlash, "/w/a%2fb", "/app/a%2Fb"},
		{"a parameter where allowed", "/w/", both, proxy.Semicolon, "/w/a;b", "/app/a;b"},

		{"CVE-2026-40912 dots", "/w/", both, every, "/w/../admin", ""},
		{"CVE-2026-48020 encoded dots", "/w/", both, every, "/w/%2e%2e/admin", ""},
		{"CVE-2025-47952 dots behind an encoded slash", "/w/", both, every, "/w/a%2f..%2f../admin", ""},
		{"dots right behind the prefix, with an encoded slash", "/w/", both, every, "/w/..%2fadmin", ""},
		{"dots with a parameter", "/w/", both, every, "/w/..;/admin", ""},
		{"doubly encoded dots", "/w/", both, every, "/w/%252e%252e/admin", ""},
		{"overlong UTF-8", "/w/", both, every, "/w/%c0%ae%c0%ae/admin", ""},
		{"full-width dots", "/w/", both, every, "/w/%ef%bc%8e%ef%bc%8e/admin", ""},
		{"a backslash", "/w/", both, every, "/w/%5c..%5cadmin", ""},
		{"two slashes would name a host", "/w/", strip, every, "/w//evil.test/", ""},
		{"an encoded slash would name one", "/w/", strip, every, "/w/%2fevil.test/", ""},
		{"two encoded slashes would", "/w/", strip, every, "/w/%2f%2fevil.test/", ""},
		{"a doubly encoded slash would", "/w/", strip, every, "/w/%252fevil.test/", ""},
		{"a parameter that hides a slash would", "/w/", strip, every, "/w/;a/evil.test/", ""},
		{"two slashes behind an added prefix name none", "/w/", both, every, "/w//a", "/app//a"},
		{"the gateway's own folder is not asked of an app", "/w/", strip, 0, "/w/.evergate/logout", ""},
		{"in no case", "/w/", strip, 0, "/w/.EverGate/x", ""},
		{"in no reading", "/w/", strip, every, "/w/.evergate%2flogout", ""},
		{"below an added prefix it is the app's", "/w/", both, 0, "/w/.evergate/x", "/app/.evergate/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := rewritten(t, proxy.Route{Path: tt.match, Rewrite: tt.rewrite, PathChars: tt.chars, PassHeaders: []string{"X-Forwarded-Prefix"}}, proxy.UpstreamOptions{})
			res := gw.send(t, get(tt.target, "X-Forwarded-Prefix: /evil", "X_Forwarded_Prefix: /evil"))
			if tt.want == "" {
				if res.StatusCode != http.StatusBadRequest {
					t.Errorf("got %d %q, want 400", res.StatusCode, res.body)
				}
				return
			}
			prefix := (&url.URL{Path: tt.rewrite.StripPrefix}).EscapedPath()
			if want := tt.want + " prefix=" + prefix + " host=gw.test"; res.body != want {
				t.Errorf("got %d %q, want %q", res.StatusCode, res.body, want)
			}
		})
	}
}

func TestRewritesThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		match   string
		rewrite proxy.Rewrite
		want    string
	}{
		{"/w/", proxy.Rewrite{StripPrefix: "w"}, `routes[0].strip_prefix: "w" does not start with a slash`},
		{"/w/", proxy.Rewrite{StripPrefix: "/w/"}, `routes[0].strip_prefix: "/w/" ends in a slash; write it without`},
		{"/w/", proxy.Rewrite{AddPrefix: "/"}, `routes[0].add_prefix: "/" ends in a slash; write it without`},
		{"/w/", proxy.Rewrite{AddPrefix: "/a/../b"}, `routes[0].add_prefix: "/a/../b" cannot be matched: it holds a dot segment`},
		{"/w/", proxy.Rewrite{AddPrefix: "/a;b"}, `routes[0].add_prefix: "/a;b" holds an empty segment, a parameter or an encoded slash`},
		{"/w/", proxy.Rewrite{AddPrefix: "/a?b"}, `routes[0].add_prefix: "/a?b" holds a query or a fragment`},
		{"/w/", proxy.Rewrite{AddPrefix: "/.evergate/x"}, `routes[0].add_prefix: "/.evergate/x" is the gateway's own`},
		{"/*/", proxy.Rewrite{StripPrefix: "/*"}, `routes[0].strip_prefix: "/*" holds a *; a prefix is one path`},
		{"/", proxy.Rewrite{StripPrefix: "/w"}, `routes[0].strip_prefix: the route's path / is not under /w, so requests could come without it; write match.path: /w/`},
		{"/wiki/", proxy.Rewrite{StripPrefix: "/w"}, `routes[0].strip_prefix: the route's path /wiki/ is not under /w`},
	} {
		_, err := proxy.NewRouter([]*proxy.Route{{Path: tt.match, Rewrite: tt.rewrite}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %+v: got %v, want %s", tt.match, tt.rewrite, err, tt.want)
		}
	}
}

func TestHostSent(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    proxy.UpstreamOptions
		want string // "" is the target's
	}{
		{"the browser's", proxy.UpstreamOptions{}, "gw.test"},
		{"a name", proxy.UpstreamOptions{Host: "inside.test:81"}, "inside.test:81"},
		{"the target's", proxy.UpstreamOptions{TargetHost: true}, ""},
	} {
		up, one := newUpstream(t, saysOK), newUpstream(t, saysOK)
		tt.o.Targets = []proxy.TargetOptions{{URL: "http://" + up.addr}, {URL: "http://" + one.addr}}
		tt.o.Balance = proxy.RoundRobin
		way, err := proxy.NewUpstream(tt.o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(way.Close)
		gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Upstream: way})})
		for range 2 {
			gw.send(t, get("/"))
		}
		for _, u := range []*upstream{up, one} {
			want := tt.want
			if want == "" {
				want = u.addr
			}
			raw := u.last(t)
			if got := header(raw, "Host"); len(got) != 1 || got[0] != want {
				t.Errorf("%s: Host: got %q, want %q", tt.name, got, want)
			}
			if got := header(raw, "X-Forwarded-Host"); len(got) != 1 || got[0] != "gw.test" {
				t.Errorf("%s: X-Forwarded-Host: got %q, want gw.test", tt.name, got)
			}
		}
	}
}

func TestWebSocketsBelowAPrefix(t *testing.T) {
	asked := make(chan string, 1)
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI + " " + r.Header.Get("X-Forwarded-Prefix")
		echo(w, r)
	})
	way := newWay(t, proxy.UpstreamOptions{Target: a.url(), TargetHost: true})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Path: "/w/", Upstream: way,
		Rewrite: proxy.Rewrite{StripPrefix: "/w", AddPrefix: "/app"}})})
	res := gw.send(t, get("/w/socket?x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %d %s, want 101", res.StatusCode, res.body)
	}
	if got := <-asked; got != "/app/socket?x /w" {
		t.Errorf("got %q, want /app/socket?x /w", got)
	}
}

// TestRetriesKeepTheirPath: a request that goes to another target has the same path
// and that target's host there.
func TestRetriesKeepTheirPath(t *testing.T) {
	gone, there := newApp(t, nil), newApp(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.RequestURI) })
	gone.kill()
	way := newWay(t, proxy.UpstreamOptions{Target: gone.url(), Targets: targets(there), Retries: 1, TargetHost: true, Balance: proxy.RoundRobin})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Path: "/w/", Upstream: way,
		Rewrite: proxy.Rewrite{StripPrefix: "/w"}})})
	for range 3 {
		if res := gw.send(t, get("/w/a")); res.body != there.addr+"/a" {
			t.Errorf("got %d %q, want %s/a", res.StatusCode, res.body, there.addr)
		}
	}
}

func TestPathRules(t *testing.T) {
	for _, tt := range []struct {
		name         string
		pattern, to  string
		chars        proxy.PathChars
		target, want string // want "" is 400
	}{
		{"a group", "^/old/(.*)$", "/new/$1", 0, "/old/a/b?q=/old/", "/new/a/b?q=/old/"},
		{"what does not match goes up as it is", "^/old/(.*)$", "/new/$1", 0, "/other/a", "/other/a"},
		{"it holds for the whole path, anchored or not", "/old", "/new", 0, "/old/a", "/old/a"},
		{"each of two alternatives does", "^/a|/b$", "/new", 0, "/x/b", "/x/b"},
		{"not for the query", "^/old/.*x$", "/new", 0, "/old/?x", "/old/?x"},
		{"two groups, by name and number", "^/(?P<lang>[a-z]{2})/(.*)$", "/${2}/${lang}1$$", 0, "/de/a", "/a/de1$"},
		{"a letter behind a number is text", "^/(a)/(b)$", "/$2x$1", 0, "/a/b", "/bxa"},
		{"a group that was not there", "^/a(/b)?$", "/x$1", 0, "/a", "/x"},
		{"it sees the canonical path", "^/b%C3%BCro/(.*)$", "/é/$1", 0, "/%62%c3%bcro/%7e", "/%C3%A9/~"},
		{"an escape is no slash", "^/a/([^/]*)$", "/x/$1", proxy.EncodedSlash, "/a/b%2fc", "/x/b%2Fc"},

		{"dots out of pieces", "^/a/(.)/(.)/(.*)$", "/x/$1$2/$3", every, "/a/.b/./c", ""},
		{"dots out of two names", "^/(.*)-(.*)$", "/x/.$1$2/y", 0, "/-.", ""},
		{"an escape out of pieces", "^/(%25)-(2e)$", "/x/$1$2$1$2", every, "/%25-2e", ""},
		{"an escaped dot out of pieces", "^/(.)(..)-(..)$", "/x/$1$3", 0, "/%20-2e", ""},
		{"a piece of an escape", "^/(%2)(.*)$", "/x/$1", 0, "/%20", ""},
		{"two slashes", "^/old/(.*)$", "/$1", 0, "/old/", "/"},
		{"two slashes in front", "^/old(/.*)$", "/$1", 0, "/old/evil.test", ""},
		{"an empty segment", "^/old/(.*)/x$", "/a/$1/b", 0, "/old//x", ""},
		{"an empty segment from an empty group", "^/old/(.*)x$", "/a/$1/b", 0, "/old/x", ""},
		{"the gateway's own", "^/old/(.*)$", "/$1", 0, "/old/.evergate/logout", ""},
		{"the gateway's own in another reading", "^/old/(.*)$", "/$1", every, "/old/.evergate%2flogout", ""},
		{"what is refused before it is matched", "^/old/(.*)$", "/new/$1", every, "/old/../x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := rewritten(t, proxy.Route{Rewrite: proxy.Rewrite{Pattern: tt.pattern, To: tt.to}, PathChars: tt.chars}, proxy.UpstreamOptions{})
			res := gw.send(t, get(tt.target, "X-Forwarded-Prefix: /evil"))
			if tt.want == "" {
				if res.StatusCode != http.StatusBadRequest {
					t.Errorf("got %d %q, want 400", res.StatusCode, res.body)
				}
				return
			}
			if want := tt.want + " prefix= host=gw.test"; res.body != want {
				t.Errorf("got %d %q, want %q", res.StatusCode, res.body, want)
			}
		})
	}
}

func TestPathRulesThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		rewrite proxy.Rewrite
		want    string
	}{
		{proxy.Rewrite{Pattern: "^/(a$", To: "/b"}, "routes[0].rewrite.path: it is no regular expression (RE2): missing closing )"},
		{proxy.Rewrite{Pattern: "^/a)(?:b$", To: "/b"}, "routes[0].rewrite.path: it is no regular expression (RE2): unexpected )"},
		{proxy.Rewrite{Pattern: strings.Repeat("a", 1025), To: "/b"}, "routes[0].rewrite.path: the expression is longer than 1024 bytes"},
		{proxy.Rewrite{To: "/b"}, "routes[0].rewrite.path: the expression is missing"},
		{proxy.Rewrite{Pattern: "^/a$"}, "routes[0].rewrite.to: a path begins with /"},
		{proxy.Rewrite{Pattern: "^/(a)$", To: "/$2"}, "routes[0].rewrite.to: there is no group 2 in the expression; it has $1 alone"},
		{proxy.Rewrite{Pattern: "^/a$", To: "/$0"}, "routes[0].rewrite.to: there is no group 0 in the expression; it has none"},
		{proxy.Rewrite{Pattern: "^/a$", To: "/a%zz"}, "routes[0].rewrite.to: \"/a%zz\" holds a percent sign without two hex digits"},
		{proxy.Rewrite{Pattern: "^/(a)$", To: "/b/../$1"}, "routes[0].rewrite.to: no app would be sent what"},
		{proxy.Rewrite{Pattern: "^/(a)$", To: "/b//$1"}, "routes[0].rewrite.to: no app would be sent what"},
		{proxy.Rewrite{Pattern: "^/(a)$", To: "/.evergate/$1"}, "routes[0].rewrite.to: \"/.evergate/$1\" is the gateway's own"},
		{proxy.Rewrite{Pattern: "^/(a)$", To: "/$1", AddPrefix: "/x"}, "routes[0].rewrite: it does not go with strip_prefix and add_prefix"},
	} {
		_, err := proxy.NewRouter([]*proxy.Route{{Rewrite: tt.rewrite}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.rewrite, err, tt.want)
		}
	}
}

// TestLongPathsAreMatchedInOneGo: the worst that a client can send to an expression.
// An engine that went back over the path to try another way would not come to an end
// here. What is set aside for a path grows with it, and no faster.
func TestLongPathsAreMatchedInOneGo(t *testing.T) {
	router := newRouter(t, &proxy.Route{Rewrite: proxy.Rewrite{Pattern: "^/(a|aa|a?a*)*(.*a){12}b$", To: "/x"}, Policy: auth.Policy{Public: true}})
	taken := func(size int) uint64 {
		r := httptest.NewRequest("GET", "http://gw.test/", nil)
		r.RequestURI = "/" + strings.Repeat("a", size-1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 4 {
			if d := (&proxy.Gate{Router: router}).Decide(r); d.Up.Path != r.RequestURI {
				t.Errorf("got %s %.40q, want it as it is", d.Outcome, d.Up.Path)
			}
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	taken(proxy.MaxPath) // the first one sets aside what is used again
	if half, whole := taken(proxy.MaxPath/2), taken(proxy.MaxPath); whole > 4*half+64<<10 {
		t.Errorf("%d bytes for a path twice as long, %d for the other", whole, half)
	}
}

// FuzzPrefix: whatever a client sends below /w/, no way to read what goes up leaves
// /app, whether it is put in front or written by an expression, and what goes up is
// what was decided on.
func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"a", "../x", "%2e%2e/x", "..%2fx", "a%2f..%2f..", "..;/x", ";/../x", "%252e%252e/", "/evil", "%2f%2fevil",
		"%c0%ae%c0%ae/", "%ef%bc%8e%ef%bc%8e/", "%5c..", "a%3f/../", "a;b=%2f..%2f..", ".evergate/", "a//..", "%25252e%25252e"} {
		f.Add(s, byte(every))
		f.Add(s, byte(0))
	}
	f.Fuzz(func(t *testing.T, rest string, allow byte) {
		for _, w := range []proxy.Rewrite{{StripPrefix: "/w", AddPrefix: "/app"}, {StripPrefix: "/w"}, {Pattern: "^/w/(.*)$", To: "/app/$1"},
			{Pattern: "^/w/([^-]*)-?(.*)$", To: "/app/$2$1"}} {
			router, err := proxy.NewRouter([]*proxy.Route{{Path: "/w/", Rewrite: w, PathChars: proxy.PathChars(allow), Policy: auth.Policy{Public: true}}})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("GET", "http://gw.test/", nil)
			r.RequestURI = "/w/" + rest
			d := (&proxy.Gate{Router: router}).Decide(r)
			if d.Outcome != proxy.Public {
				continue
			}
			folder := w.AddPrefix
			if w.Pattern != "" {
				folder = "/app"
			} else if want := w.AddPrefix + strings.TrimPrefix(d.Target.Path, "/w"); d.Up.Path != want || d.Up.RawQuery != d.Target.RawQuery {
				t.Fatalf("decided on %q, sent %q", d.Target.URI(), d.Up.URI())
			}
			for _, p := range everyReading(d.Up.Path) {
				if p != folder && !strings.HasPrefix(p, folder+"/") || folder == "" && strings.HasPrefix(p, "//") {
					t.Fatalf("%q is sent as %q, which can be read as %q", r.RequestURI, d.Up.Path, p)
				}
			}
			u := &url.URL{Scheme: "http", Host: "up"}
			proxy.SetURL(&d.Up, u, "")
			if u.RequestURI() != d.Up.URI() {
				t.Fatalf("on the wire %q, want %q", u.RequestURI(), d.Up.URI())
			}
		}
	})
}

// everyReading decodes p again and again, with and without parameters, and
// resolves dot segments as a lax server would.
func everyReading(p string) (all []string) {
	for range 6 {
		for _, q := range []string{p, dropped(p)} {
			all = append(all, q)
			var kept []string
			for _, s := range strings.Split(strings.ReplaceAll(q, `\`, "/"), "/")[1:] {
				if s == ".." {
					kept = kept[:max(0, len(kept)-1)]
				} else if s != "." {
					kept = append(kept, s)
				}
			}
			all = append(all, "/"+strings.Join(kept, "/"))
		}
		next, err := url.PathUnescape(p)
		if err != nil || next == p {
			break
		}
		p = next
	}
	return all
}

func dropped(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}
