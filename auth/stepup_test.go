package auth_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// wants is a house whose app asks for a sign-in like r's.
func (h *house) wants(r auth.Rule) *house {
	h.policy = auth.Policy{Allow: []*auth.Rule{&r}}
	return h
}

// stateAt is the state in the address of the provider that the browser is sent to.
func (b *browser) stateAt(location string) string {
	b.t.Helper()
	to, err := url.Parse(location)
	if err != nil || to.Host != "corp.test" {
		b.t.Fatalf("got %q, want to be at the provider", location)
	}
	return to.Query().Get("state")
}

// follow goes as far as the gateway's own redirects lead, and returns the address outside
// of it that the last one names, or "" and the page.
func (b *browser) follow(method, uri string, header ...string) (outside string, last page) {
	b.t.Helper()
	for range 10 {
		p := b.do(method+"!", uri, "", "", header...)
		to := p.Header.Get("Location")
		if to == "" {
			return "", p
		}
		if strings.HasPrefix(to, "https://corp.test/") {
			return to, p
		}
		if strings.HasPrefix(to, "http") || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
			b.t.Fatalf("%s leads to %q", uri, to)
		}
		uri, method = to, "GET"
	}
	b.t.Fatalf("%s goes round for ever", uri)
	return "", page{}
}

// noScript is how a request looks whose browser says nothing of what it is for.
var noScript = []string{"Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Sec-Fetch-Site", ""}

func TestStepUpAtProvider(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/"))).want(t, 200, "the app")

	// Signed in by no class at all, and long ago.
	h.wants(auth.Rule{ACR: []string{"gold", "platinum"}, MaxAuthAge: 15 * time.Minute})
	h.advance(time.Hour)
	h.got()
	to, _ := b.follow("GET", "/admin?q=1", noScript...)
	if got := c.asked[len(c.asked)-1]; got != "gold platinum 900" {
		t.Errorf("the provider is asked for %q, want both classes and 900 s", got)
	}
	if got := c.prompts[len(c.prompts)-1]; got != "" {
		t.Errorf("got prompt %q, want none: the provider knows best", got)
	}
	c.acr, c.authTime = "platinum", h.now()
	b.get(back(b.stateAt(to))).want(t, 200, "the app: GET /admin?q=1")

	// Fresh enough already: straight on, wherever they come from.
	for _, uri := range []string{"/admin", "/.evergate/login?rd=%2Fadmin&acr_values=gold+platinum&max_age=900", "/.evergate/login/corp?rd=%2Fadmin&acr_values=platinum&max_age=60"} {
		if _, p := b.follow("GET", uri, noScript...); p.StatusCode != 200 || !strings.Contains(p.body, "the app: GET /admin") {
			t.Errorf("%s: got %d at %s, want the app", uri, p.StatusCode, p.at())
		}
	}
	// And too old a quarter of an hour later.
	h.advance(16*time.Minute + time.Second)
	if to, p := b.follow("GET", "/admin", noScript...); to == "" {
		t.Errorf("got %d at %s, want the provider", p.StatusCode, p.at())
	}
}

// TestStepUpIsNoCircle: a provider that does not heed what it is asked for is asked once
// more, with prompt=login, and then a page says so.
func TestStepUpIsNoCircle(t *testing.T) {
	for _, row := range []struct {
		name    string
		rule    auth.Rule
		gives   func(*corp)
		prompts []string
		says    string
	}{
		{"acr_values are not heeded", auth.Rule{ACR: []string{"gold"}}, func(c *corp) { c.acr = "silver" }, []string{"", "login"}, "If you can sign in like that at Corp &amp; Sons"},
		{"no class is told", auth.Rule{ACR: []string{"gold"}}, func(*corp) {}, []string{"", "login"}, "asks for a stronger sign-in, and this one is not."},
		{"max_age is not heeded", auth.Rule{MaxAuthAge: time.Minute}, func(*corp) {}, []string{"", "login"}, "asks for a sign-in within the last minute, and this one is not."},
		{"the time is not told", auth.Rule{MaxAuthAge: time.Minute}, func(c *corp) { c.authTime = time.Time{} }, []string{""}, "Corp &amp; Sons does not tell when you last proved"},
		{"another method", auth.Rule{AMR: []string{"otp"}}, func(c *corp) { c.amr = []string{"pwd"} }, []string{"", "login"}, "asks for a stronger sign-in"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCorp()
			h := openWith(t, c, false)
			b := h.browser()
			b.get(back(b.depart("/")))
			h.wants(row.rule)
			h.advance(time.Hour)
			row.gives(c)
			c.prompts = nil
			to, _ := b.follow("GET", "/admin", noScript...)
			for range row.prompts[1:] {
				to, _ = b.follow("GET", back(b.stateAt(to)), noScript...)
			}
			to, p := b.follow("GET", back(b.stateAt(to)), noScript...)
			if to != "" {
				t.Fatalf("got %s, want a page", to)
			}
			p.want(t, 403, row.says, "A stronger sign-in is needed", "You are signed in as carol@corp.test")
			if !slices.Equal(c.prompts, row.prompts) {
				t.Errorf("got the prompts %q, want %q", c.prompts, row.prompts)
			}
			// They are signed in all the same, for what does not ask as much.
			h.policy = auth.Policy{}
			b.get("/other").want(t, 200, "the app: GET /other")
		})
	}
}

func TestStepUpAsksTheProviderForAMethodAnew(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false).wants(auth.Rule{AMR: []string{"otp"}})
	b := h.browser()
	to, _ := b.follow("GET", back(b.depart("/")), noScript...)
	if got := c.asked[len(c.asked)-1]; got != " 0" {
		t.Errorf("the provider is asked for %q, want max_age=0: a sign-in that is there has the methods that it has", got)
	}
	c.amr = []string{"pwd", "otp"}
	b.get(back(b.stateAt(to))).want(t, 200, "the app: GET /")
}

// TestStepUpBySomebodyElse: whoever signs in further need not be who was signed in, and
// the rule is asked about whom it is by then.
func TestStepUpBySomebodyElse(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false).wants(auth.Rule{Users: []string{"corp/carol"}, ACR: []string{"gold"}})
	b := h.browser()
	to, _ := b.follow("GET", back(b.depart("/admin")), noScript...)
	c.subject, c.acr = "dave", "gold"
	b.get(back(b.stateAt(to))).want(t, 403, "needs user corp/carol")
	if got := h.got(); len(got) != 0 {
		t.Errorf("the app got %+v", got)
	}
}

func TestStepUpByPassword(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice").want(t, 200, "the app")
	h.wants(auth.Rule{MaxAuthAge: 5 * time.Minute})
	b.get("/admin").want(t, 200, "the app") // noon is now
	h.advance(7 * time.Minute)
	p := b.get("/admin?q=1")
	p.want(t, 200, "<h1>Confirm that it is you</h1>", "You are signed in as alice@example.org. This address asks for a sign-in within the last 5 minutes.",
		`name="username" value="alice"`, `name="max_age" value="300"`)

	// A wrong password leaves them where they are, and signed in.
	wrong := b.submit(p, "username", "alice", "password", "wrong")
	wrong.want(t, 401, "Confirm that it is you", "do not match", `name="max_age" value="300"`, `name="username" value="alice"`)
	b.get("/.evergate/session", "Accept", "application/json", "Sec-Fetch-Mode", "cors").want(t, 200, "alice")

	// The passwords of these tests were proven at noon, so this one is too old by now as well.
	b.submit(wrong, "username", "alice", "password", "alicealice").want(t, 403, "A stronger sign-in is needed", "Here nobody can sign in like that yet")
}

// freshPasswords proves passwords when they are typed.
type freshPasswords struct {
	passwords
	now func() time.Time
}

func (p *freshPasswords) Login(ctx context.Context, from auth.Asker, user, password string) (*auth.Login, error) {
	login, err := p.passwords.Login(ctx, from, user, password)
	if err == nil {
		login.AuthTime = p.now()
	}
	return login, err
}

// withFreshPasswords is open with a clock for passwords.
func withFreshPasswords(t *testing.T, edit ...func(*auth.HandlerConfig)) *house {
	t.Helper()
	var h *house
	h = open(t, append([]func(*auth.HandlerConfig){func(c *auth.HandlerConfig) {
		c.Password = &freshPasswords{now: func() time.Time { return h.now() }}
	}}, edit...)...)
	return h
}

func TestStepUpByPasswordGoesOn(t *testing.T) {
	h := withFreshPasswords(t).wants(auth.Rule{MaxAuthAge: 5 * time.Minute})
	b := h.browser()
	b.signIn("/admin", "alice").want(t, 200, "the app")
	h.advance(time.Hour)
	p := b.get("/admin?q=1#part")
	if strings.Contains(p.body, " checked>") {
		t.Error("somebody who did not ask to be kept signed in is by confirming who they are")
	}
	b.submit(p, "username", "alice", "password", "alicealice", "remember", "1").want(t, 200, "the app: GET /admin?q=1")
	h.advance(time.Hour)
	b.get("/admin").want(t, 200, "Confirm that it is you", `name="remember" value="1" checked>`)
}

// TestStepUpThatNobodyCanDo: passwords have no classes.
func TestStepUpThatNobodyCanDo(t *testing.T) {
	h := open(t).wants(auth.Rule{ACR: []string{"gold"}})
	b := h.browser()
	p := b.get("/admin")
	p.want(t, 200, "Sign in")
	b.submit(p, "username", "alice", "password", "alicealice").want(t, 403, "Here nobody can sign in like that yet")
	b.get("/admin").want(t, 403, "Here nobody can sign in like that yet")

	c := newCorp()
	h = openWith(t, c, true)
	b = h.browser()
	b.signIn("/", "alice").want(t, 200, "the app")
	h.wants(auth.Rule{ACR: []string{"gold"}})
	p = b.get("/admin")
	p.want(t, 200, "Confirm that it is you", "Sign in at Corp &amp; Sons", "acr_values=gold")
	if strings.Contains(p.body, `type="password"`) {
		t.Error("the page asks for a password, which cannot be what is asked for")
	}
}

// TestFormSurvivesStepUp: what was being posted is kept for the person who posted it, and
// for nobody else.
func TestFormSurvivesStepUp(t *testing.T) {
	for _, who := range []string{"alice", "bob"} {
		t.Run(who, func(t *testing.T) {
			h := withFreshPasswords(t).wants(auth.Rule{MaxAuthAge: 5 * time.Minute})
			b := h.browser()
			b.signIn("/", "alice")
			h.advance(time.Hour)
			h.got()
			p := b.post("/transfer", url.Values{"amount": {"100"}}, "Referer", h.URL+"/form")
			p.want(t, 200, "Confirm that it is you", "What you were sending is kept")
			p = b.submit(p, "username", who, "password", who+who)
			if who == "bob" {
				if p.StatusCode != 410 || strings.Contains(p.body, "<form") {
					t.Errorf("got %d, want another person to be told that the form is gone:\n%s", p.StatusCode, p.body)
				}
				return
			}
			p.want(t, 200, "/transfer")
			b.submit(p).want(t, 200, "the app: POST /transfer")
			if got := h.got(); len(got) != 1 || got[0].body != "amount=100" || got[0].user != "alice" {
				t.Errorf("the app got %+v, want alice's form", got)
			}
		})
	}
}

// TestScriptsAreTold is RFC 9470 section 3.
func TestScriptsAreTold(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/")))
	h.wants(auth.Rule{ACR: []string{"gold"}, MaxAuthAge: 5 * time.Minute})
	h.advance(time.Hour)
	p := b.get("/api", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*", "Referer", h.URL+"/page?q=1")
	p.want(t, 401)
	if got, want := p.Header.Get("Www-Authenticate"), `Bearer realm="evergate", error="insufficient_user_authentication", `+
		`error_description="a stronger sign-in is needed", acr_values="gold", max_age="300"`; got != want {
		t.Errorf("got the challenge %s, want %s", got, want)
	}
	var problem struct {
		Code, Reason string
		LoginURL     string `json:"login_url"`
	}
	if err := json.Unmarshal([]byte(p.body), &problem); err != nil || p.Header.Get("Content-Type") != "application/problem+json" ||
		problem.Code != "insufficient_user_authentication" || problem.Reason != auth.Insufficient {
		t.Errorf("got %s %s (%v)", p.Header.Get("Content-Type"), p.body, err)
	}
	if want := h.URL + "/.evergate/login?rd=%2Fpage%3Fq%3D1&acr_values=gold&max_age=300"; problem.LoginURL != want {
		t.Fatalf("got login_url %s, want %s", problem.LoginURL, want)
	}
	// The script goes there, and comes back to the page that it belongs to.
	to, _ := b.follow("GET", strings.TrimPrefix(problem.LoginURL, h.URL), noScript...)
	c.acr, c.authTime = "gold", h.now()
	b.get(back(b.stateAt(to))).want(t, 200, "the app: GET /page?q=1")
}

func TestStepUpInAFrame(t *testing.T) {
	h := openWith(t, newCorp(), false)
	b := h.browser()
	b.get(back(b.depart("/")))
	h.wants(auth.Rule{ACR: []string{"gold"}})
	p := b.get("/widget", "Sec-Fetch-Dest", "iframe")
	p.want(t, 401, "This asks for a further sign-in", `href="/.evergate/login?rd=%2Fwidget&amp;acr_values=gold" target="_top"`)
	if got := p.Header.Get("Www-Authenticate"); !strings.Contains(got, `acr_values="gold"`) {
		t.Errorf("got the challenge %q, want the class in it", got)
	}
}

// TestAddressesLowerNothing: whatever a stranger writes into the address of the sign-in
// page, the app is opened by what its rule asks, and nobody is sent elsewhere.
func TestAddressesLowerNothing(t *testing.T) {
	for _, params := range []string{"", "&acr_values=silver", "&acr_values=", "&acr_values=gold&acr_values=silver", "&max_age=999999999", "&max_age=-1", "&max_age=5m",
		"&acr_values=%22%3E%3Cscript%3E", "&acr_values=" + strings.Repeat("x", 5000), "&amr_values=pwd", "&acr_values=a%0D%0AX:+y", "&to=nonsense&acr_values=silver", "&prompt=none",
		"&rd=%2F%2Fevil.example%2F"} {
		c := newCorp()
		c.acr = "silver"
		h := openWith(t, c, false)
		b := h.browser()
		b.get(back(b.depart("/")))
		h.wants(auth.Rule{ACR: []string{"gold"}})
		h.got()
		uri := "/.evergate/login?rd=%2Fadmin" + params
		for range 6 { // as long as the browser is sent to the provider, somebody is there who is not gold
			to, _ := b.follow("GET", uri, noScript...)
			if to == "" {
				break
			}
			uri = back(b.stateAt(to))
		}
		if got := h.got(); len(got) != 0 {
			t.Errorf("%.60s: the app was opened: %+v", params, got)
		}
	}
}

// TestStepUpPageSaysNothingOfTheAddress: a stranger's words in a link do not show on our pages.
func TestStepUpPageSaysNothingOfTheAddress(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	for _, uri := range []string{"/.evergate/login?acr_values=CALL-0900-555", "/.evergate/login?amr_values=CALL-0900-555"} {
		p := b.get(uri)
		p.want(t, 403, "A stronger sign-in is needed")
		text := p.body
		for _, link := range []string{"acr_values=CALL-0900-555", "amr_values=CALL-0900-555"} {
			text = strings.ReplaceAll(text, link, "")
		}
		if strings.Contains(text, "CALL") {
			t.Errorf("%s: the page repeats it:\n%s", uri, p.body)
		}
	}
}

// TestStepUpLogTellsWhoseWordsTheyAre: what a stranger's link asks for is in the log as
// that, and in quotes.
func TestStepUpLogTellsWhoseWordsTheyAre(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	public, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"acr_values=rules+broken":     `the address asked for a sign-in of class "rules" or "broken", and this one is not`,
		"amr_values=root":             `the address asked for a sign-in by "root", and this one is not`,
		"acr_values=gold&max_age=300": `the address asked for a sign-in of class "gold" and a sign-in within the last 5 minutes, and this one is not`,
	} {
		r := httptest.NewRequest("GET", h.URL+"/.evergate/login?"+query, nil)
		for _, c := range b.c.Jar.Cookies(public) {
			r.AddCookie(c)
		}
		note := &web.Note{ID: "ID"}
		h.handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(web.WithNote(r.Context(), note)))
		if note.Err == nil || !strings.HasSuffix(note.Err.Error(), ": "+want) {
			t.Errorf("%s: got %v, want %s", query, note.Err, want)
		}
	}
}

// TestHintAtTheFirstSignIn: whoever has to sign in anyway does it right the first time.
func TestHintAtTheFirstSignIn(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	to, _ := b.follow("GET", "/.evergate/login?rd=%2Fadmin&acr_values=gold&max_age=300", noScript...)
	if c.asked[0] != "gold 300" {
		t.Errorf("the provider is asked for %q", c.asked[0])
	}
	c.acr = "gold"
	b.get(back(b.stateAt(to))).want(t, 200, "the app: GET /admin")
}

// TestStaleCallbackOfStepUp: a callback that lost its cookie begins anew, with the demand.
func TestStaleCallbackOfStepUp(t *testing.T) {
	c := newCorp()
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/")))
	h.wants(auth.Rule{ACR: []string{"gold"}})
	to, _ := b.follow("GET", "/admin", noScript...)
	other := h.browser() // without the cookie of the flow
	again, _ := other.follow("GET", back(b.stateAt(to)), noScript...)
	if got := c.asked[len(c.asked)-1]; got != "gold " || again == "" {
		t.Errorf("begun anew for %q, want the class that is demanded", got)
	}
}

// TestStepUpWhereTheProviderIsGone: somebody whose provider is no longer there is offered
// those that are.
func TestStepUpWhereTheProviderIsGone(t *testing.T) {
	h := openWith(t, newCorp(), false)
	b := h.browser()
	b.get(back(b.depart("/")))
	h.sessions.set(func() {
		for _, l := range h.sessions.live {
			l.Identity.Provider = "former"
		}
	})
	h.wants(auth.Rule{ACR: []string{"gold"}})
	b.get("/admin").want(t, 200, "Confirm that it is you", "Sign in at Corp &amp; Sons")
}
