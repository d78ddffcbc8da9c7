package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// backwards is a gateway before two targets that answer with the header lines in
// "Say": TARGET and OTHER in them stand for the targets' addresses.
func backwards(t *testing.T, match string, w proxy.Rewrite, o proxy.UpstreamOptions) (*gateway, func(string) string) {
	t.Helper()
	var names *strings.Replacer
	say := func(rw http.ResponseWriter, r *http.Request) {
		for _, line := range r.Header["Say"] {
			name, value, _ := strings.Cut(names.Replace(line), ": ")
			rw.Header().Add(name, value)
		}
		rw.WriteHeader(http.StatusFound)
	}
	one, other := newApp(t, say), newApp(t, say)
	names = strings.NewReplacer("TARGET", one.addr, "OTHER", other.addr)
	o.Targets = targets(one, other)
	way, err := proxy.NewUpstream(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	return newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Path: match, Rewrite: w, Upstream: way})}), names.Replace
}

func TestAddressesAreMappedBack(t *testing.T) {
	strip := proxy.Rewrite{StripPrefix: "/w"}
	add := proxy.Rewrite{AddPrefix: "/app"}
	both := proxy.Rewrite{StripPrefix: "/w", AddPrefix: "/app"}
	rule := proxy.Rewrite{Pattern: "^/old/(.*)$", To: "/new/$1"}
	inside := proxy.UpstreamOptions{Host: "inside.test:81"}
	own := proxy.UpstreamOptions{TargetHost: true}
	var none proxy.UpstreamOptions
	for _, tt := range []struct {
		name     string
		rewrite  proxy.Rewrite
		o        proxy.UpstreamOptions
		asked    string
		in, want string
	}{
		{"the stripped prefix comes in front again", strip, none, "/w/x", "/login?next=/x#top", "/w/login?next=/x#top"},
		{"the root", strip, none, "/w/x", "/", "/w/"},
		{"a path that has it already, from an app that was told", strip, none, "/w/x", "/w/login", "/w/login"},
		{"a path that begins like it", strip, none, "/w/x", "/wiki", "/w/wiki"},
		{"the added prefix comes off", add, none, "/x", "/app/login?a=/app", "/login?a=/app"},
		{"the added prefix itself", add, none, "/x", "/app", "/"},
		{"outside of the added prefix", add, none, "/x", "/other", "/other"},
		{"a path that begins like the added prefix", add, none, "/x", "/apple", "/apple"},
		{"one for the other", both, none, "/w/x", "/app/login", "/w/login"},
		{"the folder", both, none, "/w", "/app/", "/w/"},
		{"without its slash", both, none, "/w/", "/app", "/w"},
		{"both, told", both, none, "/w/x", "/w/login", "/w/login"},
		{"both, outside", both, none, "/w/x", "/login", "/login"},

		{"relative", both, none, "/w/a/b", "c?d", "/w/a/c?d"},
		{"relative, of an app at the root", strip, none, "/w/a/b", "c", "/w/a/c"},
		{"relative and up", both, none, "/w/a/b", "../c", "/w/c"},
		{"relative and above the root", strip, none, "/w/a", "../../c", "/w/c"},
		{"relative and out of the added prefix", both, none, "/w/a", "../c", "../c"},
		{"relative from a root without slash", strip, none, "/w", "c", "/w/c"},
		{"dots in a path", strip, none, "/w/x", "/a/../../c/.", "/w/c/"},
		{"encoded dots", strip, none, "/w/x", "/a/%2e%2E/c", "/w/c"},
		{"a query alone", both, none, "/w/x", "?page=2", "?page=2"},
		{"a fragment alone", both, none, "/w/x", "#top", "#top"},

		{"the target's own address", strip, none, "/w/x", "http://TARGET/a", "https://gw.test/w/a"},
		{"another target of the pool", strip, none, "/w/x", "http://OTHER/a?b#c", "https://gw.test/w/a?b#c"},
		{"without a path", strip, none, "/w/x", "http://TARGET", "https://gw.test/w/"},
		{"without a path, with a query", strip, none, "/w/x", "http://TARGET?a", "https://gw.test/w/?a"},
		{"in other letters", strip, none, "/w/x", "HTTP://TARGET/a", "https://gw.test/w/a"},
		{"without a scheme", strip, none, "/w/x", "//TARGET/a", "https://gw.test/w/a"},
		{"the target with another scheme is another server", strip, none, "/w/x", "https://TARGET/a", "https://TARGET/a"},
		{"the browser's own host, which is the Host sent", strip, none, "/w/x", "http://GW.test./a", "https://gw.test/w/a"},
		{"that, with the port of the server (nginx)", strip, none, "/w/x", "http://gw.test:PORT/a/", "https://gw.test/w/a/"},
		{"that, told", strip, none, "/w/x", "https://gw.test/w/a", "https://gw.test/w/a"},
		{"that, with another port", strip, none, "/w/x", "https://gw.test:8443/a", "https://gw.test:8443/a"},
		{"the name sent", both, inside, "/w/x", "http://inside.test:81/app/a", "https://gw.test/w/a"},
		{"the name sent, with the browser's scheme", both, inside, "/w/x", "https://inside.test:81/app/a", "https://gw.test/w/a"},
		{"the name sent, outside of the prefix, shows nobody the inside", both, inside, "/w/x", "http://inside.test:81/a", "https://gw.test/a"},
		{"the name sent, with no prefix", proxy.Rewrite{}, inside, "/x", "http://inside.test:81/a", "https://gw.test/a"},
		{"an expression has no way back, but a host has one", rule, inside, "/x", "http://inside.test:81/new/a", "https://gw.test/new/a"},
		{"an expression leaves paths", rule, none, "/x", "/new/a", "/new/a"},
		{"no prefix, a path", proxy.Rewrite{}, inside, "/x", "/a/../b", "/a/../b"},
		{"the target's host sent", proxy.Rewrite{}, own, "/x", "https://TARGET/a", "https://gw.test/a"},

		{"elsewhere", both, inside, "/w/x", "https://login.test/app?x=http://inside.test:81/", "https://login.test/app?x=http://inside.test:81/"},
		{"a name that ends like ours", both, inside, "/w/x", "http://evil-inside.test:81/app/", "http://evil-inside.test:81/app/"},
		{"a name below ours", both, inside, "/w/x", "http://x.inside.test:81/app/", "http://x.inside.test:81/app/"},
		{"somebody at our host", both, inside, "/w/x", "http://inside.test:81@evil.test/app/", "http://inside.test:81@evil.test/app/"},
		{"with a user", both, inside, "/w/x", "http://u:p@inside.test:81/app/", "http://u:p@inside.test:81/app/"},
		{"another scheme", both, inside, "/w/x", "mailto:app/x", "mailto:app/x"},
		{"a scheme with a path", both, inside, "/w/x", "app:/app/x", "app:/app/x"},
		{"one slash after the scheme", both, inside, "/w/x", "https:/app/x", "https:/app/x"},
		{"a backslash is a slash to browsers", strip, none, "/w/x", `/\evil.test`, `/\evil.test`},
		{"the gateway's own pages", strip, none, "/w/x", "/.evergate/logout?rd=/w/", "/.evergate/logout?rd=/w/"},
		{"what would name a host stays", add, none, "/x", "/app//evil.test/", "/app//evil.test/"},
		{"after its dots, too", add, none, "/x", "/app/./a/..//evil.test/", "/app/./a/..//evil.test/"},
		{"two slashes behind a prefix name none", both, none, "/w/x", "/app//evil.test/", "/w//evil.test/"},

		{"no loop where the app has the prefix itself", strip, none, "/w/", "/w/", "/w/w/"},
		{"no loop between a folder and its name", add, none, "/", "/app", "/app"},
		{"the page itself is what the app meant", strip, none, "/w/x?a", "/x?a#b", "/w/x?a#b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			match := "/w/"
			if tt.asked == "/w" || tt.rewrite.StripPrefix == "" {
				match = strings.TrimSuffix(tt.rewrite.StripPrefix, "/")
			}
			gw, names := backwards(t, match, tt.rewrite, tt.o)
			_, port, _ := strings.Cut(names("TARGET"), ":")
			in, want := strings.ReplaceAll(tt.in, "PORT", port), names(tt.want)
			res := gw.send(t, get(tt.asked, "Say: Location: "+in, "Say: Content-Location: "+in, "Say: Refresh: 5; url="+in))
			for name, want := range map[string]string{"Location": want, "Content-Location": want, "Refresh": "5; url=" + want} {
				if got := res.Header[name]; len(got) != 1 || got[0] != want {
					t.Errorf("%s %s: got %q, want %q", name, in, got, want)
				}
			}
		})
	}
}

func TestRefreshesAreMappedBack(t *testing.T) {
	gw, _ := backwards(t, "/w/", proxy.Rewrite{StripPrefix: "/w"}, proxy.UpstreamOptions{})
	for in, want := range map[string]string{
		"5": "5", "0;url=/a": "0;url=/w/a", "0; URL = '/a' x": "0; URL = '/w/a' x", `3,url="/a`: `3,url="/w/a`, "1; /a": "1; /w/a",
		"1; url=": "1; url=", "1; urls": "1; /w/urls", "1;url=https://login.test/": "1;url=https://login.test/",
	} {
		if got := gw.send(t, get("/w/x", "Say: Refresh: "+in)).Header.Get("Refresh"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestCookiesAreMappedBack(t *testing.T) {
	strip := proxy.Rewrite{StripPrefix: "/w"}
	add := proxy.Rewrite{AddPrefix: "/app"}
	both := proxy.Rewrite{StripPrefix: "/w", AddPrefix: "/app"}
	inside := proxy.UpstreamOptions{Host: "app.inside.test"}
	sister := proxy.UpstreamOptions{Host: "app.test"}
	var none proxy.UpstreamOptions
	for _, tt := range []struct {
		name     string
		rewrite  proxy.Rewrite
		o        proxy.UpstreamOptions
		asked    string
		in, want string
	}{
		{"everything is all of the route", strip, none, "/w/x", "a=b; Path=/; HttpOnly", "a=b; Path=/w; HttpOnly"},
		{"a folder", strip, none, "/w/x", "a=b;path = /x/ ;Secure", "a=b;path =/w/x/;Secure"},
		{"told", strip, none, "/w/x", "a=b; Path=/w", "a=b; Path=/w"},
		{"the added prefix", both, none, "/w/x", "a=b; Path=/app", "a=b; Path=/w"},
		{"below the added prefix", both, none, "/w/x", "a=b; Path=/app/x", "a=b; Path=/w/x"},
		{"above the added prefix", both, none, "/w/x", "a=b; Path=/", "a=b; Path=/w"},
		{"beside it", both, none, "/w/x", "a=b; Path=/other", "a=b; Path=/other"},
		{"an added prefix alone", add, none, "/x", "a=b; Path=/app/", "a=b; Path=/"},
		{"a folder below it", add, none, "/x", "a=b; Path=/app/x", "a=b; Path=/x"},
		{"a path of the browser's making", strip, none, "/w/x", "a=b; Path=x", "a=b; Path=x"},
		{"no path: the browser takes the folder", strip, none, "/w/x", "a=b", "a=b"},
		{"no path on the root without its slash", strip, none, "/w", "a=b", "a=b; Path=/w"},
		{"a __Host- cookie lives at / alone", strip, none, "/w/x", "__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"},
		{"a value ends at its first semicolon, quotes or not", strip, none, "/w/x", `a="Path=/; Domain=x"; Path=/x`, `a="Path=/; Domain=x"; Path=/w/x`},

		{"the upstream's host goes", both, inside, "/w/x", "a=b; Domain=app.inside.test; Path=/app", "a=b; Path=/w"},
		{"in any spelling", both, inside, "/w/x", "a=b; DOMAIN = .App.Inside.Test ; Secure", "a=b; Secure"},
		{"its parent goes", both, inside, "/w/x", "a=b; Domain=inside.test", "a=b"},
		{"a target's address goes", both, none, "/w/x", "a=b; Domain=127.0.0.1", "a=b"},
		{"a parent that both have is never taken over", both, sister, "/w/x", "a=b; Domain=test", "a=b"},
		{"the browser's own host stays", both, inside, "/w/x", "a=b; Domain=gw.test", "a=b; Domain=gw.test"},
		{"another one stays, for the browser to refuse", both, inside, "/w/x", "a=b; Domain=evil.example", "a=b; Domain=evil.example"},
		{"a name that ends alike stays", both, inside, "/w/x", "a=b; Domain=side.test", "a=b; Domain=side.test"},
		{"no prefix, the host alone", proxy.Rewrite{}, inside, "/x", "a=b; Domain=app.inside.test; Path=/x; Max-Age=1", "a=b; Path=/x; Max-Age=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			match := "/w/"
			if tt.asked == "/w" || tt.rewrite.StripPrefix == "" {
				match = strings.TrimSuffix(tt.rewrite.StripPrefix, "/")
			}
			gw, _ := backwards(t, match, tt.rewrite, tt.o)
			res := gw.send(t, get(tt.asked, "Say: Set-Cookie: "+tt.in, "Say: Set-Cookie: "+sid+"=evil; Path=/"))
			if got := res.Header["Set-Cookie"]; len(got) != 1 || got[0] != tt.want {
				t.Errorf("%s: got %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestAskingAgainIsNoLoop where a cookie or another method makes a difference.
func TestAskingAgainIsNoLoop(t *testing.T) {
	gw, _ := backwards(t, "/w/", proxy.Rewrite{StripPrefix: "/w"}, proxy.UpstreamOptions{})
	for _, tt := range []struct{ name, request, want string }{
		{"GET", get("/w/", "Say: Location: /w/"), "/w/w/"},
		{"GET with a cookie", get("/w/", "Say: Location: /w/", "Say: Set-Cookie: a=b"), "/w/"},
		{"POST", strings.Replace(get("/w/", "Say: Location: /w/", "Content-Length: 0"), "GET", "POST", 1), "/w/"},
	} {
		if got := gw.send(t, tt.request).Header.Get("Location"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzMapBack: what is mapped leads to the browser's own host, and what leads
// elsewhere stays, so that mapping makes no open redirect.
func FuzzMapBack(f *testing.F) {
	for _, s := range []string{"/app/x", "/app//evil.test", "http://inside.test:81/app/..//evil.test/", "//inside.test:81//evil.test", "../..//evil.test", "/app/.//evil.test",
		"/app/%2e/%2e%2e//evil.test", "http://inside.test:81@evil.test/", "javascript:x", "x:/app", "/\\evil.test", "http:/app/x", "?/app#//", ".", "/app", "/w/x"} {
		f.Add(s, true, true)
		f.Add(s, false, true)
		f.Add(s, true, false)
	}
	f.Fuzz(func(t *testing.T, address string, strip, add bool) {
		var w proxy.Rewrite
		public, up := "/x/y", "/x/y"
		if strip {
			w.StripPrefix, public = "/w", "/w/x/y"
		}
		if add {
			w.AddPrefix, up = "/app", "/app/x/y"
		}
		got := proxy.MapBack(w, public, up, address)
		if got == address {
			return
		}
		if strings.ContainsAny(got, "\\\t\r\n ") {
			t.Fatalf("%q became %q, which browsers read in ways of their own", address, got)
		}
		rest, absolute := strings.CutPrefix(got, "https://gw.test")
		if !absolute && (!strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//")) || absolute && rest != "" && !strings.ContainsAny(rest[:1], "/?#") {
			t.Fatalf("%q became %q, which may lead elsewhere", address, got)
		}
		if scheme, after, _ := strings.Cut(strings.ToLower(address), ":"); strings.HasPrefix(after, "//") && !strings.ContainsAny(scheme, "/?#") && scheme != "" &&
			!strings.HasPrefix(after, "//inside.test") {
			t.Fatalf("%q was elsewhere and became %q", address, got)
		}
	})
}

// TestNothingIsMappedWithoutTheKeys: a route that rewrites nothing leaves answers alone.
func TestNothingIsMappedWithoutTheKeys(t *testing.T) {
	gw, names := backwards(t, "/", proxy.Rewrite{}, proxy.UpstreamOptions{})
	res := gw.send(t, get("/x", "Say: Location: http://TARGET/a/../b", "Say: Set-Cookie: a=b; Domain=127.0.0.1"))
	if got := res.Header.Get("Location"); got != names("http://TARGET/a/../b") {
		t.Errorf("got %q", got)
	}
	if got := res.Header.Get("Set-Cookie"); got != "a=b; Domain=127.0.0.1" {
		t.Errorf("got %q", got)
	}
}

// TestAppBelowAPrefix walks through apps as a browser does: one that knows nothing of
// its prefix, one that heeds X-Forwarded-Prefix, and one that lives at a path of its own.
func TestAppBelowAPrefix(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rewrite proxy.Rewrite
		base    func(r *http.Request) string // what the app puts in front of its links
		root    string                       // what it serves itself under
	}{
		{"an app that knows nothing", proxy.Rewrite{StripPrefix: "/w"}, func(*http.Request) string { return "" }, ""},
		{"an app that was told", proxy.Rewrite{StripPrefix: "/w"}, func(r *http.Request) string { return r.Header.Get("X-Forwarded-Prefix") }, ""},
		{"an app at a path of its own", proxy.Rewrite{StripPrefix: "/w", AddPrefix: "/app"}, func(*http.Request) string { return "/app" }, "/app"},
		{"an app at that path already", proxy.Rewrite{StripPrefix: "/w", AddPrefix: "/w"}, func(*http.Request) string { return "/w" }, "/w"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				base := tt.base(r)
				switch r.URL.Path {
				case tt.root: // as http.FileServer and nginx do
					http.Redirect(w, r, base+"/", http.StatusMovedPermanently)
				case tt.root + "/":
					http.Redirect(w, r, "http://"+r.Host+base+"/login", http.StatusFound)
				case tt.root + "/login":
					http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1", Path: base + "/"})
					http.Redirect(w, r, base+"/in/home", http.StatusSeeOther)
				case tt.root + "/in/home":
					if _, err := r.Cookie("seen"); err != nil {
						http.Redirect(w, r, base+"/login", http.StatusFound)
						return
					}
					http.Redirect(w, r, "page", http.StatusFound)
				case tt.root + "/in/page":
					fmt.Fprint(w, "arrived")
				default:
					http.NotFound(w, r)
				}
			})
			way := newWay(t, proxy.UpstreamOptions{Target: a.url()})
			open := auth.Policy{Public: true}
			gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
				&proxy.Route{Path: "/w/", Rewrite: tt.rewrite, Upstream: way, Policy: open},
				&proxy.Route{Path: "/w", Rewrite: tt.rewrite, Upstream: way, Policy: open})})
			for _, start := range []string{"/w", "/w/"} {
				jar, err := cookiejar.New(nil)
				if err != nil {
					t.Fatal(err)
				}
				client := &http.Client{Jar: jar, Transport: downgrade{}}
				res, err := client.Get(gw.URL + start)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if got := res.Request.URL.Path; string(body) != "arrived" || got != "/w/in/page" {
					t.Errorf("from %s: got %q at %s, want arrived at /w/in/page", start, body, got)
				}
				other, err := url.Parse(gw.URL + "/other")
				if err != nil {
					t.Fatal(err)
				}
				if got := jar.Cookies(other); len(got) != 0 {
					t.Errorf("the app's cookie is sent to its neighbour: %v", got)
				}
			}
		})
	}
}

// downgrade stands for the TLS in front, which the gateway under test believes in.
type downgrade struct{}

func (downgrade) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return http.DefaultTransport.RoundTrip(r)
}
