package proxy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// proven is alice as she signed in so long ago, by that class and those methods.
func proven(s auth.Session, ago time.Duration, acr string, amr ...string) authFunc {
	return func(r *http.Request) (*auth.Login, error) {
		login, err := alice(s)(r)
		if err == nil && ago >= 0 {
			login.AuthTime = time.Now().Add(-ago)
		}
		if err == nil {
			login.ACR, login.AMR = acr, amr
		}
		return login, err
	}
}

// asks is a Challenge that says what it was asked for.
func asks(w http.ResponseWriter, _ *http.Request, absent *auth.Absent) error {
	w.Header().Set("X-Reason", absent.Reason)
	if absent.Demand != nil {
		w.Header().Set("X-Demand", absent.Demand.String())
	}
	if absent.Login != nil {
		w.Header().Set("X-Login", absent.Login.Identity.User)
	}
	w.Header().Set("Location", "/.evergate/login")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

const navigates = "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\nAccept: text/html"

func compiled(t *testing.T, p auth.Policy) auth.Policy {
	t.Helper()
	out, err := p.Compiled()
	if err != nil {
		t.Fatal(err)
	}
	return *out
}

func TestGateStepsUp(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for _, row := range []struct {
		name   string
		rule   auth.Rule
		auth   authFunc
		status int
		demand string
	}{
		{"it is what is asked", auth.Rule{ACR: []string{"gold"}, MaxAuthAge: time.Hour}, proven(newSession(), time.Minute, "gold"), 200, ""},
		{"another class", auth.Rule{ACR: []string{"gold"}}, proven(newSession(), time.Minute, "silver"), 303, "a sign-in of class gold"},
		{"too long ago", auth.Rule{MaxAuthAge: 5 * time.Minute}, proven(newSession(), time.Hour, ""), 303, "a sign-in within the last 5 minutes"},
		{"nobody knows when", auth.Rule{MaxAuthAge: 5 * time.Minute}, proven(newSession(), -1, ""), 303, "a sign-in within the last 5 minutes"},
		{"not the right people either", auth.Rule{ACR: []string{"gold"}, Groups: []string{"admin"}}, proven(newSession(), time.Minute, "silver"), 403, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			gw := newGateway(t, &proxy.Gate{Auth: row.auth, Challenge: asks,
				Router: newRouter(t, &proxy.Route{Policy: compiled(t, auth.Policy{Allow: []*auth.Rule{&row.rule}}), Upstream: way})})
			a := gw.send(t, get("/", navigates))
			if a.StatusCode != row.status || a.Header.Get("X-Demand") != row.demand {
				t.Errorf("got %d for %q, want %d for %q", a.StatusCode, a.Header.Get("X-Demand"), row.status, row.demand)
			}
			if row.status == 303 {
				if a.Header.Get("X-Reason") != auth.Insufficient || a.Header.Get("X-Login") != "alice" {
					t.Errorf("the sign-in page is told %q of %q", a.Header.Get("X-Reason"), a.Header.Get("X-Login"))
				}
				if n := gw.note(t); n.Decision != proxy.StepUp || n.Subject != "alice" {
					t.Errorf("the access line says %q of %q", n.Decision, n.Subject)
				}
			}
		})
	}
}

// TestSuspectedSessionStepsUp: what the page asks of a sign-in is asked of the fresh one, too.
func TestSuspectedSessionStepsUp(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	suspected := func(*http.Request) (*auth.Login, error) {
		return nil, &auth.Absent{Reason: auth.Suspected, Demand: &auth.Demand{Fresh: true}}
	}
	for want, rule := range map[string]auth.Rule{
		"a sign-in that was made just now":                               {},
		"a sign-in of class gold and a sign-in that was made just now":   {ACR: []string{"gold"}, MaxAuthAge: time.Hour},
		"a sign-in of class silver and a sign-in that was made just now": {ACR: []string{"silver"}},
	} {
		gw := newGateway(t, &proxy.Gate{Auth: authFunc(suspected), Challenge: asks,
			Router: newRouter(t, &proxy.Route{Policy: compiled(t, auth.Policy{Allow: []*auth.Rule{&rule}}), Upstream: way})})
		a := gw.send(t, get("/", navigates))
		if a.StatusCode != 303 || a.Header.Get("X-Demand") != want || a.Header.Get("X-Reason") != auth.Suspected {
			t.Errorf("got %d for %q (%s), want %q", a.StatusCode, a.Header.Get("X-Demand"), a.Header.Get("X-Reason"), want)
		}
	}
}

// TestStepUpDeliversTheCookie: a handle that is due goes out with the answer, whatever it is.
func TestStepUpDeliversTheCookie(t *testing.T) {
	challenge := says("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Bearer error=\"insufficient_user_authentication\", acr_values=\"gold\"\nContent-Length: 0\n\n")
	up := newUpstream(t, challenge)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	for name, policy := range map[string]auth.Policy{"by a rule": {Allow: []*auth.Rule{{ACR: []string{"gold"}}}}, "by the upstream": {}} {
		s := newSession()
		s.due = fresh
		gw := newGateway(t, &proxy.Gate{Auth: proven(s, time.Minute, ""), Challenge: asks, Router: newRouter(t, &proxy.Route{Policy: policy, Upstream: way})})
		a := gw.send(t, get("/", navigates))
		if a.StatusCode != 303 || len(a.Header["Set-Cookie"]) != 1 || a.Header.Get("Set-Cookie") != fresh {
			t.Errorf("%s: got %d with %q, want the handle once", name, a.StatusCode, a.Header["Set-Cookie"])
		}
		if delivered, _, _ := s.counts(); delivered != 1 {
			t.Errorf("%s: delivered %d times", name, delivered)
		}
	}
}

// TestClientTokensAreNotSentToSignIn: a client with a token of its own gets the challenge.
func TestClientTokensAreNotSentToSignIn(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Bearer: authFunc(clients), Challenge: asks,
		Router: newRouter(t, &proxy.Route{Bearer: true, Upstream: way, Policy: auth.Policy{Allow: []*auth.Rule{{ACR: []string{"gold"}, MaxAuthAge: 5 * time.Minute}}}})})
	for _, like := range []string{"Accept: */*", navigates} {
		a := gw.send(t, request("GET", "/", "Authorization: Bearer client.token", like))
		want := `Bearer realm="evergate", error="insufficient_user_authentication", error_description="a stronger sign-in is needed", acr_values="gold", max_age="300"`
		if a.StatusCode != 401 || a.Header.Get("Www-Authenticate") != want || a.Header.Get("Location") != "" {
			t.Errorf("got %d to %q with %q, want 401 with %q", a.StatusCode, a.Header.Get("Location"), a.Header.Get("Www-Authenticate"), want)
		}
	}
	if n := len(up.requests()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

// TestUpstreamAsksForMore is RFC 9470 from behind the gateway.
func TestUpstreamAsksForMore(t *testing.T) {
	const insufficient = `Bearer error="insufficient_user_authentication"`
	for _, row := range []struct {
		name      string
		challenge string
		auth      authFunc
		request   string
		demand    string // "" passes the answer on
	}{
		{"of another class", insufficient + `, acr_values="gold silver"`, proven(newSession(), time.Minute, "bronze"), get("/", navigates), "a sign-in of class gold or silver"},
		{"of a class that it is", insufficient + `, acr_values="gold silver"`, proven(newSession(), time.Minute, "silver"), get("/", navigates), ""},
		{"a more recent one", insufficient + `, max_age="300"`, proven(newSession(), time.Hour, ""), get("/", navigates), "a sign-in within the last 5 minutes"},
		{"a more recent one, by a minute of clocks that differ", insufficient + `, max_age="300"`, proven(newSession(), 320*time.Second, ""), get("/", navigates), "a sign-in within the last 259 seconds"},
		{"a more recent one, and it is", insufficient + `, max_age="300"`, proven(newSession(), 100*time.Second, ""), get("/", navigates), ""},
		{"a new one", insufficient + `, max_age="0"`, proven(newSession(), 5*time.Minute, ""), get("/", navigates), "a sign-in that was made just now"},
		{"a new one, and no other could be newer", insufficient + `, max_age="0"`, proven(newSession(), 30*time.Second, ""), get("/", navigates), ""},
		{"a new one of another class, and it is just new", insufficient + `, max_age="0", acr_values="gold"`, proven(newSession(), 30*time.Second, ""), get("/", navigates),
			"a sign-in of class gold and a sign-in that was made just now"},
		{"it does not say what", insufficient, proven(newSession(), 5*time.Minute, ""), get("/", navigates), "a sign-in that was made just now"},
		{"it does not say what, and it is new", insufficient, proven(newSession(), 10*time.Second, ""), get("/", navigates), ""},
		{"nobody knows when", insufficient + `, max_age="300"`, proven(newSession(), -1, ""), get("/", navigates), "a sign-in within the last 5 minutes"},
		{"HEAD", insufficient + `, max_age="300"`, proven(newSession(), time.Hour, ""), strings.Replace(get("/", navigates), "GET", "HEAD", 1), "a sign-in within the last 5 minutes"},
		{"second of two challenges in a line", `Basic realm="x, y", ` + insufficient + `, acr_values=gold`, proven(newSession(), time.Minute, ""), get("/", navigates), "a sign-in of class gold"},
		{"a script gets the challenge itself", insufficient + `, acr_values="gold"`, proven(newSession(), time.Minute, ""), get("/", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), ""},
		{"what was posted is with the upstream", insufficient + `, acr_values="gold"`, proven(newSession(), time.Minute, ""),
			request("POST", "/", "Cookie: "+sid+"=alice", navigates, "Content-Length: 0"), ""},
		{"another error", `Bearer error="insufficient_scope", acr_values="gold"`, proven(newSession(), time.Minute, ""), get("/", navigates), ""},
		{"another scheme", `DPoP error="insufficient_user_authentication", acr_values="gold"`, proven(newSession(), time.Minute, ""), get("/", navigates), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			up := newUpstream(t, says("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: "+row.challenge+"\nContent-Length: 0\n\n"))
			gw := newGateway(t, &proxy.Gate{Auth: row.auth, Challenge: asks, Router: newRouter(t, &proxy.Route{Upstream: newWay(t, proxy.UpstreamOptions{Target: up.addr})})})
			a := gw.send(t, row.request)
			want := 303
			if row.demand == "" {
				want = 401
			}
			if a.StatusCode != want || a.Header.Get("X-Demand") != row.demand {
				t.Errorf("got %d for %q, want %d for %q", a.StatusCode, a.Header.Get("X-Demand"), want, row.demand)
			}
			if want == 401 && a.Header.Get("Www-Authenticate") != row.challenge {
				t.Errorf("got the challenge %q, want the upstream's", a.Header.Get("Www-Authenticate"))
			}
			if n := len(up.requests()); n != 1 {
				t.Errorf("the upstream was asked %d times", n)
			}
		})
	}
}

// TestDenyBeforeSignIn: who may not come in whoever they are need not sign in to hear it.
func TestDenyBeforeSignIn(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	deny := []*auth.Rule{{Networks: here}}
	for _, row := range []struct {
		name    string
		policy  auth.Policy
		request string
		status  int
		upward  bool
	}{
		{"nobody, by address", auth.Policy{Deny: deny}, request("GET", "/", navigates), 403, false},
		{"nobody, on a public route", auth.Policy{Public: true, Deny: deny}, request("GET", "/", navigates), 403, false},
		{"somebody, on a public route", auth.Policy{Public: true, Deny: deny}, get("/", navigates), 403, false},
		{"somebody of a group, on a public route", auth.Policy{Public: true, Deny: []*auth.Rule{{Groups: []string{"staff"}}}}, get("/", navigates), 403, false},
		{"nobody, where a group is refused, on a public route", auth.Policy{Public: true, Deny: []*auth.Rule{{Groups: []string{"staff"}}}}, request("GET", "/", navigates), 200, true},
		{"nobody, where a group is refused", auth.Policy{Deny: []*auth.Rule{{Groups: []string{"staff"}}}}, request("GET", "/", navigates), 303, false},
		{"nobody, from elsewhere", auth.Policy{Deny: []*auth.Rule{{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}}, request("GET", "/", navigates), 303, false},
		{"nobody, by method", auth.Policy{Public: true, Deny: []*auth.Rule{{Methods: []string{"POST"}}}}, request("POST", "/", "Content-Length: 0"), 403, false},
		{"a script, by address", auth.Policy{Deny: deny}, request("GET", "/", "Accept: */*"), 403, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := len(up.requests())
			gw := newGateway(t, &proxy.Gate{Auth: alice(newSession()), Challenge: asks, Router: newRouter(t, &proxy.Route{Policy: compiled(t, row.policy), Upstream: way})})
			a := gw.send(t, row.request)
			if a.StatusCode != row.status || (len(up.requests()) > before) != row.upward {
				t.Errorf("got %d, upward %t, want %d, %t", a.StatusCode, len(up.requests()) > before, row.status, row.upward)
			}
			if row.status == 403 && (strings.Contains(a.body, "127.0.0") || strings.Contains(a.body, "staff")) {
				t.Errorf("the answer tells what the rule is about:\n%s", a.body)
			}
			nobody := !strings.Contains(row.request, "=alice")
			if n := gw.note(t); nobody && n.Subject != "" || row.status == 403 && n.Decision != proxy.Denied {
				t.Errorf("the access line says %q of %q", n.Decision, n.Subject)
			}
			if nobody && strings.Contains(a.body, "signed in as") {
				t.Errorf("somebody is named:\n%s", a.body)
			}
		})
	}
}

// TestStreamsAreHeldToTheNewRules: a WebSocket and an event stream are asked at each
// renewal, by rules about requests and sign-ins as well.
func TestStreamsAreHeldToTheNewRules(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echo(w, r)
			return
		}
		ticks(w, r)
	}))
	defer app.Close()
	way := newWay(t, proxy.UpstreamOptions{Target: app.URL})
	staff := &auth.Rule{Groups: []string{"staff"}}
	for name, row := range map[string]struct {
		now, then auth.Policy
		edit      func(*auth.Login)
		ok        bool
	}{
		"nothing changes":                       {auth.Policy{Allow: []*auth.Rule{staff}}, auth.Policy{Allow: []*auth.Rule{staff}}, nil, true},
		"a refusal is added":                    {auth.Policy{Allow: []*auth.Rule{staff}}, auth.Policy{Allow: []*auth.Rule{staff}, Deny: []*auth.Rule{{Users: []string{"alice"}}}}, nil, false},
		"a refusal by address, on a public one": {auth.Policy{Public: true}, auth.Policy{Public: true, Deny: []*auth.Rule{{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}}, nil, false},
		"the group is lost at a renewal":        {auth.Policy{Allow: []*auth.Rule{staff}}, auth.Policy{Allow: []*auth.Rule{staff}}, func(l *auth.Login) { l.Identity.Groups = nil }, false},
		"the sign-in has grown old":             {auth.Policy{Allow: []*auth.Rule{{MaxAuthAge: time.Hour}}}, auth.Policy{Allow: []*auth.Rule{{MaxAuthAge: time.Hour}}}, func(l *auth.Login) { l.AuthTime = time.Now().Add(-2 * time.Hour) }, false},
		"an expression about the path":          {auth.Policy{Allow: []*auth.Rule{{When: `request.path in ["/ws", "/events"]`}}}, auth.Policy{Allow: []*auth.Rule{{When: `request.path == "/other"`}}}, nil, false},
		"an expression that still holds":        {auth.Policy{}, auth.Policy{Allow: []*auth.Rule{{When: `request.host == "gw.test" and request.method == "GET"`}}}, nil, true},
	} {
		for _, path := range []string{"/ws", "/events"} {
			t.Run(name+path, func(t *testing.T) {
				s, streams := newSession(), &proxy.Streams{}
				gate := func(p auth.Policy) *proxy.Gate {
					return &proxy.Gate{Auth: proven(s, time.Minute, ""), Router: newRouter(t, &proxy.Route{Policy: compiled(t, p), Upstream: way}), Streams: streams}
				}
				gw := newGateway(t, gate(row.now))
				if path == "/ws" {
					conn, _, err := websocket.Dial(t.Context(), "ws"+gw.URL[4:]+path, &websocket.DialOptions{Host: "gw.test", HTTPHeader: http.Header{"Cookie": {sid + "=alice"}, "Origin": {"https://gw.test"}}})
					if err != nil {
						t.Fatal(err)
					}
					defer conn.CloseNow()
				} else {
					req := gw.request(t, "GET", path, nil)
					req.Host = "gw.test"
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
				}
				allowed := <-s.check
				login, err := proven(s, time.Minute, "")(gw.request(t, "GET", path, nil))
				if err != nil || allowed(login) != nil {
					t.Fatalf("it does not go on as it began: %v, %v", err, allowed(login))
				}
				streams.Follow(gate(row.then))
				if row.edit != nil {
					row.edit(login)
				}
				if err := allowed(login); (err == nil) != row.ok {
					t.Errorf("got %v, want goes on %t", err, row.ok)
				}
			})
		}
	}
}

// TestObservedDecidesNothing: what is only observed is told next to the decision.
func TestObservedDecidesNothing(t *testing.T) {
	up := newUpstream(t, saysOK)
	way := newWay(t, proxy.UpstreamOptions{Target: up.addr})
	var told string
	gw := newGateway(t, &proxy.Gate{Auth: proven(newSession(), time.Hour, ""), Challenge: asks,
		Decided: func(_ http.Header, _ *http.Request, d *proxy.Decision) {
			told = fmt.Sprintf("%s, and %s", d.Outcome, d.Observed)
		},
		Router: newRouter(t, &proxy.Route{Upstream: way,
			Policy: compiled(t, auth.Policy{Observed: &auth.Policy{Allow: []*auth.Rule{{MaxAuthAge: time.Minute}}, Deny: []*auth.Rule{{Methods: []string{"DELETE"}}}}})})})
	for method, want := range map[string]string{"GET": "allowed, and step-up", "DELETE": "allowed, and denied"} {
		if a := gw.send(t, strings.Replace(get("/", navigates), "GET", method, 1)); a.StatusCode != 200 || told != want {
			t.Errorf("%s: got %d, told %q, want %q", method, a.StatusCode, told, want)
		}
	}
	if a := gw.send(t, request("DELETE", "/", navigates)); a.StatusCode == 200 || told != "login, and denied" {
		t.Errorf("nobody: got %d, told %q", a.StatusCode, told)
	}
}
