package proxy_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
)

// named is signed in under name, with no claims of a provider.
func named(name string) authFunc {
	return func(*http.Request) (*auth.Login, error) {
		return &auth.Login{Session: newSession(), AccessToken: auth.Token{Value: secret.New("good.token")},
			Identity: auth.Identity{Provider: "local", Subject: name, User: name, PreferredUsername: name, Name: "Ann Example",
				Email: "ann@example.com", Groups: []string{"staff", "a,b"}}}, nil
	}
}

func TestBasicAtTheApp(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct {
		user, template, password string
		want                     string // in Authorization; else
		code                     string // of the refusal
	}{
		{"ann", "{claims.preferred_username}", "secret", basic("ann:secret"), ""},
		{"ann", "corp.{user}", "s:e:c", basic("corp.ann:s:e:c"), ""},
		{"jörg", "{user}", "pässword", basic("jörg:pässword"), ""},
		{"ann:admin", "{user}", "secret", "", "no_upstream_user"},
		{"ann\r\nX-Evil: 1", "{user}", "secret", "", "no_upstream_user"},
		{"ann\x00", "{user}", "secret", "", "no_upstream_user"},
		{"", "{user}", "secret", "", "no_upstream_user"},
		{"ann", "{claims.wiki}", "secret", "", "no_upstream_user"},
		{"ann", "{user}", "sec\nret", "", "no_upstream_secret"},
	} {
		gw := newGateway(t, &proxy.Gate{Auth: named(tt.user), Router: newRouter(t, &proxy.Route{Upstream: way,
			Basic: &proxy.Basic{User: tt.template, Password: password(tt.password)}})})
		before := len(up.requests())
		res := gw.send(t, get("/", "Authorization: Basic ZXZpbDpldmls", "authorization: Bearer evil"))
		if tt.code != "" {
			if res.StatusCode < 400 || !strings.Contains(res.body, tt.code) || len(up.requests()) > before {
				t.Errorf("%q as %s: got %d %s, want it refused with %s", tt.user, tt.template, res.StatusCode, res.body, tt.code)
			}
			continue
		}
		raw := up.last(t)
		if got := header(raw, "Authorization"); !slices.Equal(got, []string{tt.want}) || strings.Contains(raw, "good.token") {
			t.Errorf("%q as %s: got %q, want %q", tt.user, tt.template, got, tt.want)
		}
		if log := gw.log.String(); strings.Contains(log, tt.password) {
			t.Errorf("the password is in the log:\n%s", log)
		}
	}
}

func TestAPIKeyAtTheApp(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, tt := range []struct {
		key  proxy.APIKey
		want string
	}{
		{proxy.APIKey{Header: "x-api-key", Key: password("k-1")}, "k-1"},
		{proxy.APIKey{Header: "Authorization", Prefix: "Token ", Key: password("k-2")}, "Token k-2"},
	} {
		other := &proxy.Route{Path: "/other", Upstream: way}
		gw := newGateway(t, &proxy.Gate{Auth: named("ann"), Router: newRouter(t, other, &proxy.Route{Upstream: way, APIKey: &tt.key})})
		client := get("/?key=evil", "X-Api-Key: evil", "x_api_key: evil", "X.API.KEY: evil", "Authorization: Token evil")
		gw.send(t, client)
		raw := up.last(t)
		if got := header(raw, http.CanonicalHeaderKey(tt.key.Header)); !slices.Equal(got, []string{tt.want}) ||
			strings.Contains(strings.ReplaceAll(raw, "?key=evil", ""), "evil") && tt.key.Header != "Authorization" {
			t.Errorf("got %q in\n%s\nwant %q", got, raw, tt.want)
		}
		// The app behind another route believes the same name.
		gw.send(t, get("/other", "X-Api-Key: evil", "x_api_key: evil"))
		if raw := up.last(t); tt.key.Header == "x-api-key" && strings.Contains(raw, "evil") {
			t.Errorf("another route lets it through:\n%s", raw)
		}
	}
	gw := newGateway(t, &proxy.Gate{Auth: named("ann"), Router: newRouter(t, &proxy.Route{Upstream: way,
		APIKey: &proxy.APIKey{Header: "X-Api-Key", Key: func() (secret.Text, error) { return secret.Text{}, errors.New("the file is gone") }}})})
	if res := gw.send(t, get("/")); res.StatusCode != http.StatusBadGateway || !strings.Contains(res.body, "no_upstream_secret") || strings.Contains(res.body, "gone") {
		t.Errorf("no key: got %d %s, want 502 no_upstream_secret", res.StatusCode, res.body)
	}
}

// TestCredentialsOnOpenWays: a public route shows its key to everybody, which is what it
// says; but nobody is somebody, and a preflight is nobody.
func TestCredentialsOnOpenWays(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	anonymous := fails(&auth.Absent{Reason: auth.NoCookie})
	preflight := request("OPTIONS", "/", "Origin: https://x.test", "Access-Control-Request-Method: GET")
	key, basic := &proxy.APIKey{Header: "X-Api-Key", Key: password("k")}, &proxy.Basic{User: "{user}", Password: password("p")}
	for name, tt := range map[string]struct {
		route   *proxy.Route
		request string
		want    bool // a credential goes up
	}{
		"a key on a public route":   {&proxy.Route{APIKey: key, Policy: auth.Policy{Public: true}}, get("/"), true},
		"Basic on a public route":   {&proxy.Route{Basic: basic, Policy: auth.Policy{Public: true}}, get("/"), false},
		"a preflight with a key":    {&proxy.Route{APIKey: key, PassPreflight: true}, preflight, false},
		"a preflight with Basic":    {&proxy.Route{Basic: basic, PassPreflight: true}, preflight, false},
		"a preflight with the form": {&proxy.Route{Form: oldForm(), PassPreflight: true}, preflight, false},
	} {
		tt.route.Upstream = way
		gw := newGateway(t, &proxy.Gate{Auth: anonymous, Router: newRouter(t, tt.route)})
		if res := gw.send(t, tt.request); res.StatusCode != http.StatusOK {
			t.Errorf("%s: got %d %s, want it carried", name, res.StatusCode, res.body)
		}
		raw := up.last(t)
		if got := header(raw, "Authorization") != nil || header(raw, "X-Api-Key") != nil; got != tt.want {
			t.Errorf("%s: a credential goes up: %v, want %v", name, got, tt.want)
		}
	}
}

// TestRefusedCredentialsAskNobody: the browser would ask its person for a password.
func TestRefusedCredentialsAskNobody(t *testing.T) {
	for name, route := range map[string]*proxy.Route{
		"basic":   {Basic: &proxy.Basic{User: "{user}", Password: password("p")}},
		"api key": {APIKey: &proxy.APIKey{Header: "X-Api-Key", Key: password("k")}},
	} {
		up := newUpstream(t, says("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Basic realm=\"old\"\nContent-Length: 2\n\nno"))
		route.Upstream = newWay(t, proxy.UpstreamOptions{Target: up.addr})
		gw := newGateway(t, &proxy.Gate{Auth: named("ann"), Router: newRouter(t, route)})
		res := gw.send(t, get("/"))
		if res.StatusCode != http.StatusBadGateway || res.Header.Get("Www-Authenticate") != "" || !strings.Contains(res.body, "upstream_credentials") {
			t.Errorf("%s: got %d %q %s, want 502 upstream_credentials", name, res.StatusCode, res.Header["Www-Authenticate"], res.body)
		}
		if len(up.requests()) != 1 {
			t.Errorf("%s: the app was asked %d times, want once", name, len(up.requests()))
		}
	}
	// One that asks for nothing has something to say itself.
	up := newUpstream(t, says("HTTP/1.1 401 Unauthorized\nContent-Length: 2\n\nno"))
	gw := newGateway(t, &proxy.Gate{Auth: named("ann"), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
		Basic: &proxy.Basic{User: "{user}", Password: password("p")}})})
	if res := gw.send(t, get("/")); res.StatusCode != http.StatusUnauthorized || res.body != "no" {
		t.Errorf("got %d %s, want the app's own answer", res.StatusCode, res.body)
	}
}

// TestRemoteUserByAnyName: a header by a name of choice tells who it is, users kept here
// included; no spelling of it comes from a client, on that route and on others; and who
// has no value for it has no header.
func TestRemoteUserByAnyName(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, name := range []string{"Remote-User", "REMOTE_USER", "X-Remote-User", "X-WEBAUTH-USER", "Who-It-Is", "X_Proxy_User"} {
		for _, tt := range []struct{ value, want string }{
			{"{user}", "ann"}, {"{claims.preferred_username}", "ann"}, {"{claims.sub}", "ann"}, {"{claims.name}", "Ann Example"},
			{"{claims.email}", "ann@example.com"}, {"{claims.groups}", "staff,a%2Cb"}, {"{claims.department}", ""}, {"{claims.preferred_username.x}", ""},
		} {
			router := newRouter(t, &proxy.Route{Path: "/other", Upstream: way},
				&proxy.Route{Upstream: way, RequestHeaders: proxy.Headers{Set: map[string]string{name: tt.value}}})
			gw := newGateway(t, &proxy.Gate{Auth: named("ann"), Router: router})
			var evil []string
			for _, spelled := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "_", "-"), strings.ReplaceAll(name, "-", ".")} {
				evil = append(evil, spelled+": evil")
			}
			gw.send(t, get("/", evil...))
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			raw := up.last(t)
			if got := header(raw, http.CanonicalHeaderKey(name)); !slices.Equal(got, want) || strings.Contains(raw, "evil") {
				t.Errorf("%s: %s: got %q in\n%s\nwant %q", name, tt.value, got, raw, want)
			}
			gw.send(t, get("/other", evil...))
			if raw := up.last(t); strings.Contains(raw, "evil") {
				t.Errorf("%s: another route lets it through:\n%s", name, raw)
			}
		}
	}
}

func TestBadSignInsAreRefused(t *testing.T) {
	way := newWay(t, proxy.UpstreamOptions{Target: "127.0.0.1:1"})
	basic := func() *proxy.Basic { return &proxy.Basic{User: "{user}", Password: password("p")} }
	form := func(change func(*proxy.Form)) *proxy.Form {
		f := oldForm()
		change(f)
		return f
	}
	for want, route := range map[string]*proxy.Route{
		"routes[0].upstream_auth: want one of":                       {Basic: basic(), Form: oldForm()},
		"routes[0].upstream_auth.basic.user":                         {Basic: &proxy.Basic{User: "{who}", Password: password("p")}},
		"routes[0].upstream_auth.basic: it is sent in Authorization": {Basic: basic(), Token: auth.Wanted{Kind: auth.Minted}},
		"so would a token be":                                        {Basic: basic(), Bearer: true},
		"routes[0].pass_headers":                                     {Basic: basic(), PassHeaders: []string{"authorization"}},
		"routes[0].request_headers":                                  {APIKey: &proxy.APIKey{Header: "X-Key", Key: password("k")}, RequestHeaders: proxy.Headers{Set: map[string]string{"x_key": "v"}}},
		"routes[0].upstream_auth.api_key.header: C":                  {APIKey: &proxy.APIKey{Header: "Cookie", Key: password("k")}},
		"is no header name":                                          {APIKey: &proxy.APIKey{Header: "a b", Key: password("k")}},
		"routes[0].upstream_auth.form.login":                         {Form: form(func(f *proxy.Form) { f.Login = "http://elsewhere/login" })},
		"routes[0].upstream_auth.form.logout":                        {Form: form(func(f *proxy.Form) { f.Logout = "//elsewhere" })},
		"want one of password and password_file":                     {Form: form(func(f *proxy.Form) { f.Password = nil })},
		"routes[0].upstream_auth.form.password":                      {Form: form(func(f *proxy.Form) { f.Password, f.PasswordFrom = nil, "{x}" })},
		"a public route has none":                                    {Form: oldForm(), Policy: auth.Policy{Public: true}},
		"have none":                                                  {Form: oldForm(), Bearer: true},
	} {
		route.Upstream = way
		if _, err := proxy.NewRouter([]*proxy.Route{route}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want in it %s", err, want)
		}
	}
}
