package proxy_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
)

func password(p string) proxy.Secret {
	return func() (secret.Text, error) { return secret.New(p), nil }
}

func oldForm() *proxy.Form {
	return &proxy.Form{Login: "/login", User: "{user}", Password: password("right"), Fields: map[string]string{"extra": "yes"}}
}

// people are signed in by the cookie: "alice", "bob", each with a session of their own.
func people() (authFunc, map[string]*session) {
	all := map[string]*session{"alice": newSession(), "bob": newSession()}
	for name, s := range all {
		s.id = "session of " + name
	}
	return func(r *http.Request) (*auth.Login, error) {
		c, err := r.Cookie(sid)
		if err != nil || all[c.Value] == nil {
			return nil, &auth.Absent{Reason: auth.NoCookie}
		}
		return &auth.Login{Identity: auth.Identity{Provider: "local", Subject: c.Value, User: c.Value}, Session: all[c.Value],
			AccessToken: auth.Token{Value: secret.New("good.token")}}, nil
	}, all
}

// formBed is a gateway in front of an oldApp.
type formBed struct {
	*testing.T
	app    *oldApp
	gw     *gateway
	router *proxy.Router
	people map[string]*session
}

func newFormBed(t *testing.T, app *oldApp, route *proxy.Route) *formBed {
	t.Helper()
	if route.Upstream == nil {
		route.Upstream = newWay(t, proxy.UpstreamOptions{Target: app.URL})
	}
	who, sessions := people()
	b := &formBed{T: t, app: app, router: newRouter(t, route), people: sessions}
	b.gw = newGateway(t, &proxy.Gate{Auth: who, Router: b.router})
	return b
}

// ask sends one request of user's browser, whose cookies are added.
func (b *formBed) ask(method, path, user, body string, cookies ...string) (*http.Response, string) {
	b.Helper()
	req, err := http.NewRequest(method, b.gw.URL+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Cookie", strings.Join(append([]string{sid + "=" + user}, cookies...), "; "))
	req.Header.Set("User-Agent", "browser of "+user)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return res, string(text)
}

func (b *formBed) want(method, path, user, body, want string, cookies ...string) *http.Response {
	b.Helper()
	res, got := b.ask(method, path, user, body, cookies...)
	if res.StatusCode != http.StatusOK || strings.TrimSpace(got) != want {
		b.Errorf("%s %s: got %d %.300q, want %q", method, path, res.StatusCode, got, want)
	}
	for _, line := range res.Header["Set-Cookie"] {
		if !strings.HasPrefix(line, sid+"=") && !strings.HasPrefix(line, "theme=") {
			b.Errorf("%s %s: the browser got %q", method, path, line)
		}
	}
	return res
}

func (b *formBed) wantPosts(want int) {
	b.Helper()
	if posts, _ := b.app.counts(); posts != want {
		b.Errorf("the form was sent %d times, want %d", posts, want)
	}
}

// TestFormSignsInOnceForASession, however many requests come at once, and each as who
// it is.
func TestFormSignsInOnceForASession(t *testing.T) {
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: oldForm()})
	var all sync.WaitGroup
	for i := range 40 {
		user := []string{"alice", "bob"}[i%2]
		all.Go(func() { b.want("GET", "/page", user, "", "GET /page for "+user) })
	}
	all.Wait()
	b.wantPosts(2)
	b.want("POST", "/page", "alice", "what was typed", "POST /page for alice what was typed")
	b.wantPosts(2)
	if got := b.app.lastSeen().UserAgent(); got != "browser of alice" {
		t.Errorf("the app saw the browser %q", got)
	}
	if strings.Contains(b.gw.log.String(), "right") {
		t.Error("the password is in the log")
	}
}

// TestFormKeepsCookiesFromTheBrowser, both ways, but for those that scripts need.
func TestFormKeepsCookiesFromTheBrowser(t *testing.T) {
	form := oldForm()
	form.BrowserCookies = []string{"theme"}
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: form})
	res := b.want("GET", "/page", "alice", "", "GET /page for alice")
	if got := res.Header["Set-Cookie"]; len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "theme=dark") {
		t.Errorf("the browser got the cookies %q, want its theme", got)
	}
	// What a neighbour has planted in the browser is not heard, however it is spelled.
	b.want("GET", "/page", "alice", "", "GET /page for alice", "APPSESSID=evil", "appsessid=evil", "APPSESSID =evil", "theme=light", "other=1")
	sent := strings.Join(b.app.lastSeen().Header["Cookie"], "; ")
	if strings.Contains(sent, "evil") || strings.Contains(sent, sid) || strings.Count(strings.ToLower(sent), "appsessid") != 1 ||
		!strings.Contains(sent, "theme=light") || !strings.Contains(sent, "other=1") {
		t.Errorf("the app was sent %q", sent)
	}
}

// TestFormSignsInAgain where the app has forgotten, whichever way it says so.
func TestFormSignsInAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		app  func(*oldApp)
		form func(*proxy.Form)
	}{
		"redirect":          {nil, nil},
		"401":               {func(a *oldApp) { a.refuses = http.StatusUnauthorized }, nil},
		"a status of its":   {func(a *oldApp) { a.refuses = 440 }, func(f *proxy.Form) { f.Statuses = []int{440} }},
		"in place of pages": {func(a *oldApp) { a.inPage = true }, func(f *proxy.Form) { f.InPage = true }},
	} {
		t.Run(name, func(t *testing.T) {
			form := oldForm()
			if tt.form != nil {
				tt.form(form)
			}
			b := newFormBed(t, newOldApp(t, tt.app), &proxy.Route{Form: form})
			b.want("GET", "/page", "alice", "", "GET /page for alice")
			b.app.restart()
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() { b.want("GET", "/page", "alice", "", "GET /page for alice") })
			}
			all.Wait()
			b.wantPosts(2)
			if name == "in place of pages" {
				return // what answers a POST is not looked into
			}
			b.app.restart()
			res, page := b.ask("POST", "/page", "alice", "typed")
			if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, "signed_in_again") || res.Header.Get("Retry-After") == "" {
				t.Errorf("a POST whose body is gone: got %d %s, want 503 signed_in_again", res.StatusCode, page)
			}
			b.want("POST", "/page", "alice", "typed", "POST /page for alice typed")
			b.wantPosts(3)
		})
	}
}

// TestFormOnTheLoginPageItself: somebody who asks for it is signed in, and sees what
// the app shows then.
func TestFormOnTheLoginPageItself(t *testing.T) {
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: oldForm()})
	for range 5 {
		if res, page := b.ask("GET", "/login", "alice", ""); res.StatusCode != http.StatusOK || !strings.Contains(page, "type=password") {
			t.Fatalf("got %d %s, want the app's page", res.StatusCode, page)
		}
	}
	b.wantPosts(2) // at first, and to see whether the page means what it says
}

// TestFormIsNotHammered: a refused user is not tried again and again, by any session;
// with another password he is, at once.
func TestFormIsNotHammered(t *testing.T) {
	form, now := oldForm(), password("wrong")
	form.User = "shared"
	var mu sync.Mutex
	form.Password = func() (secret.Text, error) {
		mu.Lock()
		defer mu.Unlock()
		return now()
	}
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: form})
	for i := range 20 {
		res, page := b.ask("GET", "/page", []string{"alice", "bob"}[i%2], "")
		if res.StatusCode != http.StatusBadGateway || !strings.Contains(page, "upstream_sign_in") || res.Header.Get("Retry-After") == "" {
			t.Fatalf("got %d %s, want 502 upstream_sign_in", res.StatusCode, page)
		}
	}
	b.wantPosts(1)
	if log := b.gw.log.String(); strings.Count(log, "upstream.sign_in_failed") != 1 || strings.Contains(log, "wrong") {
		t.Errorf("want one line about it, without the password:\n%s", log)
	}
	mu.Lock()
	now = password("right")
	mu.Unlock()
	b.want("GET", "/page", "alice", "", "GET /page for shared")
	b.wantPosts(2)
}

// TestFormOfAnAppThatAlwaysAsks is not sent for ever.
func TestFormOfAnAppThatAlwaysAsks(t *testing.T) {
	app := newOldApp(t, nil)
	b := newFormBed(t, app, &proxy.Route{Form: oldForm()})
	for range 20 {
		app.restart()
		res, _ := b.ask("GET", "/page", "alice", "")
		if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusFound {
			t.Fatalf("got %d, want the page or the app's own answer", res.StatusCode)
		}
	}
	b.wantPosts(3)
}

// TestFormUnderAPrefix finds the app's addresses, whichever way it writes them.
func TestFormUnderAPrefix(t *testing.T) {
	for name, tt := range map[string]struct {
		prefix, path string
		rewrite      proxy.Rewrite
	}{
		"an app that knows nothing of it": {"", "/w/page", proxy.Rewrite{StripPrefix: "/w"}},
		"one that heeds the header":       {"/w", "/w/page", proxy.Rewrite{StripPrefix: "/w"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFormBed(t, newOldApp(t, func(a *oldApp) { a.prefix = tt.prefix }), &proxy.Route{Path: "/w/", Form: oldForm(), Rewrite: tt.rewrite})
			b.want("GET", tt.path, "alice", "", "GET /page for alice")
			b.app.restart()
			b.want("GET", tt.path, "alice", "", "GET /page for alice")
			b.wantPosts(2)
		})
	}
}

// TestFormIsSentToTheAppAlone.
func TestFormIsSentToTheAppAlone(t *testing.T) {
	evil := newUpstream(t, saysOK)
	for _, action := range []string{"http://" + evil.addr + "/login", "//" + evil.addr + "/login", "javascript:alert(1)", `\\` + evil.addr, "https://user@" + evil.addr} {
		b := newFormBed(t, newOldApp(t, func(a *oldApp) { a.action = action }), &proxy.Route{Form: oldForm()})
		res, page := b.ask("GET", "/page", "alice", "")
		if res.StatusCode != http.StatusBadGateway || !strings.Contains(page, "upstream_sign_in") {
			t.Errorf("%s: got %d %s, want 502", action, res.StatusCode, page)
		}
		b.wantPosts(0)
	}
	if got := evil.requests(); len(got) > 0 {
		t.Errorf("elsewhere came %q", got)
	}
}

// TestFormSessionEnds: the app is told, and a path of its own signs out there.
func TestFormSessionEnds(t *testing.T) {
	form := oldForm()
	form.Logout = "/logout"
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: form})
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	b.want("GET", "/page", "bob", "", "GET /page for bob")
	b.want("GET", "/logout", "alice", "", "bye")
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	b.wantPosts(3)

	if !b.router.HasForms() {
		t.Error("the router knows of no form")
	}
	kept := map[string][]byte{}
	for name, thing := range b.people["bob"].kept {
		kept[name] = thing.value
	}
	b.router.SessionEnded(t.Context(), slog.New(slog.DiscardHandler), kept)
	if _, gone := b.app.counts(); !slices.Equal(gone, []string{"alice", "bob"}) {
		t.Errorf("%q signed out, want alice and bob", gone)
	}
}

// TestFormBehindOldCopies: a gateway that has not heard yet of what another kept neither signs in
// once more, nor has somebody stay signed in who leaves.
func TestFormBehindOldCopies(t *testing.T) {
	form := oldForm()
	form.Logout = "/logout"
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: form})
	alice := b.people["alice"]
	have := func(old map[string]keptThing) {
		alice.mu.Lock()
		defer alice.mu.Unlock()
		alice.old = old
	}
	have(map[string]keptThing{})
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	b.wantPosts(1)
	b.want("GET", "/logout", "alice", "", "bye")
	if _, gone := b.app.counts(); !slices.Equal(gone, []string{"alice"}) {
		t.Errorf("%q signed out, want alice", gone)
	}
	have(nil)
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	b.wantPosts(2)
}

// TestFormOpensWebSockets with the cookies of the session.
func TestFormOpensWebSockets(t *testing.T) {
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: oldForm()})
	hear := func() {
		t.Helper()
		conn, res, err := websocket.Dial(t.Context(), b.gw.URL+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {sid + "=alice"}}})
		if err != nil {
			t.Fatalf("%v: %v", err, res)
		}
		defer conn.CloseNow()
		_, said, err := conn.Read(t.Context())
		if err != nil || string(said) != "hello alice" {
			t.Errorf("got %q, %v, want hello alice", said, err)
		}
		if got := res.Header["Set-Cookie"]; len(got) > 0 {
			t.Errorf("the browser got %q", got)
		}
	}
	hear()
	b.app.restart()
	hear()
	b.wantPosts(2)
}

// TestFormWithoutAUser for the app, or without a place to keep its cookies.
func TestFormWithoutAUser(t *testing.T) {
	form := oldForm()
	form.User = "{claims.wiki}"
	b := newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: form})
	if res, page := b.ask("GET", "/page", "alice", ""); res.StatusCode != http.StatusForbidden || !strings.Contains(page, "no_upstream_user") {
		t.Errorf("no claim: got %d %s, want 403 no_upstream_user", res.StatusCode, page)
	}
	b = newFormBed(t, newOldApp(t, nil), &proxy.Route{Form: oldForm()})
	b.people["alice"].keepErr = &auth.Unavailable{What: "the session store", Err: errors.New("the disk is full")}
	if res, page := b.ask("GET", "/page", "alice", ""); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page, "unavailable") {
		t.Errorf("the store is down: got %d %s, want 503", res.StatusCode, page)
	}
	b.wantPosts(0)
	b.people["alice"].keepErr = nil
	b.want("GET", "/page", "alice", "", "GET /page for alice")
}

// TestFormWhoseClientHangsUp: others wait for the sign-in it has begun.
func TestFormWhoseClientHangsUp(t *testing.T) {
	app := newOldApp(t, nil)
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/login" {
			once.Do(func() { close(held); <-hold })
		}
		app.Config.Handler.ServeHTTP(w, r)
	}))
	defer slow.Close()
	b := newFormBed(t, app, &proxy.Route{Form: oldForm(), Upstream: newWay(t, proxy.UpstreamOptions{Target: slow.URL})})
	ctx, hangUp := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", b.gw.URL+"/page", nil)
	req.Header.Set("Cookie", sid+"=alice")
	var all sync.WaitGroup
	all.Go(func() { _, _ = http.DefaultTransport.RoundTrip(req) })
	<-held
	all.Go(func() { b.want("GET", "/page", "alice", "", "GET /page for alice") })
	time.Sleep(20 * time.Millisecond)
	hangUp()
	close(hold)
	all.Wait()
	b.wantPosts(1)
}

// TestFormLateAnswers say nothing about a later sign-in: an app takes back the cookie of
// the session that it has ended.
func TestFormLateAnswers(t *testing.T) {
	app := newOldApp(t, nil)
	hold, held := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(held)
			<-hold
			w.Header().Set("Set-Cookie", "APPSESSID=; Path=/; Max-Age=0")
			return
		}
		app.Config.Handler.ServeHTTP(w, r)
	}))
	defer slow.Close()
	b := newFormBed(t, app, &proxy.Route{Form: oldForm(), Upstream: newWay(t, proxy.UpstreamOptions{Target: slow.URL})})
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	var late sync.WaitGroup
	late.Go(func() { b.want("GET", "/slow", "alice", "", "") })
	<-held
	app.restart()
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	close(hold)
	late.Wait()
	b.want("GET", "/page", "alice", "", "GET /page for alice")
	b.wantPosts(2)
}

// TestFormAtSeveralTargets: each has users and sessions of its own, and no cookie of one
// is shown to another.
func TestFormAtSeveralTargets(t *testing.T) {
	first, second := newOldApp(t, nil), newOldApp(t, nil)
	b := newFormBed(t, first, &proxy.Route{Form: oldForm(), Upstream: newWay(t, proxy.UpstreamOptions{Target: first.URL,
		Targets: []proxy.TargetOptions{{URL: second.URL}}, Balance: proxy.RoundRobin})})
	for range 6 {
		b.want("GET", "/page", "alice", "", "GET /page for alice")
	}
	b.wantPosts(1)
	if posts, _ := second.counts(); posts != 1 {
		t.Errorf("the second target's form was sent %d times, want once", posts)
	}
	for _, r := range second.seen {
		if _, user, _ := second.session(r); user != "alice" {
			t.Errorf("the second target was sent %q", r.Header["Cookie"])
		}
	}
}
