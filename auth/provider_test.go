package auth_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
)

// corp is a provider whose pages do not exist: the test is the person there.
type corp struct {
	mu        sync.Mutex
	begin     error             // what Begin answers, if not nil
	complete  error             // what Complete answers, if not nil
	subject   string            // who signs in
	flows     map[string]string // nonce, verifier and key, by state
	keys      []string          // of those that were begun, private
	prompts   []string
	asked     []string // acr_values and max_age
	acr       string
	amr       []string
	authTime  time.Time
	completed int
	logout    error
	noLogout  bool
}

func newCorp() *corp { return &corp{subject: "carol", flows: map[string]string{}, authTime: noon} }

func (c *corp) Begin(_ context.Context, f auth.Flow) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begin != nil {
		return "", c.begin
	}
	c.flows[f.State] = f.Nonce + f.Verifier + f.RedirectURI + f.Key.Reveal()
	c.keys = append(c.keys, f.Key.Reveal())
	c.prompts = append(c.prompts, f.Prompt)
	c.asked = append(c.asked, f.ACRValues+" "+f.MaxAge)
	return "https://corp.test/authorize?state=" + url.QueryEscape(f.State) + "&redirect_uri=" + url.QueryEscape(f.RedirectURI), nil
}

func (c *corp) Complete(_ context.Context, f auth.Flow, answer url.Values) (*auth.Login, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.completed++
	if c.flows[f.State] != f.Nonce+f.Verifier+f.RedirectURI+f.Key.Reveal() || answer.Get("code") != "good" {
		return nil, &auth.Refused{Reason: "the flow came back changed"}
	}
	login := &auth.Login{
		Identity: auth.Identity{Provider: "corp", Subject: c.subject, User: "corp/" + c.subject, Email: c.subject + "@corp.test"},
		AuthTime: c.authTime, ACR: c.acr, AMR: c.amr, AccessToken: auth.Token{Value: secret.New("CORP-TOKEN")}, IDToken: secret.New("ID-TOKEN"), SID: "sid-of-" + c.subject,
	}
	if _, denied := errors.AsType[*auth.Denied](c.complete); denied || c.complete == nil {
		return login, c.complete
	}
	return nil, c.complete
}

func (c *corp) LogoutURL(_ context.Context, login *auth.Login, returnTo, state string) (string, error) {
	if c.noLogout || c.logout != nil {
		return "", c.logout
	}
	return "https://corp.test/logout?hint=" + login.IDToken.Reveal() + "&to=" + url.QueryEscape(returnTo) + "&state=" + url.QueryEscape(state), nil
}

func (c *corp) LogoutToken(_ context.Context, raw string) (subject, sid string, err error) {
	switch raw {
	case "by-sid":
		return "", "sid-of-carol", nil
	case "by-subject":
		return "carol", "", nil
	case "outage":
		return "", "", &auth.Unavailable{What: "the keys of Corp"}
	}
	return "", "", &auth.Refused{Reason: "a bad signature"}
}

// once is a store of names.
type once struct {
	mu   sync.Mutex
	used map[string]bool
}

func (o *once) Once(_ context.Context, name string, _ time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := !o.used[name]
	o.used[name] = true
	return first, nil
}

// openWith is a house where people sign in at c, and by password if they may.
func openWith(t *testing.T, c *corp, password bool) *house {
	return open(t, func(cfg *auth.HandlerConfig) {
		cfg.Providers = []auth.Provider{{Name: "corp", Label: "Corp & Sons", Issuer: "https://corp.test", Method: c}}
		cfg.Once = (&once{used: map[string]bool{}}).Once
		if !password {
			cfg.Password = nil
		}
	})
}

// depart goes to the provider for uri and returns the state that was sent there.
func (b *browser) depart(uri string) (state string) {
	b.t.Helper()
	p := b.do("GET!", "/.evergate/login/corp?rd="+url.QueryEscape(uri), "", "")
	p.want(b.t, 303)
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || to.Host != "corp.test" || to.Query().Get("redirect_uri") != b.h.URL+"/.evergate/callback/corp" {
		b.t.Fatalf("got %q, want to be at the provider", p.Header.Get("Location"))
	}
	return to.Query().Get("state")
}

func back(state string) string {
	return "/.evergate/callback/corp?code=good&state=" + url.QueryEscape(state)
}

func TestProviderSignsIn(t *testing.T) {
	for _, uri := range []string{"/", "/reports?q=1&r=a+b%2F", "/app#part/2", "/long?q=" + strings.Repeat("x", 1500)} {
		t.Run(uri[:min(len(uri), 20)], func(t *testing.T) {
			h := openWith(t, newCorp(), false)
			b := h.browser()
			p := b.get(back(b.depart(uri)))
			p.want(t, 200, "the app")
			want, fragment, _ := strings.Cut(uri, "#")
			if got := h.got(); len(got) != 1 || got[0].uri != want || got[0].user != "corp/carol" || p.Request.URL.Fragment != fragment {
				t.Errorf("the app got %+v at #%s, want one GET %s of corp/carol", got, p.Request.URL.Fragment, uri)
			}
		})
	}
}

func TestTenTabsSignInTogether(t *testing.T) {
	h := openWith(t, newCorp(), false)
	b := h.browser()
	var states []string
	for i := range 10 {
		states = append(states, b.depart(fmt.Sprintf("/tab/%d", i)))
	}
	slices.Reverse(states)
	for i, state := range states {
		if got, want := b.get(back(state)).at(), fmt.Sprintf("/tab/%d", 9-i); got != want {
			t.Errorf("tab %d: got %s, want %s", 9-i, got, want)
		}
	}
}

func TestOldestFlowMakesRoom(t *testing.T) {
	h := openWith(t, newCorp(), false)
	b := h.browser()
	first := b.depart("/first")
	h.advance(time.Second)
	var last string
	for range 10 {
		h.advance(time.Second)
		last = b.depart("/last")
	}
	if n := len(b.flows()); n != 10 {
		t.Errorf("got %d cookies of flows, want 10", n)
	}
	// The first has lost its cookie: it begins anew, and loses no target.
	p := b.do("GET!", back(first), "", "")
	p.want(t, 303)
	if got := p.Header.Get("Location"); !strings.HasPrefix(got, "https://corp.test/authorize?") {
		t.Errorf("got %q, want the provider again", got)
	}
	if got := b.get(back(last)).at(); got != "/last" {
		t.Errorf("the last: got %s, want /last", got)
	}
}

// flows are the names of the cookies of sign-ins under way.
func (b *browser) flows() (names []string) {
	u, _ := url.Parse(b.h.URL)
	for _, c := range b.c.Jar.Cookies(u) {
		if strings.Contains(c.Name, "-flow-") {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestFlowCookiesStaySmall(t *testing.T) {
	h := openWith(t, newCorp(), false)
	b := h.browser()
	u, _ := url.Parse(h.URL)
	for range 10 {
		b.depart("/x?" + strings.Repeat("q", 1700))
		total := 0
		for _, c := range b.c.Jar.Cookies(u) {
			total += len(c.Name) + len(c.Value)
			if len(c.Name)+len(c.Value) > 4000 {
				t.Errorf("a cookie of %d bytes, which browsers drop", len(c.Name)+len(c.Value))
			}
		}
		if total > 7<<10 {
			t.Errorf("got %d bytes of cookies, want few enough for any server", total)
		}
	}
}

func TestFlowCookieIsBoundAndHidden(t *testing.T) {
	h := openWith(t, newCorp(), false)
	p := h.browser().do("GET!", "/.evergate/login/corp", "", "")
	c := p.Header.Get("Set-Cookie")
	if !regexp.MustCompile(`^evergate-80-flow-[0-9a-f]{8}=[^;]+; Path=/; Max-Age=600; HttpOnly; SameSite=Lax$`).MatchString(c) {
		t.Errorf("got Set-Cookie %q", c)
	}
}

func TestStaleCallbackBeginsAnew(t *testing.T) {
	restarts := func(t *testing.T, p page) string {
		t.Helper()
		p.want(t, 303)
		to, err := url.Parse(p.Header.Get("Location"))
		if err != nil || to.Host != "corp.test" {
			t.Fatalf("got %q, want the provider again", p.Header.Get("Location"))
		}
		return to.Query().Get("state")
	}
	t.Run("after ten minutes", func(t *testing.T) {
		h := openWith(t, newCorp(), false)
		b := h.browser()
		state := b.depart("/late")
		h.advance(11 * time.Minute)
		if got := b.get(back(restarts(t, b.do("GET!", back(state), "", "")))).at(); got != "/late" {
			t.Errorf("got %s, want /late", got)
		}
	})
	t.Run("in another browser", func(t *testing.T) {
		c := newCorp()
		h := openWith(t, c, false)
		state, other := h.browser().depart("/mine"), h.browser()
		restarts(t, other.do("GET!", back(state), "", ""))
		if c.completed != 0 {
			t.Error("a code was taken from a browser that did not begin the flow")
		}
	})
	t.Run("repeated", func(t *testing.T) {
		c := newCorp()
		h := openWith(t, c, false)
		b := h.browser()
		state := b.depart("/twice")
		var cookies []string
		u, _ := url.Parse(h.URL)
		for _, k := range b.c.Jar.Cookies(u) {
			cookies = append(cookies, k.String())
		}
		if got := b.get(back(state)).at(); got != "/twice" {
			t.Errorf("got %s, want /twice", got)
		}
		if got := b.get(back(state)).at(); got != "/twice" {
			t.Errorf("repeated by somebody signed in: got %s, want /twice", got)
		}
		// The same request once more, as a browser repeats one that seems stuck: it
		// still has the flow's cookie, and no other.
		restarts(t, h.browser().do("GET!", back(state), "", "", "Cookie", strings.Join(cookies, "; ")))
		if c.completed != 1 {
			t.Errorf("the code was used %d times, want once", c.completed)
		}
	})
	t.Run("where no cookie is kept", func(t *testing.T) {
		h := openWith(t, newCorp(), false)
		b := h.browser()
		state := b.depart("/never")
		for range 2 {
			b = h.browser()
			state = restarts(t, b.do("GET!", back(state), "", ""))
		}
		p := h.browser().get(back(state))
		p.want(t, 400, "<h1>Signing in took too long</h1>", "cookies", "/.evergate/login?rd=%2Fnever")
		if strings.Contains(p.body, "good") {
			t.Error("the page carries the code")
		}
	})
}

func TestForeignCallbackIsRefused(t *testing.T) {
	h := openWith(t, newCorp(), false)
	for _, query := range []string{"", "?code=good", "?code=good&state=x", "?state=%", "?code=good&state=a&state=b"} {
		h.browser().get("/.evergate/callback/corp"+query).want(t, 400, "<h1>This sign-in was not begun here</h1>")
	}
}

func TestProviderPages(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		want   []string
		not    string
	}{
		{"refused", &auth.Refused{Reason: "SECRET REASON", Code: "access_denied"}, 403,
			[]string{"<h1>Corp &amp; Sons did not sign you in</h1>", "prompt=select_account"}, "SECRET"},
		{"not trusted", &auth.Refused{Reason: "SECRET REASON"}, 502, []string{"<h1>The sign-in could not be verified</h1>"}, "SECRET"},
		{"another code", &auth.Refused{Reason: "x", Code: "invalid_scope"}, 403, []string{"did not sign you in"}, "invalid_scope"},
		{"nobody signed in there", &auth.Refused{Reason: "x", Code: "login_required"}, 403, []string{"prompt=login"}, "login_required"},
		{"not allowed", &auth.Denied{Missing: "group staff"}, 403,
			[]string{"<h1>This account is not allowed here</h1>", "carol@corp.test", "group staff", "prompt=select_account"}, ""},
		{"unreachable", &auth.Unavailable{What: "x", Err: errors.New("dial 10.1.2.3")}, 503,
			[]string{"<h1>Corp &amp; Sons does not answer</h1>", "tries again by itself in 3 seconds"}, "10.1.2.3"},
		{"out of order there", &auth.Refused{Reason: "x", Code: "temporarily_unavailable"}, 503, []string{"does not answer"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			corp := newCorp()
			corp.complete = c.err
			h := openWith(t, corp, false)
			b := h.browser()
			p := b.get(back(b.depart("/wanted?x=1")))
			p.want(t, c.status, append(c.want, "Request <code>", "rd=%2Fwanted%3Fx%3D1")...)
			if c.not != "" && strings.Contains(p.body, c.not) {
				t.Errorf("the page tells %q", c.not)
			}
			if c.status == 503 && (p.Header.Get("Retry-After") != "3" || !strings.HasPrefix(p.Header.Get("Refresh"), "3; url=/.evergate/login/corp?rd=%2Fwanted%3Fx%3D1&")) {
				t.Errorf("got Retry-After %q and Refresh %q, want a page that tries again", p.Header.Get("Retry-After"), p.Header.Get("Refresh"))
			}
			if len(h.got()) != 0 {
				t.Error("the app was reached")
			}
		})
	}
}

func TestUnreachableProviderIsTriedLessAndLess(t *testing.T) {
	c := newCorp()
	c.begin = &auth.Unavailable{What: "Corp"}
	h := openWith(t, c, false)
	b, at := h.browser(), "/.evergate/login/corp?rd=/x"
	var waits []string
	for range 6 {
		p := b.get(at)
		p.want(t, 503)
		var wait string
		wait, at, _ = strings.Cut(p.Header.Get("Refresh"), "; url=")
		waits = append(waits, wait)
	}
	if want := []string{"3", "6", "12", "24", "30", "30"}; !slices.Equal(waits, want) {
		t.Errorf("got waits of %v, want %v", waits, want)
	}
	c.begin = nil
	b.do("GET!", at, "", "").want(t, 303)
}

func TestSignInPageOffersEachWay(t *testing.T) {
	h := openWith(t, newCorp(), true)
	p := h.browser().get("/wanted")
	p.want(t, 200, `<form method="post" action="/.evergate/login">`, "Or sign in at",
		`<a class="button second" href="/.evergate/login/corp?rd=%2Fwanted" data-rd="/wanted">Corp &amp; Sons</a>`)
}

func TestOnlyProviderIsGoneToStraightOn(t *testing.T) {
	h := openWith(t, newCorp(), false)
	p := h.browser().get("/wanted") // a browser: what is after "#" is to be rescued
	p.want(t, 200, `data-go`, "Corp &amp; Sons", `<script src="/.evergate/login.js?v=`)
	if got := p.Header.Get("Refresh"); got != "1; url=/.evergate/login/corp?rd=%2Fwanted" {
		t.Errorf("got Refresh %q, want the page to go on without script", got)
	}
	p = h.browser().do("GET!", "/.evergate/login?rd=/wanted", "", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "")
	p.want(t, 303)
	if got := p.Header.Get("Location"); got != "/.evergate/login/corp?rd=%2Fwanted" {
		t.Errorf("a program: got Location %q", got)
	}
	h.browser().get("/.evergate/login?why=idle").want(t, 200, "nothing happened for a long time", "Sign in at Corp &amp; Sons")
}

func TestSomebodySignedInGoesOnUnlessTheyAskForAnotherAccount(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/"))).want(t, 200)
	if p := b.get("/.evergate/login/corp?rd=/there"); p.at() != "/there" {
		t.Errorf("got %s, want /there", p.at())
	}
	b.do("GET!", "/.evergate/login/corp?rd=/there&prompt=select_account", "", "").want(t, 303)
	b.do("GET!", "/.evergate/login/corp?rd=/there&prompt=evil", "", "")
	if want := []string{"", "select_account"}; !slices.Equal(c.prompts, want) {
		t.Errorf("got prompts %q, want %q", c.prompts, want)
	}
}

func TestKeptFormSurvivesTheTrip(t *testing.T) {
	h := openWith(t, newCorp(), false)
	b := h.browser()
	p := b.do("POST", "/send?to=bob", urlencoded, "a=1", "Referer", h.URL+"/page")
	m := regexp.MustCompile(`href="(/\.evergate/login/corp\?[^"]+)"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no way to the provider in:\n%s", p.body)
	}
	p = b.do("GET!", html.UnescapeString(m[1]), "", "")
	to, _ := url.Parse(p.Header.Get("Location"))
	p = b.get(back(to.Query().Get("state")))
	p.want(t, 200, "<h1>Send your form?</h1>")
	b.submit(p).want(t, 200, "the app: POST /send?to=bob")
}

func TestLogoutGoesOnToTheProvider(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/"))).want(t, 200)
	p := b.get("/.evergate/logout?rd=/bye")
	p.want(t, 200, "signed out at <strong>Corp &amp; Sons</strong> too")
	if csp := p.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https:") {
		t.Errorf("got %q: a browser would stop the form on its way to the provider", csp)
	}
	p = b.do("POST!", "/.evergate/logout", urlencoded, "rd=/bye")
	p.want(t, 303)
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil || to.Host != "corp.test" || to.Query().Get("hint") != "ID-TOKEN" || to.Query().Get("to") != h.URL+"/.evergate/logout" {
		t.Fatalf("got %q, want the provider's sign-out", p.Header.Get("Location"))
	}
	p = b.do("GET!", "/.evergate/logout?state="+url.QueryEscape(to.Query().Get("state")), "", "")
	if p.want(t, 303); p.Header.Get("Location") != "/bye" {
		t.Errorf("back from the provider: got %q, want /bye", p.Header.Get("Location"))
	}
	b.get("/.evergate/logout?state=forged").want(t, 200, "<h1>Signed out</h1>")
}

func TestLogoutWorksWhileTheProviderIsDown(t *testing.T) {
	for name, set := range map[string]func(*corp){
		"down":                func(c *corp) { c.logout = &auth.Unavailable{What: "Corp"} },
		"it offers no logout": func(c *corp) { c.noLogout = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCorp()
			h := openWith(t, c, false)
			b := h.browser()
			b.get(back(b.depart("/"))).want(t, 200)
			set(c)
			b.do("POST", "/.evergate/logout", urlencoded, "").want(t, 200, "<h1>Signed out</h1>", "may still be signed in at <strong>Corp &amp; Sons</strong>")
			b.do("GET!", "/", "", "").want(t, 302)
		})
	}
}

func TestBackchannelLogout(t *testing.T) {
	post := func(b *browser, body string, header ...string) page {
		// A server calls, not a browser.
		return b.do("POST!", "/.evergate/backchannel-logout/corp", urlencoded, body,
			append([]string{"Origin", "", "Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""}, header...)...)
	}
	for _, c := range []struct {
		body   string
		status int
		want   string
		ended  bool
	}{
		{"logout_token=by-sid", 200, "", true},
		{"logout_token=by-subject", 200, "", true},
		{"logout_token=forged", 400, `"error":"invalid_request"`, false},
		{"logout_token=outage", 400, `"error":"temporarily_unavailable"`, false},
		{"", 400, `"error":"invalid_request"`, false},
		{"logout_token=by-sid&logout_token=by-sid", 400, `"error":"invalid_request"`, false},
	} {
		t.Run(c.body, func(t *testing.T) {
			h := openWith(t, newCorp(), false)
			b := h.browser()
			b.get(back(b.depart("/"))).want(t, 200)
			p := post(h.browser(), c.body)
			p.want(t, c.status, c.want)
			if got := p.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("got Cache-Control %q, want no-store", got)
			}
			if got := b.do("GET!", "/", "", "").StatusCode; (got == 302) != c.ended {
				t.Errorf("afterwards: got %d, want ended: %v", got, c.ended)
			}
		})
	}
	t.Run("from a page of another site", func(t *testing.T) {
		h := openWith(t, newCorp(), false)
		post(h.browser(), "logout_token=by-sid", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").want(t, 403)
	})
}

func TestProvidersAreChecked(t *testing.T) {
	public, _ := url.Parse("https://gw.test")
	for name, edit := range map[string]func(*auth.HandlerConfig){
		"no Once":         func(c *auth.HandlerConfig) { c.Once = nil },
		"no method":       func(c *auth.HandlerConfig) { c.Providers[0].Method = nil },
		"twice":           func(c *auth.HandlerConfig) { c.Providers = append(c.Providers, c.Providers[0]) },
		"no part of path": func(c *auth.HandlerConfig) { c.Providers[0].Name = "a/b" },
	} {
		cfg := auth.HandlerConfig{Sessions: &sessions{}, Sealer: newSealer(time.Now), PublicURL: public, CookiePrefix: "x",
			Providers: []auth.Provider{{Name: "corp", Method: newCorp()}}, Once: (&once{}).Once}
		edit(&cfg)
		if _, err := auth.NewHandler(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestFrontchannelLogout(t *testing.T) {
	for _, c := range []struct {
		query  string
		status int
		ended  bool
	}{
		{"?iss=https://corp.test&sid=sid-of-carol", 200, true},
		{"?iss=https://corp.test&sid=another", 200, false},
		{"?sid=sid-of-carol", 400, false},
		{"?iss=https://evil.example&sid=sid-of-carol", 400, false},
		{"?iss=https://corp.test", 400, false},
		{"?iss=https://corp.test&sid=", 400, false},
		{"?iss=&sid=sid-of-carol", 400, false},
		{"?iss=https://corp.test/&sid=sid-of-carol", 400, false},
		{"?iss=HTTPS://CORP.TEST&sid=sid-of-carol", 400, false},
		{"?iss=https://corp.test&iss=https://corp.test&sid=sid-of-carol", 400, false},
		{"?iss=https://evil.example&iss=https://corp.test&sid=sid-of-carol", 400, false},
		{"?iss=https://corp.test&sid=a&sid=sid-of-carol", 400, false},
	} {
		h := openWith(t, newCorp(), false)
		b := h.browser()
		b.get(back(b.depart("/"))).want(t, 200)
		p := h.browser().do("GET!", "/.evergate/frontchannel-logout/corp"+c.query, "", "", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "cross-site")
		p.want(t, c.status)
		if c.status == 200 && (p.Header.Get("X-Frame-Options") != "" || strings.Contains(p.Header.Get("Content-Security-Policy"), "frame-ancestors")) {
			t.Errorf("%s: the page forbids the frame it is made for", c.query)
		}
		if p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got Cache-Control %q, want no-store", c.query, p.Header.Get("Cache-Control"))
		}
		if got := b.do("GET!", "/", "", "").StatusCode == 302; got != c.ended {
			t.Errorf("%s: ended %v, want %v", c.query, got, c.ended)
		}
	}
}

// TestSilentSignIn: a session that could not be renewed comes back without a word
// where the provider still knows the person, and with one where it does not.
func TestSilentSignIn(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, true)
	b := h.browser()
	b.get(back(b.depart("/"))).want(t, 200)
	h.got()
	h.sessions.set(func() { h.sessions.fault = &auth.Absent{Reason: auth.Over, Silent: "corp"} })
	p := b.do("GET!", "/page?x=1", "", "")
	p.want(t, 302)
	at := p.Header.Get("Location")
	if at != "/.evergate/login/corp?rd=%2Fpage%3Fx%3D1&prompt=none" {
		t.Fatalf("got Location %q, want the provider to be asked silently", at)
	}
	if p := b.do("GET!", "/api", "", "", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"); p.StatusCode != 401 {
		t.Errorf("a script: got %d, want 401", p.StatusCode)
	}
	h.sessions.set(func() { h.sessions.fault = nil; clear(h.sessions.live) })
	state := func() string {
		p := b.do("GET!", at, "", "")
		p.want(t, 303)
		to, _ := url.Parse(p.Header.Get("Location"))
		return to.Query().Get("state")
	}
	if got := b.get(back(state())).at(); got != "/page?x=1" || c.prompts[len(c.prompts)-1] != "none" {
		t.Errorf("known there: ended at %s after prompt %q, want /page?x=1 after none", got, c.prompts)
	}
	h.sessions.set(func() { clear(h.sessions.live) })
	c.complete = &auth.Refused{Reason: "x", Code: "login_required"}
	p = b.get(back(state()))
	p.want(t, 200, "<h1>Sign in</h1>", "Your sign-in has reached the end of its lifetime.", `value="/page?x=1"`)
}
