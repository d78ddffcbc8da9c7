package proxy_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

func TestRedirects(t *testing.T) {
	for _, tt := range []struct {
		to, path string // of the route
		keep     bool
		asked    string
		want     string // "" is 400
	}{
		{"https://new.example.com/", "/", false, "/x?y", "https://new.example.com/"},
		{"https://New.Example.COM", "/", false, "/x", "https://new.example.com/"},
		{"https://new.example.com:8443{path}", "/", true, "/a%20b/?x=1&y", "https://new.example.com:8443/a%20b/?x=1&y"},
		{"https://new.example.com{path}", "/", true, "/a?", "https://new.example.com/a"},
		{"/new/{rest}", "/old/", false, "/old/a/b", "/new/a/b"},
		{"/new/{rest}", "/old/", false, "/old/", "/new/"},
		{"/{rest}", "/u/*/", false, "/u/bob/x/y", "/x/y"},
		{"/{rest}", "/old/", false, "/old/%2Fevil.example", ""},
		{"/{rest}", "/old/", false, "/old//evil.example", ""},
		{"/{rest}", "/old/", false, "/old/%5Cevil.example", ""},
		{"/{rest}", "/old/", false, "/old/.evergate/logout", ""},
		{"/x{rest}", "/old/", false, "/old/.evergate/logout", "/x.evergate/logout"},
		{"/.evergate/logout", "/bye", false, "/bye", "/.evergate/logout"},
		{"/new/?from={path}", "/old/", true, "/old/a%20b?c=d", "/new/?from=%2Fold%2Fa%2520b&c=d"},
		{"/new#{rest}", "/old/", true, "/old/x?q", "/new?q#x"},
		{"/new?a=1", "/old/", true, "/old/x?a=2", "/new?a=1&a=2"},
		{"/new?a=1", "/old/", false, "/old/x?a=2", "/new?a=1"},
		{"/new", "/old/", true, "/old/x?u=//evil.example", "/new?u=//evil.example"},
		{"{path}/", "/wiki", true, "/wiki?x", "/wiki/?x"},
		{"/a/{rest}", "/old/", false, "/old/%7Eme/%c3%a9", "/a/~me/%C3%A9"},
	} {
		gw := newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Path: tt.path, Policy: public,
			PathChars: proxy.DoubleSlash | proxy.EncodedSlash, Answer: &proxy.Redirect{To: tt.to, KeepQuery: tt.keep}})})
		res := gw.send(t, request("GET", tt.asked))
		if got := res.Header.Get("Location"); got != tt.want || tt.want != "" && res.StatusCode != 307 || tt.want == "" && res.StatusCode != 400 {
			t.Errorf("%s for %s: got %d %q, want %q", tt.to, tt.asked, res.StatusCode, got, tt.want)
		}
	}
}

func TestRedirectStatus(t *testing.T) {
	for status, want := range map[int]int{0: 307, 301: 301, 302: 302, 303: 303, 308: 308} {
		gw := newGateway(t, &proxy.Gate{Router: newRouter(t, &proxy.Route{Path: "/a", Policy: public, Answer: &proxy.Redirect{To: "/b", Status: status}})})
		if res := gw.send(t, request("POST", "/a", "Content-Length: 3")+"abc"); res.StatusCode != want || res.Header.Get("Location") != "/b" || res.body != "" {
			t.Errorf("%d: got %s", status, res.raw)
		}
	}
}

// FuzzRedirect: whatever is asked for, browsers stay with the scheme and the host
// that the file names.
func FuzzRedirect(f *testing.F) {
	targets := []string{"/{rest}", "{path}", "{path}{path}", "/{rest}{rest}", "/a{rest}", "/{rest}?u={path}#{rest}", "/.{rest}", "/a/.{rest}",
		"https://new.example.com{path}", "https://new.example.com/{rest}", "http://new.example.com:81/{rest}{path}", "https://new.example.com/?{rest}", "/x?{rest}"}
	for i := range targets {
		for _, uri := range []string{"/old/", "/old/a", "/old//evil.example", "/old/%2fevil.example", `/old/\evil.example`, "/old/%5cevil.example", "/old/@evil.example",
			"/old/.evil.example/", "/old/.evergate/logout", "/old/%09/evil.example", "/old/a?b=%0d%0aX: y", "/old/..%2f", "/old/;@evil", "/old/http:%2F%2Fevil", "/old/:80", "/old/%E2%80%AE"} {
			f.Add(i, uri, true)
		}
	}
	gates := make([]*proxy.Gate, len(targets))
	for i, to := range targets {
		path := "/old/"
		if strings.HasPrefix(to, "{path}") {
			path = "/old/a" // otherwise it leads back to itself
		}
		router, err := proxy.NewRouter([]*proxy.Route{{Path: path, Policy: public, Methods: []string{"GET"},
			PathChars: proxy.DoubleSlash | proxy.EncodedSlash | proxy.Semicolon, Answer: &proxy.Redirect{To: to, KeepQuery: true}}})
		if err != nil {
			if !strings.Contains(err.Error(), "leads back") {
				f.Fatal(err)
			}
			continue
		}
		gates[i] = &proxy.Gate{Router: router}
	}
	f.Fuzz(func(t *testing.T, i int, uri string, _ bool) {
		if i < 0 || i >= len(targets) || gates[i] == nil {
			t.Skip()
		}
		r := &http.Request{Method: "GET", RequestURI: uri, URL: &url.URL{}, Host: "gw.test", Header: http.Header{}}
		r = r.WithContext(web.WithNote(t.Context(), &web.Note{ID: "x"}))
		w := httptest.NewRecorder()
		gates[i].ServeHTTP(w, r)
		if w.Code != 307 {
			if w.Code < 400 || w.Code > 499 || w.Header().Get("Location") != "" {
				t.Fatalf("%q: got %d, Location %q", uri, w.Code, w.Header().Get("Location"))
			}
			return
		}
		location := w.Header().Get("Location")
		if strings.ContainsFunc(location, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			t.Fatalf("%q for %q: it holds space or control characters", location, uri)
		}
		seen := browserHost(location, "http://gw.test")
		want := "http://gw.test"
		if strings.HasPrefix(targets[i], "http") {
			u, err := url.Parse(strings.NewReplacer("{path}", "/", "{rest}", "").Replace(targets[i]))
			if err != nil {
				t.Fatal(err)
			}
			want = u.Scheme + "://" + u.Host
		}
		if seen != want {
			t.Fatalf("%s for %q leads to %s by %q, want %s", targets[i], uri, seen, location, want)
		}
		path, _, _ := strings.Cut(strings.TrimPrefix(location, want), "?")
		path, _, _ = strings.Cut(path, "#")
		for segment := range strings.SplitSeq(path, "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%s for %q leads to %q, which browsers read as another path", targets[i], uri, location)
			}
		}
		if want == "http://gw.test" && strings.HasPrefix(strings.ToLower(path), "/.evergate/") {
			t.Fatalf("%s for %q leads to the gateway's own %q", targets[i], uri, location)
		}
	})
}

// browserHost is the origin that browsers take an address for (URL Standard): tabs
// and newlines are dropped, and a backslash is a slash.
func browserHost(s, base string) string {
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(s)
	scheme, rest, ok := strings.Cut(s, ":")
	if ok && !strings.ContainsAny(scheme, "/?#") {
		rest = strings.TrimLeft(rest, "/")
	} else if rest, ok = strings.CutPrefix(s, "//"); ok {
		scheme, rest = "http", strings.TrimLeft(rest, "/")
	} else {
		return base
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	return scheme + "://" + authority[strings.LastIndexByte(authority, '@')+1:]
}
