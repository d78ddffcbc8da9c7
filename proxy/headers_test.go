package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
)

// spoofed are names that a client must not be heard under (H-06, H-07, H-13).
var spoofed = []string{
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri",
	"X-Forwarded-Method", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username",
	"X-Forwarded-Access-Token", "X-Forwarded-Client-Cert", "X-Forwarded", "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "CF-Connecting-Ip",
	"X-Original-Url", "X-Original-Uri", "X-Original-Method", "X-Rewrite-Url", "X-HTTP-Method-Override",
	"X-Remote-User", "Remote-User", "Remote-Groups", "X-WEBAUTH-USER", "X-Auth-User", "X-Auth-Request-User", "X-Auth-Request-Groups",
	"X-Authenticated-User", "X-SSL-Client-Cert", "X-SSL-Client-S-Dn", "X-SSL-Client-Verify", "Proxy", "Authorization", "X-Request-Id",
	"Sec-Secure-Session-Id", "Secure-Session-Response", "X-Vouch-User", "X-Goog-Authenticated-User-Email",
	"Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scopes", "Client-Cert", "Client-Cert-Chain", "X-Client-Cert", "X-Client-Cert-Dn", "X-Client-Certificate",
	"X-Shib-User", "Shib-Session-Id", "Shib-Identity-Provider", "Eppn", "X-Rh-Identity", "WL-Proxy-Client-IP", "WL-Proxy-SSL", "WL-Proxy-Client-Cert", "Proxy-Client-IP", "HTTP-Client-IP",
	"X-Middleware-Subrequest", "X-Envoy-Internal", "X-Envoy-External-Address", "X-Original-Host",
}

// appsOwn are names that read like those, and are what an app made for its clients to say: they
// bring a secret of the app's own, or ask for what the app itself decides about.
var appsOwn = []string{"Sudo", "Private-Token", "Job-Token", "X-Api-Key", "X-Csrf-Token", "X-Middleware-Prefetch", "X-Grafana-Org-Id", "Client-Version", "Shibboleth", "Proxy-Clients"}

func spellings(name string) []string {
	return []string{
		name, strings.ToLower(name), strings.ToUpper(name),
		strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."),
		strings.Replace(name, "-", "_", 1), strings.Replace(strings.ToLower(name), "-", "!", 1),
	}
}

// TestLengthHasOneSpelling: an app that folds names must not find a second length.
func TestLengthHasOneSpelling(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{Policy: auth.Policy{Public: true}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	res := gw.send(t, request("POST", "/", "Transfer_Encoding: evil", "transfer.encoding: evil", "Content_Length: evil", "CONTENT.LENGTH: evil", "Content-Length: 3")+"abc")
	if raw := up.last(t); res.StatusCode != 200 || strings.Contains(raw, "evil") || len(header(raw, "Content-Length")) != 1 {
		t.Errorf("got %d, and upstream\n%s\nwant one length", res.StatusCode, raw)
	}
}

func TestClientsCannotSpeakForTheGateway(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t,
		&proxy.Route{Upstream: way, PassPreflight: true},
		&proxy.Route{Path: "/public/", Policy: auth.Policy{Public: true}, Upstream: way})})
	var lines []string
	for _, name := range spoofed {
		for _, spelling := range spellings(name) {
			lines = append(lines, spelling+": evil", spelling+": evil2")
		}
	}
	for name, req := range map[string]string{
		"signed in":                request("GET", "/app", append(lines, "Cookie: "+sid+"=alice")...),
		"H-02 on a public route":   request("GET", "/public/", lines...),
		"H-02 on a CORS preflight": request("OPTIONS", "/app", append(lines, "Origin: https://evil.test", "Access-Control-Request-Method: PUT")...),
	} {
		before := len(up.requests())
		if res := gw.send(t, req); res.StatusCode != 200 {
			t.Fatalf("%s: got %d %s", name, res.StatusCode, res.body)
		}
		if n := len(up.requests()); n != before+1 {
			t.Fatalf("%s: got %d requests upstream, want %d", name, n, before+1)
		}
		raw := strings.ReplaceAll(up.last(t), "https://evil.test", "")
		if strings.Contains(raw, "evil") {
			t.Errorf("%s: the upstream got\n%s", name, raw)
		}
	}
}

// TestAppsHaveHeadersOfTheirOwn: what belongs to nobody on the way stays.
func TestAppsHaveHeadersOfTheirOwn(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr}),
		PassHeaders: []string{"Impersonate-User", "Client-Cert"}})})
	var lines []string
	names := append([]string{"Impersonate-User", "Client-Cert"}, appsOwn...)
	for _, name := range names {
		lines = append(lines, name+": mine")
	}
	if res := gw.send(t, get("/", append(lines, "Impersonate-Group: evil")...)); res.StatusCode != 200 {
		t.Fatalf("got %d %s", res.StatusCode, res.body)
	}
	raw := up.last(t)
	for _, name := range names {
		if got := header(raw, name); len(got) != 1 || got[0] != "mine" {
			t.Errorf("%s: got %q, want the client's own", name, got)
		}
	}
	if strings.Contains(raw, "evil") {
		t.Errorf("what the route does not let pass got through:\n%s", raw)
	}
}

func TestWhatTheUpstreamReceives(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t,
		&proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	identity := map[string]string{
		"Authorization": "Bearer good.token", "X-Forwarded-User": "alice", "X-Forwarded-Email": "alice@example.com",
		"X-Forwarded-Groups": "staff,dev", "X-Forwarded-Preferred-Username": "ali", "X-Forwarded-For": "127.0.0.1",
		"X-Forwarded-Host": "gw.test", "X-Forwarded-Proto": "https", "X-Request-Id": "REQUEST-ID", "Host": "gw.test",
	}
	for _, tt := range []struct {
		name  string
		lines []string
		also  map[string]string
	}{
		{"nothing asked for", nil, map[string]string{"Connection": "", "User-Agent": "", "Accept-Encoding": ""}},
		{"H-08 our names in Connection", []string{"Connection: close, X-Forwarded-User, authorization, X-Forwarded-For, X-Request-Id"}, nil},
		{"H-10 others in Connection", []string{"Connection: close, Cookie, Host, Content-Type", "X-Other: stays"}, map[string]string{"X-Other": "stays"}},
		{"H-11 a token of the client's", []string{"Authorization: Bearer evil", "Authorization: Basic ZXZpbA=="}, nil},
		{"H-15 a chain of the client's", []string{"X-Forwarded-For: 1.2.3.4, unknown, fe80::1%eth0", "X-Forwarded-For: ,"}, nil},
		{"M-09 a folded line", []string{"X-A: 1\n X-Forwarded-User: evil"}, map[string]string{"X-A": "1 X-Forwarded-User: evil"}},
		{"encodings as the browser wants them", []string{"Accept-Encoding: br"}, map[string]string{"Accept-Encoding": "br"}},
		{"a foreign cookie", []string{"X-B: c"}, map[string]string{"Cookie": "", "X-B": "c"}},
		{"an upgrade that is not carried", []string{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"},
			map[string]string{"Upgrade": "", "Connection": "", "Http2-Settings": ""}},
		{"an upgrade of several kinds", []string{"Connection: Upgrade", "Upgrade: websocket, h2c"}, map[string]string{"Upgrade": "", "Connection": ""}},
		{"an upgrade in bytes above ASCII", []string{"Connection: Upgrade", "Upgrade: \xff"}, map[string]string{"Upgrade": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if res := gw.send(t, get("/app", tt.lines...)); res.StatusCode != 200 {
				t.Fatalf("got %d %s", res.StatusCode, res.body)
			}
			raw := up.last(t)
			for _, wants := range []map[string]string{identity, tt.also} {
				for name, want := range wants {
					got := header(raw, name)
					if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || got[0] != want) {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
			}
		})
	}
}

func TestHostsAreForwardedAsMatched(t *testing.T) { // H-20
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t,
		&proxy.Route{Host: "gw.test", Upstream: way},
		&proxy.Route{Host: "fixed.test", Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr, Host: "inside.test"})})})
	for host, want := range map[string][2]string{
		"GW.TEST.": {"gw.test", "gw.test"}, "gw.test:443": {"gw.test:443", "gw.test:443"}, "GW.test": {"gw.test", "gw.test"},
		"fixed.test": {"inside.test", "fixed.test"},
	} {
		res := gw.send(t, strings.Replace(get("/"), "gw.test", host, 1))
		if res.StatusCode != 200 {
			t.Fatalf("%s: got %d", host, res.StatusCode)
		}
		raw := up.last(t)
		if got := header(raw, "Host"); got[0] != want[0] {
			t.Errorf("%s: Host: got %q, want %q", host, got, want[0])
		}
		if got := header(raw, "X-Forwarded-Host"); got[0] != want[1] {
			t.Errorf("%s: X-Forwarded-Host: got %q, want %q", host, got, want[1])
		}
	}
}

func TestPassHeaders(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{
		Policy: auth.Policy{Public: true}, Upstream: way,
		PassHeaders: []string{"x-auth-token", "Authorization", "X-Forwarded-User", "X-Request-Id", "Cookie"},
	})})
	client := []string{"X-Auth-Token: mine", "X_Auth_Token: alias", "X-Auth-User: evil", "Authorization: Basic bWluZQ==",
		"X-Forwarded-User: evil", "X-Request-Id: evil"}
	for _, tt := range []struct {
		name, request, authorization string
	}{
		{"nobody signed in: the client's own token passes", request("GET", "/", client...), "Basic bWluZQ=="},
		{"signed in: ours takes its place", get("/", client...), "Bearer good.token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw.send(t, tt.request)
			raw := up.last(t)
			if got := header(raw, "Authorization"); len(got) != 1 || got[0] != tt.authorization {
				t.Errorf("Authorization: got %q, want %q", got, tt.authorization)
			}
			if got := header(raw, "X-Auth-Token"); len(got) != 1 || got[0] != "mine" {
				t.Errorf("X-Auth-Token: got %q, want mine", got)
			}
			if strings.Contains(raw, "evil") || strings.Contains(raw, "alias") {
				t.Errorf("got\n%s\nwant neither evil nor alias", raw)
			}
		})
	}
}

func TestClaimsAsHeaders(t *testing.T) { // H-21, H-22
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, tt := range []struct {
		name         string
		id           auth.Identity
		user, groups string // "" is no such header
	}{
		{"plain", auth.Identity{User: "alice", Groups: []string{"a", "b"}}, "alice", "a,b"},
		{"UTF-8", auth.Identity{User: "Ælfred", Groups: []string{"büro"}}, "Ælfred", "büro"},
		{"a comma in a group", auth.Identity{User: "a,b", Groups: []string{"users,admin"}}, "a,b", "users%2Cadmin"},
		{"a percent in a group", auth.Identity{User: "a", Groups: []string{"50%2Cadmin"}}, "a", "50%252Cadmin"},
		{"other separators in a group", auth.Identity{User: "a", Groups: []string{"a;b", "a b"}}, "a", "a;b,a b"},
		{"space at the ends of a group", auth.Identity{User: "a", Groups: []string{" admin "}}, "a", "%20admin%20"},
		{"a space of Unicode at the ends of a group", auth.Identity{User: "a", Groups: []string{"\u00a0admin\u2003"}}, "a", "%C2%A0admin%E2%80%83"},
		{"what does not show at the ends of a group", auth.Identity{User: "a", Groups: []string{"\ufeffadmin\u200b"}}, "a", "%EF%BB%BFadmin%E2%80%8B"},
		{"a group of nothing but spaces", auth.Identity{User: "a", Groups: []string{"  ", "\u00a0"}}, "a", "%20%20,%C2%A0"},
		{"a joiner within a group", auth.Identity{User: "a", Groups: []string{"\u0645\u06cc\u200c\u062e"}}, "a", "\u0645\u06cc\u200c\u062e"},
		{"what does not show at the end of a name", auth.Identity{User: "admin\ufeff"}, "", ""},
		{"what does not show at the beginning of a name", auth.Identity{User: "\u200badmin"}, "", ""},
		{"what does not show behind the name of a provider", auth.Identity{Provider: "one", User: "one/\ufeffalice"}, "", ""},
		{"the same in the name alone of another provider", auth.Identity{Provider: "two", User: "one/\ufeffalice"}, "one/\ufeffalice", ""},
		{"nothing odd behind the name of a provider", auth.Identity{Provider: "one", User: "one/alice"}, "one/alice", ""},
		{"a joiner within a name", auth.Identity{User: "\u0645\u06cc\u200c\u062e"}, "\u0645\u06cc\u200c\u062e", ""},
		{"a space of Unicode at the end of a name", auth.Identity{User: "admin\u00a0"}, "", ""},
		{"a path, a colon and dots in a name", auth.Identity{User: "corp/../local:alice"}, "corp/../local:alice", ""},
		{"empty groups", auth.Identity{User: "a", Groups: []string{"", "b", ""}}, "a", "b"},
		{"no groups", auth.Identity{User: "a"}, "a", ""},
		{"a new line in a name", auth.Identity{User: "a\r\nX-Auth-User: admin", Groups: []string{"g"}}, "", "g"},
		{"a lone CR", auth.Identity{User: "a\rb"}, "", ""},
		{"NUL", auth.Identity{User: "a\x00b"}, "", ""},
		{"a C1 control character", auth.Identity{User: "a\u0085b"}, "", ""},
		{"invalid UTF-8", auth.Identity{User: "a\xffb"}, "", ""},
		{"space at the ends of a name", auth.Identity{User: " admin"}, "", ""},
		{"64 kB", auth.Identity{User: strings.Repeat("a", 64<<10), Groups: []string{"g"}}, "", "g"},
		{"too many groups", auth.Identity{User: "a", Groups: strings.Split(strings.Repeat("group,", 5000), ",")}, "a", ""},
		{"a new line in a group", auth.Identity{User: "a", Groups: []string{"x", "y\nz"}}, "a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			who := authFunc(func(*http.Request) (*auth.Login, error) {
				return &auth.Login{Identity: tt.id, AccessToken: auth.Token{Value: secret.New("bad token\n")}}, nil
			})
			gw := newGateway(t, &proxy.Gate{Auth: who, Router: newRouter(t, &proxy.Route{Upstream: way})})
			if res := gw.send(t, request("GET", "/", "X-Forwarded-User: evil", "X-Forwarded-Groups: evil")); res.StatusCode != 200 {
				t.Fatalf("got %d", res.StatusCode)
			}
			raw := up.last(t)
			if got := strings.Join(header(raw, "X-Forwarded-User"), "|"); got != tt.user {
				t.Errorf("user: got %q, want %q", got, tt.user)
			}
			if got := strings.Join(header(raw, "X-Forwarded-Groups"), "|"); got != tt.groups {
				t.Errorf("groups: got %q, want %q", got, tt.groups)
			}
			for _, name := range []string{"X-Auth-User", "Authorization", "X-Forwarded-Email"} {
				if got := header(raw, name); got != nil {
					t.Errorf("%s: got %q, want none", name, got)
				}
			}
			log := gw.log.String()
			if said := strings.Contains(log, "header=X-Forwarded-User"); said != (tt.user == "" && tt.id.User != "") {
				t.Errorf("the log says that the user was left out: %v\n%s", said, log)
			}
			if strings.Contains(log, "bad token") {
				t.Errorf("the token is in the log:\n%s", log)
			}
		})
	}
}

func TestCookiesUpstream(t *testing.T) { // H-27
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{
		Policy: auth.Policy{Public: true}, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"one line", []string{`a=1; sid=x; b="x y"; sid=y`}, `a=1; b="x y"`},
		{"two lines", []string{`a=1; sid=x`, `b="x y"; sid=y`}, `a=1; b="x y"`},
		{"ours first", []string{`sid=x; a=1;b=2`}, `a=1;b=2`},
		{"ours alone", []string{`sid=x`}, ""},
		{"ours alone, twice", []string{`sid=x; sid=y`, `sid=z`}, ""},
		{"no space between", []string{`a=1;sid=x;b=2`}, `a=1;b=2`},
		{"space around the name", []string{"a=1; \tsid =x; b=2"}, `a=1; b=2`},
		{"another case", []string{"SID=x; b=2"}, `b=2`},
		{"without a name", []string{"=sid=x; b=2"}, `b=2`},
		{"without a value", []string{"sid; b=2"}, `b=2`},
		{"in a quoted value", []string{`a="1; sid=x"; b=2`}, `a="1; b=2`},
		{"nothing of ours, byte for byte", []string{"a=1 ;;b=\"é\";  c"}, "a=1 ;;b=\"é\";  c"},
		{"a name that starts like ours", []string{"sidecar=1; mysid=2"}, "sidecar=1; mysid=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, l := range tt.lines {
				l = strings.NewReplacer("sidecar", sid+"x", "mysid", "x"+sid, "sid", sid, "SID", strings.ToUpper(sid)).Replace(l)
				lines = append(lines, "Cookie: "+l)
			}
			gw.send(t, request("GET", "/", lines...))
			want := strings.NewReplacer("sidecar", sid+"x", "mysid", "x"+sid).Replace(tt.want)
			if got := strings.Join(header(up.last(t), "Cookie"), "|"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestRequestTrailers(t *testing.T) { // H-16
	var got http.Header
	done := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.Trailer
		close(done)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Router: newRouter(t, &proxy.Route{
		Upstream: newWay(t, proxy.UpstreamOptions{Target: l.Addr().String()})})})
	res := gw.send(t, "POST / HTTP/1.1\nHost: gw.test\nCookie: "+sid+"=alice\nTE: trailers\nTransfer-Encoding: chunked\n"+
		"Trailer: X-Sum, X-Auth-User, X_Forwarded_User, Cookie\n\n2\nhi\n0\nX-Sum: 42\nX-Auth-User: evil\nX_Forwarded_User: evil\nCookie: a=b\nX-Unannounced: y\n\n")
	if res.StatusCode != 200 {
		t.Fatalf("got %d %s", res.StatusCode, res.body)
	}
	<-done
	if len(got) != 1 || got.Get("X-Sum") != "42" {
		t.Errorf("got %v, want X-Sum: 42 alone", got)
	}
}
