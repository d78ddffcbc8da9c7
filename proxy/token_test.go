package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/proxy"
)

// minter says for whom and what it minted.
type minter struct{}

func (minter) Mint(_ context.Context, l *auth.Login, audience string) (auth.Token, error) {
	return auth.Token{Value: secret.New("minted.of." + l.Identity.User + ".for." + audience)}, nil
}

// clients is who brings "client.token".
func clients(r *http.Request) (*auth.Login, error) {
	switch r.Header.Get("Authorization") {
	case "Bearer client.token":
		return &auth.Login{Identity: auth.Identity{Provider: "corp", Subject: "robot", User: "robot"},
			AccessToken: auth.Token{Value: secret.New("client.token")}}, nil
	case "Bearer keys.are.down":
		return nil, &auth.Unavailable{What: "the keys of corp"}
	case "Bearer ":
		return nil, &auth.Absent{Reason: auth.NoCookie}
	}
	return nil, &auth.Refused{Reason: "its signature is wrong", Code: "invalid_token"}
}

func TestEachRouteGetsTheTokenItWants(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, tt := range []struct {
		name    string
		want    auth.Wanted
		session string
		client  string
	}{
		{"the access token", auth.Wanted{}, "Bearer good.token", "Bearer client.token"},
		{"one for a resource", auth.Wanted{Resource: "api"}, "Bearer token.for.api", "Bearer client.token"},
		{"the ID token", auth.Wanted{Kind: auth.IDToken}, "Bearer id.token", ""},
		{"one of the gateway", auth.Wanted{Kind: auth.Minted, Audience: "api"}, "Bearer minted.for.api", "Bearer minted.of.robot.for.api"},
		{"none", auth.Wanted{Kind: auth.NoToken}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Bearer: authFunc(clients), Minter: minter{},
				Router: newRouter(t, &proxy.Route{Bearer: true, Token: tt.want, Upstream: way})})
			if a := gw.send(t, get("/")); a.StatusCode != 200 {
				t.Fatalf("got %d, want 200", a.StatusCode)
			}
			if got := strings.Join(header(up.last(t), "Authorization"), " and "); got != tt.session {
				t.Errorf("with a session: the upstream got %q, want %q", got, tt.session)
			}
			if a := gw.send(t, request("GET", "/", "Authorization: Bearer client.token")); a.StatusCode != 200 {
				t.Fatalf("got %d, want 200", a.StatusCode)
			}
			if got := strings.Join(header(up.last(t), "Authorization"), " and "); got != tt.client {
				t.Errorf("with a token of its own: the upstream got %q, want %q", got, tt.client)
			}
		})
	}
}

func TestClientsOwnTokenNeverMixesWithASession(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	s := newSession()
	s.due = fresh
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Bearer: authFunc(clients), Router: newRouter(t,
		&proxy.Route{Path: "/api/", Bearer: true, Upstream: way},
		&proxy.Route{Path: "/staff/", Bearer: true, Policy: auth.Policy{Allow: []*auth.Rule{{Groups: []string{"staff"}}}}, Upstream: way},
		&proxy.Route{Path: "/open/", Bearer: true, Policy: auth.Policy{Public: true}, Upstream: way},
		&proxy.Route{Path: "/page/", Upstream: way},
	)})
	cookie := "Cookie: " + sid + "=alice"
	for _, tt := range []struct {
		name, path, token string
		cookie            bool
		status            int
		user, challenge   string
	}{
		{"a token alone", "/api/", "Bearer client.token", false, 200, "robot", ""},
		{"a token beside a session", "/api/", "Bearer client.token", true, 200, "robot", ""},
		{"a bad token beside a session", "/api/", "Bearer forged", true, 401, "", `Bearer realm="evergate", error="invalid_token"`},
		{"an empty token beside a session", "/api/", "Bearer ", true, 401, "", `Bearer realm="evergate", error="invalid_token"`},
		{"keys that cannot be had", "/api/", "Bearer keys.are.down", true, 503, "", ""},
		{"no token, but a session", "/api/", "", true, 200, "alice", ""},
		{"another scheme beside a session", "/api/", "Basic YTpi", true, 200, "alice", ""},
		{"neither", "/api/", "", false, 401, "", "Bearer"},
		{"a rule that the token's bearer does not meet", "/staff/", "Bearer client.token", true, 403, "", ""},
		{"a bad token on a public route", "/open/", "Bearer forged", false, 200, "", ""},
		{"a route that takes none", "/page/", "Bearer client.token", true, 200, "alice", ""},
		{"a route that takes none, without a session", "/page/", "Bearer client.token", false, 401, "", "Bearer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(up.requests())
			delivered, _, _ := s.counts()
			var lines []string
			if tt.token != "" {
				lines = append(lines, "Authorization: "+tt.token)
			}
			if tt.cookie {
				lines = append(lines, cookie)
			}
			a := gw.send(t, request("GET", tt.path, lines...))
			if a.StatusCode != tt.status {
				t.Fatalf("got %d, want %d", a.StatusCode, tt.status)
			}
			if got := strings.Join(header(a.raw, "Www-Authenticate"), ", "); got != tt.challenge {
				t.Errorf("got challenge %q, want %q", got, tt.challenge)
			}
			if tt.status != 200 {
				if n := len(up.requests()); n != before {
					t.Error("the upstream was reached")
				}
				return
			}
			sent := up.last(t)
			if got := strings.Join(header(sent, "X-Forwarded-User"), ","); got != tt.user {
				t.Errorf("the upstream got user %q, want %q", got, tt.user)
			}
			if now, _, _ := s.counts(); (now > delivered) != (tt.user == "alice") {
				t.Errorf("a cookie was due %d times, want that for alice alone", now-delivered)
			}
			if strings.Contains(sent, "forged") {
				t.Error("the upstream got a forged token")
			}
		})
	}
}

func TestTwoTokensAreNone(t *testing.T) {
	up := newUpstream(t, saysOK)
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Bearer: authFunc(func(r *http.Request) (*auth.Login, error) {
		if n := len(r.Header["Authorization"]); n != 2 {
			t.Errorf("got %d Authorization headers, want the authenticator to see both", n)
		}
		return nil, &auth.Refused{Reason: "two tokens", Code: "invalid_request"}
	}), Router: newRouter(t, &proxy.Route{Bearer: true, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	a := gw.send(t, get("/", "Authorization: Basic x", "Authorization: Bearer client.token"))
	if a.StatusCode != 401 || len(up.requests()) != 0 {
		t.Errorf("got %d, want 401 and nothing upstream", a.StatusCode)
	}
}

// refusing says invalid_token until it is sent a token that was replaced.
func refusing(challenge string, seen *atomic.Int32) func(net.Conn, *http.Request) {
	return func(conn net.Conn, r *http.Request) {
		seen.Add(1)
		if strings.HasSuffix(r.Header.Get("Authorization"), ".1") {
			saysOK(conn, r)
			return
		}
		says("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: "+challenge+"\nContent-Length: 6\n\ntoken!")(conn, r)
	}
}

func TestR13UpstreamsWordCounts(t *testing.T) {
	for _, tt := range []struct {
		name, request, challenge string
		status, sent, replaced   int
	}{
		{"an invalid token is replaced", get("/"), `Bearer realm="x", error="invalid_token"`, 200, 2, 1},
		{"among other challenges", get("/"), `Basic realm="a, error=no", bearer error=invalid_token`, 200, 2, 1},
		{"a body that has gone by", request("POST", "/", "Cookie: "+sid+"=alice", "Content-Length: 1") + "x", `Bearer error="invalid_token"`, 401, 1, 1},
		{"a token that is good for less", get("/"), `Bearer error="insufficient_scope"`, 401, 1, 0},
		{"a plain 401", get("/"), `Basic realm="invalid_token"`, 401, 1, 0},
		{"an error of another scheme", get("/"), `Bearer realm="x", DPoP error="invalid_token"`, 401, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var seen atomic.Int32
			up := newUpstream(t, refusing(tt.challenge, &seen))
			s := newSession()
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
			a := gw.send(t, tt.request)
			if a.StatusCode != tt.status || int(seen.Load()) != tt.sent || s.replaced != tt.replaced {
				t.Errorf("got %d after %d requests and %d renewals, want %d, %d and %d", a.StatusCode, seen.Load(), s.replaced, tt.status, tt.sent, tt.replaced)
			}
			if strings.Contains(gw.log.String(), "good.token") {
				t.Errorf("the log holds a token:\n%s", gw.log)
			}
		})
	}
}

func TestR13UpstreamThatAlwaysRefusesIsAskedTwiceAtMost(t *testing.T) {
	up := newUpstream(t, says("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Bearer error=\"invalid_token\"\nContent-Length: 0\n\n"))
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	if a := gw.send(t, get("/")); a.StatusCode != 401 || len(up.requests()) != 2 {
		t.Errorf("got %d after %d requests, want 401 after 2", a.StatusCode, len(up.requests()))
	}
}

func TestTokenThatCannotBeHad(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, tt := range []struct {
		name   string
		err    error
		public bool
		status int
	}{
		{"out of order", &auth.Unavailable{What: "the provider"}, false, 503},
		{"the session ended", &auth.Absent{Reason: auth.Ended}, false, 401},
		{"unexpected", errors.New("boom"), false, 503},
		{"on a public route", &auth.Unavailable{What: "the provider"}, true, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSession()
			s.noToken = tt.err
			gw := newGateway(t, &proxy.Gate{Auth: alice(s), Router: newRouter(t,
				&proxy.Route{Token: auth.Wanted{Resource: "api"}, Policy: auth.Policy{Public: tt.public}, Upstream: way})})
			a := gw.send(t, get("/"))
			if a.StatusCode != tt.status {
				t.Fatalf("got %d, want %d", a.StatusCode, tt.status)
			}
			if tt.status == 200 && header(up.last(t), "Authorization") != nil {
				t.Error("the upstream got a token that could not be had")
			}
		})
	}
}

// TestStreamEndsWithAClientsOwnToken: its short life is the only revocation that
// such a client has.
func TestStreamEndsWithAClientsOwnToken(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: x\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer up.Close()
	gw := newGateway(t, &proxy.Gate{Auth: alice(nil), Bearer: authFunc(func(*http.Request) (*auth.Login, error) {
		return &auth.Login{Identity: auth.Identity{Provider: "corp", User: "robot"},
			AccessToken: auth.Token{Value: secret.New("client.token"), Expires: time.Now().Add(time.Second)}}, nil
	}), Router: newRouter(t, &proxy.Route{Bearer: true, Upstream: newWay(t, proxy.UpstreamOptions{Target: up.URL})})})
	began := time.Now()
	a := gw.send(t, request("GET", "/", "Authorization: Bearer client.token"))
	if took := time.Since(began); took < 900*time.Millisecond || took > 5*time.Second || !strings.Contains(a.body, "data: x") {
		t.Errorf("the stream ended after %v with %q, want it to end with the token", took, a.body)
	}
}

// TestReplayKeepsItsPlace: a request that is sent again with a new token does not go to
// the end of the queue, where it would end as 503 though the app was there for it.
func TestReplayKeepsItsPlace(t *testing.T) {
	for name, targetsOf := range map[string]int{"one target": 1, "two, of which one has room": 2} {
		t.Run(name, func(t *testing.T) {
			var way *proxy.Upstream
			release := make(chan struct{})
			refused := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/other" {
					<-release
					return
				}
				if !strings.HasSuffix(r.Header.Get("Authorization"), ".1") {
					until(t, "somebody waits for the place", func() bool { return way.Waiting() == targetsOf })
					w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
					w.WriteHeader(401)
				}
			}
			var apps []*app
			for range targetsOf {
				apps = append(apps, newApp(t, refused))
			}
			var gw *gateway
			gw, way, _ = pool(t, alice(newSession()), proxy.UpstreamOptions{Targets: targets(apps...), Connections: 1, QueueTime: 3 * time.Second})
			var wg sync.WaitGroup
			defer wg.Wait()
			defer close(release)
			got := make(chan int, 1)
			wg.Go(func() { got <- gw.fetch(t, "GET", "/", nil).StatusCode })
			served := func() (n int64) {
				for _, a := range apps {
					n += a.served.Load()
				}
				return n
			}
			until(t, "it is with the app", func() bool { return served() == 1 })
			for range 2*targetsOf - 1 {
				wg.Go(func() { gw.fetch(t, "GET", "/other", nil) })
			}
			if status := <-got; status != 200 {
				t.Errorf("got %d, want 200", status)
			}
		})
	}
}

// TestR13KeptFormIsSentAgain: a form that was kept while its sender signed in is at hand,
// so it goes up once more with the new token, whole and once per token.
func TestR13KeptFormIsSentAgain(t *testing.T) {
	var seen atomic.Int32
	up := newUpstream(t, refusing(`Bearer error="invalid_token"`, &seen))
	s := newSession()
	gw := newGateway(t, &proxy.Gate{Auth: alice(s), Restore: func(r *http.Request, _ *auth.Login) error {
		body := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a=1&b=2")), nil }
		r.Body, _ = body()
		r.GetBody, r.ContentLength = body, 7
		r.Header.Set("Content-Length", "7")
		return nil
	}, Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
	a := gw.send(t, request("POST", "/", "Cookie: "+sid+"=alice", "Content-Length: 1")+"x")
	if a.StatusCode != 200 || seen.Load() != 2 || s.replaced != 1 {
		t.Errorf("got %d after %d requests and %d renewals, want 200, 2 and 1", a.StatusCode, seen.Load(), s.replaced)
	}
	for i, raw := range up.requests() {
		if !strings.HasSuffix(raw, "\r\n\r\na=1&b=2") || len(header(raw, "Authorization")) != 1 {
			t.Errorf("request %d: got\n%s", i+1, raw)
		}
	}
}
