package main

import (
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// TestOnlyThePublicHostHandsOver: a host that only a route for every host serves has
// sign-ins of its own, and whoever owns its name can have their cookies. None of them
// opens the host of an app.
func TestOnlyThePublicHostHandsOver(t *testing.T) {
	b := newHostsBed(t)
	v := b.wanderer()
	if res := v.send("POST", "http://evil.example:8080/.evergate/login", "username=alice&password=correct+horse+battery"); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in there: %d", res.StatusCode)
	}
	v.mustReach("http://evil.example:8080/", "alice at evil.example:8080/")
	away, _ := v.to(wikiHost+"/", "http://apps.localhost:8080/")
	there := strings.Replace(away, "apps.localhost", "evil.example", 1)
	for _, address := range []string{there, strings.Replace(there, "/login?", "/landed?", 1)} {
		if at, res := v.to(address, wikiHost+arrive); strings.HasPrefix(at, wikiHost) {
			t.Errorf("%.60s: got %d to %.60s, want no code", address, res.StatusCode, at)
		}
	}
}

// TestSigningOutEndsTheSessionOfThatHost: the public host's cookie may be gone while an
// app's host has its own, or be somebody else's. Who signs out at the app must be.
func TestSigningOutEndsTheSessionOfThatHost(t *testing.T) {
	// signOut does what a person does: opens the link, and presses the button of the page
	// that it leads to.
	signOut := func(v *wanderer) string {
		at, res := v.to(wikiHost+"/.evergate/logout?rd=/bye", "")
		page, _ := io.ReadAll(res.Body)
		for range 4 {
			if !strings.Contains(string(page), "<title>Sign out?") {
				break
			}
			u, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{}
			for _, field := range hiddenField.FindAllStringSubmatch(string(page), -1) {
				form.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
			}
			res = v.send("POST", u.Scheme+"://"+u.Host+"/.evergate/logout", form.Encode())
			if next := res.Header.Get("Location"); next != "" {
				if u, err = u.Parse(next); err != nil {
					t.Fatal(err)
				}
				at, res = v.to(u.String(), "")
			}
			page, _ = io.ReadAll(res.Body)
		}
		return string(page)
	}
	for name, meanwhile := range map[string]func(v *wanderer){
		"the public host knows nobody": func(v *wanderer) { delete(v.jar, "apps.localhost") },
		"the public host knows another": func(v *wanderer) {
			delete(v.jar, "apps.localhost")
			v.signIn("mallory")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHostsBed(t)
			v := b.wanderer()
			v.signIn("alice")
			v.mustReach(wikiHost+"/", "alice at wiki.localhost:8080/")
			meanwhile(v)
			page := signOut(v)
			_, res := v.to(wikiHost+"/secret", "")
			if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), "<h1>Sign in</h1>") {
				t.Errorf("after signing out at the wiki, which ended at %.300q: got %.300q, want to have to sign in", page, body)
			}
		})
	}
}

// TestLongAddressesAreHandedOver: "&" and "<" are six bytes each where JSON is meant for
// HTML, and a cookie has no room for that.
func TestLongAddressesAreHandedOver(t *testing.T) {
	b := newHostsBed(t)
	for _, query := range []string{strings.Repeat("a=1&", 300), strings.Repeat("&", 1700), strings.Repeat("a", 1700)} {
		v := b.wanderer()
		address := wikiHost + "/page?" + query
		v.mustSignIn(address)
		v.signIn("alice")
		v.mustReach(address, "alice at wiki.localhost:8080/page?"+query)
	}
	res := b.wanderer().send("GET", wikiHost+"/.evergate/login?rd=/page"+strings.Repeat("%22", 1700), "")
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("a target of quotes: got %d, want 303", res.StatusCode)
	}
}

// TestFormsStayHereWithoutAppHosts: where there is no other host to go to, what is typed
// into the sign-in page goes to no other.
func TestFormsStayHereWithoutAppHosts(t *testing.T) {
	for hosts, want := range map[string]bool{"": false, "apps.localhost": false, "wiki.localhost": true, "'*.localhost'": true} {
		match := ""
		if hosts != "" {
			match = "match: { host: " + hosts + " }, "
		}
		cfg, err := config.Parse("f", []byte("public_url: http://apps.localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\nroutes: [ { "+
			match+"upstream: http://127.0.0.1:1 } ]\n"), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		g, err := build(cfg, slog.New(slog.DiscardHandler), parts{Users: []local.User{{Name: "alice", Password: horseHash}}})
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/.evergate/login", nil)
		r.Host = "apps.localhost:8080"
		g.Public.ServeHTTP(rec, r)
		if policy := rec.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action") || strings.Contains(policy, "https:") != want {
			t.Errorf("routes for %q: got %d %q", hosts, rec.Code, policy)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestBracketsMakeNoOtherHost: a cookie of one host opens no other by a spelling of
// Host that a browser would never send.
func TestBracketsMakeNoOtherHost(t *testing.T) {
	b := newHostsBed(t)
	v := b.wanderer()
	v.signIn("alice")
	v.mustReach(wikiHost+"/", "alice at wiki.localhost:8080/")
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "[wiki.localhost]:8080"
	for name, value := range v.jar["wiki.localhost"] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	b.g.Public.ServeHTTP(rec, r)
	if rec.Code != http.StatusBadRequest && rec.Code != http.StatusMisdirectedRequest {
		t.Errorf("got %d %s, want it refused", rec.Code, rec.Body)
	}
}

// TestManyTabsAtOnce: a browser that opens its tabs again asks for all pages at once,
// each without the cookies that the others are getting. The cookies of one host stay in
// what servers in front take, 8 KiB, and all tabs end where they wanted.
func TestManyTabsAtOnce(t *testing.T) {
	b := newHostsBed(t)
	v := b.wanderer()
	all, away := map[string]string{}, []string{}
	for i := range 30 {
		v.jar["wiki.localhost"] = nil
		at, _ := v.to(wikiHost+"/page?"+strings.Repeat("i", i), "http://apps")
		away = append(away, at)
		for name, value := range v.jar["wiki.localhost"] {
			all[name] = value
		}
	}
	v.jar["wiki.localhost"] = all
	size := 0
	for name, value := range all {
		size += len(name) + len("=; ") + len(value)
	}
	if size > 8<<10 {
		t.Errorf("30 tabs have %d bytes of cookies", size)
	}
	v.signIn("alice")
	for i, at := range away {
		v.mustReach(at, "alice at wiki.localhost:8080/page?"+strings.Repeat("i", i))
	}
}
