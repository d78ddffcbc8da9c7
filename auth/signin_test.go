package auth_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
)

func TestSignInResumesWhatWasWanted(t *testing.T) {
	for _, uri := range []string{"/", "/reports", "/reports?q=1&r=a+b%2F", "/app?next=//evil.com", `/app?p=C:\x`, "/caf%C3%A9?ü=1"} {
		t.Run(uri, func(t *testing.T) {
			h := open(t)
			b := h.browser()
			p := b.get(uri)
			p.want(t, 200, "<h1>Sign in</h1>", "Sign in to continue to <strong>"+strings.TrimPrefix(h.URL, "http://")+"</strong>")
			p = b.submit(p, "username", "alice", "password", "alicealice")
			p.want(t, 200, "the app")
			got := h.got()
			want := strings.NewReplacer(`\`, "%5C", "ü", "%C3%BC").Replace(uri)
			if len(got) != 1 || got[0].uri != want || got[0].method != "GET" || got[0].user != "alice" {
				t.Errorf("the app got %+v, want one GET %s of alice", got, want)
			}
		})
	}
}

func TestChallengeOfANavigation(t *testing.T) {
	h := open(t)
	for _, method := range []string{"GET!", "HEAD!"} {
		p := h.browser().do(method, "/reports?q=1", "", "")
		p.want(t, 302)
		if got, want := p.Header.Get("Location"), "/.evergate/login?rd=%2Freports%3Fq%3D1"; got != want {
			t.Errorf("%s: got Location %q, want %q", method, got, want)
		}
		if got := p.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: got Cache-Control %q, want no-store", method, got)
		}
	}
}

func TestChallengeSaysHowTheSessionEnded(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	h.sessions.forget()
	b.get("/x").want(t, 200, "You are signed out.")
	b.get("/.evergate/login?why=%3Cb%3E").want(t, 200, "<h1>Sign in</h1>")
	if p := b.get("/.evergate/login?why=nonsense"); strings.Contains(p.body, `class="note"`) || strings.Contains(p.body, "nonsense") {
		t.Errorf("a reason of no meaning shows:\n%s", p.body)
	}
}

func TestX08ProgramsGet401(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		name      string
		method    string
		header    []string
		rd        string
		challenge string
	}{
		{"fetch()", "GET!", []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Referer", h.URL + "/page?x=1"}, "/page?x=1", `Bearer realm="evergate"`},
		{"fetch() that posts", "POST!", []string{"Sec-Fetch-Mode", "same-origin", "Sec-Fetch-Dest", "empty"}, "/", `Bearer realm="evergate"`},
		{"XMLHttpRequest of an older browser", "GET!", []string{"Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "X-Requested-With", "XMLHttpRequest"}, "/", `Bearer realm="evergate"`},
		{"Accept: application/json", "GET!", []string{"Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Accept", "application/json"}, "/", `Bearer realm="evergate"`},
		{"a page elsewhere is no place to return to", "GET!", []string{"Sec-Fetch-Mode", "cors", "Referer", "https://evil.example/page"}, "/", `Bearer realm="evergate"`},
		{"our own pages are none either", "GET!", []string{"Sec-Fetch-Mode", "cors", "Referer", h.URL + "/.evergate/login"}, "/", `Bearer realm="evergate"`},
		{"a WebSocket", "GET!", []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-Fetch-Mode", "websocket"}, "/", `Bearer realm="evergate"`},
		{"a program with a token that is not taken", "GET!", []string{"Sec-Fetch-Mode", "", "Accept", "*/*", "Authorization", "bearer SOMETHING"}, "/",
			`Bearer realm="evergate", error="invalid_token", error_description="the gateway takes no tokens from clients on this route"`},
		{"X-04 a preflight from elsewhere", "OPTIONS!", []string{"Sec-Fetch-Mode", "cors", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, "/", `Bearer realm="evergate"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := h.browser().do(c.method, "/api", "", "", c.header...)
			want := `"login_url":"` + h.URL + "/.evergate/login?rd=" + url.QueryEscape(c.rd) + `"`
			p.want(t, 401, want, `"code":"login_required"`, `"reason":"no-cookie"`, `"status":401`)
			for name, want := range map[string]string{"Content-Type": "application/problem+json", "Www-Authenticate": c.challenge,
				"Cache-Control": "no-store", "Location": "", "Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": ""} {
				if got := p.Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestChallengeInsideAFrame(t *testing.T) {
	h := open(t)
	for _, c := range []struct{ name, referer, rd string }{
		{"framed by our own page: back to that", h.URL + "/board?x=1", "/board?x=1"},
		{"framed by another site: to what was framed", "https://other.example/", "/widget?y=2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := h.browser().get("/widget?y=2", "Sec-Fetch-Dest", "iframe", "Referer", c.referer)
			p.want(t, 401, `target="_top"`, `href="/.evergate/login?rd=`+url.QueryEscape(c.rd)+`"`)
			if strings.Contains(p.body, "<form") {
				t.Error("a page that anybody may frame has a form")
			}
			if csp := p.Header.Get("Content-Security-Policy"); strings.Contains(csp, "frame-ancestors") || p.Header.Get("X-Frame-Options") != "" {
				t.Errorf("the page forbids the frame it is made for: %q", csp)
			}
		})
	}
}

func TestChallengeClearsCookies(t *testing.T) {
	h := open(t)
	p := h.browser().get("/.evergate/login", "Cookie", sessionCookie+"=a; "+sessionCookie+"=b")
	p.want(t, 200, "<h1>Sign in</h1>")
	p2 := h.browser().do("GET!", "/app", "", "", "Cookie", sessionCookie+"=a; "+sessionCookie+"=b")
	for _, p := range []page{p, p2} {
		if got := p.Header.Get("Set-Cookie"); !strings.HasPrefix(got, sessionCookie+"=; ") || !strings.Contains(got, "Max-Age=0") {
			t.Errorf("%s: got Set-Cookie %q, want the session cookie cleared", p.at(), got)
		}
	}
}

func TestSignInPage(t *testing.T) {
	h := open(t)
	p := h.browser().get("/.evergate/login?rd=/w/%22%3E%3Cb%3E")
	p.want(t, 200)
	for _, want := range []string{
		"<title>Sign in – ", `lang="en"`, `<meta name="viewport"`, "<main>", "Request <code>" + p.Header.Get("X-Request-Id") + "</code>",
		`<form method="post" action="/.evergate/login">`, `<label for="username">`, `<label for="password">`, `for="remember"`,
		`name="username"`, `autocomplete="username"`, `autocapitalize="none"`, `spellcheck="false"`,
		`type="password"`, `name="password"`, `autocomplete="current-password"`, `type="checkbox"`, `name="remember"`, "Keep me signed in on this device",
		`<button type="submit">Sign in</button>`,
	} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(p.body, "<b>") || strings.Contains(p.body, `role="alert"`) {
		t.Errorf("the page carries what was not there to carry:\n%s", p.body)
	}
}

// pagesOf walks through every page there is.
func pagesOf(t *testing.T) map[string]page {
	t.Helper()
	h := open(t)
	b := h.browser()
	out := map[string]page{"login": b.get("/x")}
	out["refused"] = b.submit(out["login"], "username", "alice", "password", "no")
	out["landed"] = h.browser().get("/.evergate/landed")
	out["framed"] = h.browser().get("/x", "Sec-Fetch-Dest", "iframe")
	kept := b.do("POST", "/send?to=bob", urlencoded, "a=1", "Referer", h.URL+"/page")
	out["kept"] = kept
	out["resend"] = b.submit(kept, "username", "alice", "password", "alicealice")
	out["logout"] = b.get("/.evergate/logout")
	out["signedout"] = b.submit(out["logout"])
	out["notfound"] = b.get("/.evergate/nothing")
	corp := newCorp()
	h = openWith(t, corp, false)
	out["straight"] = h.browser().get("/x")
	h = openWith(t, corp, true)
	out["chooser"] = h.browser().get("/x")
	corp.begin = &auth.Unavailable{What: "Corp"}
	out["unreachable"] = h.browser().get("/.evergate/login/corp")
	corp.begin = &auth.Refused{Reason: "invalid_scope", Code: "invalid_scope"}
	out["refusedthere"] = h.browser().get("/.evergate/login/corp")
	return out
}

func TestX07EveryPage(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=|javascript:`)
	ownScript := regexp.MustCompile(`<script src="/\.evergate/(login\.js\?v=[0-9a-f]{12}|session\.js)" defer></script>`)
	tags := regexp.MustCompile(`<(/?)([a-z0-9]+)[^>]*>`)
	void := map[string]bool{"meta": true, "link": true, "input": true, "br": true}
	for name, p := range pagesOf(t) {
		t.Run(name, func(t *testing.T) {
			if got := p.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
				t.Fatalf("got %q at %s, want a page", got, p.at())
			}
			rest := p.body
			if strings.Contains(p.Header.Get("Content-Security-Policy"), "script-src 'self'") {
				rest = ownScript.ReplaceAllString(rest, "")
			}
			if bad := inline.FindString(rest); bad != "" {
				t.Errorf("the page has %q inline", bad)
			}
			var open []string
			for _, tag := range tags.FindAllStringSubmatch(p.body, -1) {
				switch {
				case void[tag[2]]:
				case tag[1] == "":
					open = append(open, tag[2])
				case len(open) == 0 || open[len(open)-1] != tag[2]:
					t.Errorf("</%s> closes nothing that is open: %v", tag[2], open)
				default:
					open = open[:len(open)-1]
				}
			}
			if len(open) != 0 {
				t.Errorf("left open: %v", open)
			}
			for _, want := range []string{"<!doctype html>", "<title>", "<main>", p.Header.Get("X-Request-Id")} {
				if want == "" || !strings.Contains(p.body, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if n := strings.Count(p.body, "<h1>"); n != 1 {
				t.Errorf("got %d headings of the first rank, want one", n)
			}
			if len(p.body) > 10<<10 {
				t.Errorf("got a page of %d bytes", len(p.body))
			}
			for header, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
				"Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin"} {
				if got := p.Header.Get(header); got != want {
					t.Errorf("%s: got %q, want %q", header, got, want)
				}
			}
			csp := p.Header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || name != "framed" && !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("got Content-Security-Policy %q", csp)
			}
		})
	}
}

func TestWrongNameAndWrongPasswordReadTheSame(t *testing.T) {
	h := open(t)
	var first string
	for _, c := range []struct{ user, password string }{{"alice", "wrong"}, {"nobody", "wrong"}, {"", ""}, {"alice", ""}, {"nobody", "nobodynobody"}} {
		b := h.browser()
		p := b.submit(b.get("/wanted?x=1"), "username", c.user, "password", c.password, "remember", "1")
		p.want(t, 401, "<title>Error: Sign in", `role="alert"`, `aria-invalid="true"`, `aria-describedby="alert"`, " checked", `name="rd" value="/wanted?x=1"`)
		if !strings.Contains(p.body, `name="username" value="`+c.user+`"`) {
			t.Errorf("the name %q is not kept:\n%s", c.user, p.body)
		}
		if c.password != "" && strings.Contains(p.body, c.password+`"`) && c.password != c.user {
			t.Errorf("the password is shown:\n%s", p.body)
		}
		if p.Header.Get("Www-Authenticate") == "" {
			t.Error("a 401 names no challenge")
		}
		same := strings.NewReplacer(`value="`+c.user+`"`, "", p.Header.Get("X-Request-Id"), "").Replace(p.body)
		if first == "" {
			first = same
		}
		if same != first {
			t.Errorf("%q, %q reads otherwise than the first:\n%s\n%s", c.user, c.password, same, first)
		}
		if b.get("/x"); len(h.got()) != 0 {
			t.Error("a refused sign-in reached the app")
		}
	}
}

func TestU10NamesAreEscaped(t *testing.T) {
	h := open(t)
	for name, shows := range map[string]string{
		`"><script>alert(1)</script>`: `value="&#34;&gt;&lt;script&gt;`,
		strings.Repeat("a", 300):      `value=""`,
		"a\x00b":                      `value=""`,
		"a\xffb":                      `value=""`,
		"ålice":                       `value="ålice"`,
	} {
		p := h.browser().post("/.evergate/login", url.Values{"username": {name}, "password": {"p"}})
		p.want(t, 401, `name="username" `+shows)
	}
}

func TestSignInThatIsNotLookedAt(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.submit(b.get("/"), "username", "throttled", "password", "x")
	p.want(t, 429, "Wait 12 seconds", `role="alert"`, `value="throttled"`)
	if got := p.Header.Get("Retry-After"); got != "12" {
		t.Errorf("got Retry-After %q, want 12", got)
	}
	if strings.Contains(p.body, "aria-invalid") {
		t.Error("the fields are called invalid, though nobody looked at them")
	}
	p = b.submit(b.get("/"), "username", "outage", "password", "x")
	p.want(t, 503, "You are not signed in: the password check is out of order", "Nothing is wrong with your password")
	if got := p.Header.Get("Retry-After"); got != "3" || strings.Contains(p.body, "internal detail") {
		t.Errorf("got Retry-After %q in %s", got, p.body)
	}
	p = b.submit(b.get("/"), "username", "mistake", "password", "x")
	p.want(t, 500, "Something went wrong here")
	if strings.Contains(p.body, "nobody expected") {
		t.Errorf("the cause shows: %s", p.body)
	}
}

func TestSignInWhileTheStoreIsOut(t *testing.T) {
	h := open(t)
	b := h.browser()
	p := b.get("/x")
	h.sessions.set(func() { h.sessions.fault = &auth.Unavailable{What: "the session store"} })
	b.submit(p, "username", "alice", "password", "alicealice").want(t, 503, "the session store is out of order", `value="alice"`)
	for _, uri := range []string{"/.evergate/login", "/.evergate/landed", "/.evergate/logout"} {
		p := b.get(uri)
		p.want(t, 503, "The session store is out of order", "Nothing has changed")
		if p.Header.Get("Retry-After") == "" || p.at() != uri {
			t.Errorf("%s: ended at %s with Retry-After %q", uri, p.at(), p.Header.Get("Retry-After"))
		}
	}
}

func TestSignInWithNoWayToSignIn(t *testing.T) {
	h := open(t, func(c *auth.HandlerConfig) { c.Password = nil })
	for _, p := range []page{h.browser().get("/x"), h.browser().post("/.evergate/login", url.Values{"username": {"alice"}, "password": {"alicealice"}})} {
		p.want(t, 503, "No way to sign in is set up here")
	}
}

func TestSignInGoesStraightOnWithALiveSession(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	p := b.do("GET!", "/.evergate/login?rd=%2Fwanted%3Fx", "", "")
	p.want(t, 303)
	if got := p.Header.Get("Location"); got != "/wanted?x" {
		t.Errorf("got Location %q, want /wanted?x", got)
	}
	if got := p.Header.Get("Set-Cookie"); !strings.HasPrefix(got, "delivered=") {
		t.Errorf("a cookie that is due is not delivered: %q", got)
	}
}

func TestSeveralTabsEndWhereTheyWanted(t *testing.T) {
	h := open(t)
	b := h.browser()
	wanted := []string{"/one?a=1", "/two", "/three#x"}
	var pages []page
	for _, uri := range wanted {
		pages = append(pages, b.get(uri))
	}
	for i, p := range pages {
		b.submit(p, "username", "alice", "password", "alicealice").want(t, 200, "the app: GET "+strings.TrimSuffix(wanted[i], "#x"))
	}
}

func TestRememberMe(t *testing.T) {
	h := open(t)
	for remember, wantAge := range map[string]bool{"": false, "1": true} {
		p := h.browser().do("POST!", "/.evergate/login", urlencoded, url.Values{"username": {"alice"}, "password": {"alicealice"}, "remember": {remember}}.Encode())
		p.want(t, 303)
		if got := strings.Contains(p.Header.Get("Set-Cookie"), "Max-Age"); got != wantAge {
			t.Errorf("remember %q: got Set-Cookie %q", remember, p.Header.Get("Set-Cookie"))
		}
		if got, want := p.Header.Get("Location"), "/.evergate/landed?rd=%2F"; got != want {
			t.Errorf("got Location %q, want %q", got, want)
		}
	}
}

func TestOpenRedirects(t *testing.T) {
	h := open(t)
	alice := h.browser()
	alice.signIn("/", "alice")
	for _, c := range away {
		if len(c.rd) > 4096 {
			continue // the query alone would be refused
		}
		t.Run(c.name, func(t *testing.T) {
			q := url.QueryEscape(c.rd)
			for _, p := range []page{
				alice.do("GET!", "/.evergate/login?rd="+q, "", ""),
				alice.do("GET!", "/.evergate/landed?rd="+q, "", ""),
			} {
				if got := p.Header.Get("Location"); p.StatusCode != 303 || got != "/" {
					t.Errorf("%s: got %d Location %q, want 303 /", p.at(), p.StatusCode, got)
				}
			}
			p := h.browser().do("POST!", "/.evergate/login", urlencoded, url.Values{"username": {"alice"}, "password": {"alicealice"}, "rd": {c.rd}}.Encode())
			if got := p.Header.Get("Location"); got != "/.evergate/landed?rd=%2F" {
				t.Errorf("sign-in: got Location %q", got)
			}
			h.browser().do("POST!", "/.evergate/logout?rd="+q, "", "").want(t, 200, `href="/.evergate/login?rd=%2F"`)
		})
	}
	t.Run("OR-47 rd given twice or as a list", func(t *testing.T) {
		for _, q := range []string{"rd=/a&rd=/b", "rd[]=/a", "rd=/a&rd=//evil.com"} {
			if got := alice.do("GET!", "/.evergate/login?"+q, "", "").Header.Get("Location"); got != "/" {
				t.Errorf("%s: got Location %q, want /", q, got)
			}
		}
	})
}

func TestU12CredentialsInTheQueryAreNotRead(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.get("/.evergate/login?username=alice&password=alicealice").want(t, 200, `name="username" value=""`)
	b.post("/.evergate/login?username=alice&password=alicealice", url.Values{}).want(t, 401)
	b.post("/.evergate/login", url.Values{"username": {"alice", "bob"}, "password": {"alicealice"}}).want(t, 401)
	if b.get("/app"); len(h.got()) != 0 {
		t.Error("the query signed somebody in")
	}
}

func TestLandedWithoutACookie(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		name   string
		edit   func(*auth.HandlerConfig)
		header []string
		want   []string
	}{
		{"blocked cookies, or the clock", nil, nil, []string{"does not keep cookies", "clock", "4 March 2026, 12:00 UTC"}},
		{"https is meant, http came", func(c *auth.HandlerConfig) {
			u := *c.PublicURL
			u.Scheme = "https"
			c.PublicURL = &u
		}, nil, []string{"reached the gateway by http", "X-Forwarded-Proto", "trusted_proxies"}},
		{"another host", nil, []string{"Host", "other.test"}, []string{"You are at other.test, but the gateway&#39;s public_url is http://127.0.0.1:"}},
		{"the cookie twice", nil, []string{"Cookie", sessionCookie + "=a; " + sessionCookie + "=b"}, []string{"more than once", "trying again will probably work"}},
		{"a session that is over", nil, []string{"Cookie", sessionCookie + "=gone"}, []string{"a sign-in that is over"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := h
			if c.edit != nil {
				h = open(t, c.edit)
			}
			p := h.browser().get("/.evergate/landed?rd=/wanted", c.header...)
			p.want(t, 400, append(c.want, "<h1>The sign-in did not stick</h1>", `href="/.evergate/login?rd=%2Fwanted"`)...)
			if p.Header.Get("Location") != "" || p.Header.Get("Refresh") != "" || strings.Contains(p.body, "http-equiv") {
				t.Error("the page sends the browser on: that is a loop")
			}
		})
	}
}

func TestDetourIsPassedOn(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	h.sessions.set(func() { h.sessions.detour = true })
	p := b.do("GET!", "/.evergate/logout?rd=/x", "", "")
	p.want(t, 307)
	if got := p.Header.Get("Location"); got != "/.evergate/logout?rd=/x" || !strings.HasPrefix(p.Header.Get("Set-Cookie"), "detour=1") {
		t.Errorf("got Location %q with %q, want the same address and the detour's cookie", got, p.Header.Get("Set-Cookie"))
	}
	b.get("/.evergate/logout").want(t, 200, "Sign out?")
}

func TestPasswordMethodLearnsTheClient(t *testing.T) {
	known := &passwords{}
	h := open(t, func(c *auth.HandlerConfig) { c.Password = known })
	h.browser().post("/.evergate/login", url.Values{"username": {"alice"}}, "X-Forwarded-For", "203.0.113.7")
	if len(known.seen) != 1 || known.seen[0].String() != "127.0.0.1" {
		t.Errorf("U-02 got %v, want the peer, whatever X-Forwarded-For says", known.seen)
	}
}

func TestBodiesThatAreNoForm(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		name, contentType, body string
		want                    int
	}{
		{"X-06 JSON as text/plain", "text/plain", `{"username":"alice","password":"alicealice"}`, 415},
		{"JSON", "application/json", `{}`, 415},
		{"multipart", "multipart/form-data; boundary=x", "--x--", 415},
		{"no type", "", "username=alice", 415},
		{"64 KiB and more", urlencoded, "username=" + strings.Repeat("a", 64<<10), 413},
		{"escapes that are none", urlencoded, "username=%zz&password=hunter2", 400},
		{"a charset is fine", urlencoded + "; charset=UTF-8", "username=alice&password=alicealice", 303},
	} {
		for _, path := range []string{"/.evergate/login", "/.evergate/logout"} {
			t.Run(c.name+" "+path, func(t *testing.T) {
				p := h.browser().do("POST!", path, c.contentType, c.body)
				want := c.want
				if want == 303 && path == "/.evergate/logout" {
					want = 200
				}
				p.want(t, want)
				if strings.Contains(p.body, "hunter2") {
					t.Error("the answer quotes the form")
				}
			})
		}
	}
}

func TestHandlerNeedsItsParts(t *testing.T) {
	public := &url.URL{Scheme: "https", Host: "gw.test"}
	full := auth.HandlerConfig{Sessions: &sessions{}, Sealer: newSealer(nil), PublicURL: public, CookiePrefix: "c"}
	h, err := auth.NewHandler(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*auth.HandlerConfig){
		"sessions":          func(c *auth.HandlerConfig) { c.Sessions = nil },
		"a sealer":          func(c *auth.HandlerConfig) { c.Sealer = nil },
		"a public URL":      func(c *auth.HandlerConfig) { c.PublicURL = nil },
		"a host in it":      func(c *auth.HandlerConfig) { c.PublicURL = &url.URL{Path: "/"} },
		"a prefix":          func(c *auth.HandlerConfig) { c.CookiePrefix = "" },
		"no second login":   func(c *auth.HandlerConfig) { c.Extra = map[string]http.Handler{"login": http.NotFoundHandler()} },
		"extras that exist": func(c *auth.HandlerConfig) { c.Extra = map[string]http.Handler{"x": nil} },
	} {
		cfg := full
		edit(&cfg)
		if _, err := auth.NewHandler(cfg); err == nil {
			t.Errorf("a handler without %s is made", name)
		}
	}
}
