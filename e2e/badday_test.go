package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestPanvaStorm: 200 requests at once at every expiry, with refresh tokens that
// are good once and whose reuse ends the grant, and a provider that takes its time.
func TestPanvaStorm(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	for _, c := range []struct {
		name  string
		delay time.Duration
		ttl   int
		last  time.Duration
	}{{"fast", 0, 5, 60 * time.Second}, {"3s", 3 * time.Second, 5, 40 * time.Second}, {"12s", 12 * time.Second, 5, 40 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // each has a provider and a gateway of its own
			app, port := newUpstream(t), freePort(t)
			p := newPanva(t, "http://127.0.0.1:"+port, c.ttl, nil)
			g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
			who := newPerson(t)
			who.signIn(g.url+"/", alice).told(t)
			p.delay(t, c.delay)
			total, slowest := who.storm(g.url+"/storm", 200, c.last)
			s := p.stats(t)
			t.Logf("%d requests, the slowest took %v; the provider counted %+v; %d tokens went up", total, slowest, s, app.distinct())
			if s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 {
				t.Errorf("the provider counted %+v, want one grant at a time and none refused", s)
			}
			if most := int(c.last/(time.Duration(c.ttl)*time.Second*3/4)) + 2; s.Grants["refresh_token"] > most || s.Grants["refresh_token"] < 2 {
				t.Errorf("got %d grants in %v, want one for each expiry: at most %d", s.Grants["refresh_token"], c.last, most)
			}
			if slowest > 2*c.delay+5*time.Second {
				t.Errorf("the slowest request took %v with a provider that takes %v", slowest, c.delay)
			}
		})
	}
}

// TestPanvaOutage: nobody reaches the provider for three lives of an access token.
func TestPanvaOutage(t *testing.T) {
	t.Parallel()
	app, port, door := newUpstream(t), freePort(t), newDoor(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, func(config, _ map[string]any) { config["at"] = json.Number(door.port) })
	door.to = strings.TrimPrefix(p.url, "http://")
	door.open()
	p.url = "http://127.0.0.1:" + door.port
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	told := who.signIn(g.url+"/", alice).told(t)
	// Up to a tenth of its life before its end a token goes up, and the claim is in whole seconds.
	good := expiry(t, told["authorization"]).Add(-1500 * time.Millisecond)
	door.close()
	stopped := time.Now()
	answers := map[int]int{}
	for time.Since(stopped) < 15*time.Second {
		at := who.get(g.url + "/x")
		answers[at.status]++
		switch {
		case at.status == http.StatusServiceUnavailable:
			if at.header.Get("Retry-After") == "" {
				t.Error("a 503 without Retry-After")
			}
			if now := time.Now(); now.Before(good) {
				t.Errorf("503 %v before the token was over", good.Sub(now))
			}
		case at.status != http.StatusOK:
			t.Fatalf("got %d at %s", at.status, at.url)
		}
		time.Sleep(200 * time.Millisecond)
	}
	ready := newPerson(t).get(g.admin + "/readyz")
	if ready.status != http.StatusOK || !strings.Contains(ready.body, `"provider oidc":{"ok":false`) {
		t.Errorf("ready during the outage: got %d %s, want the gateway ready and the provider's state", ready.status, ready.body)
	}
	door.open()
	back := time.Now()
	for {
		at := who.get(g.url + "/x")
		if at.status == http.StatusOK {
			at.told(t)
			break
		}
		if time.Since(back) > 45*time.Second {
			t.Fatalf("still %d, 45 s after the provider is back", at.status)
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("answers during the outage: %v; 200 again %v after it; the provider counted %+v", answers, time.Since(back), p.stats(t))
	if answers[503] == 0 {
		t.Error("the outage did not show; this test sees nothing")
	}
}

// TestPanvaHangUps: a browser that goes away in the middle of a renewal does the
// session no harm.
func TestPanvaHangUps(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 1, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	p.delay(t, 200*time.Millisecond)
	hung := 0
	renewed := func() int { return strings.Count(g.stderr.String(), `"event":"session.renewed"`) }
	for range 100 {
		time.Sleep(1100 * time.Millisecond) // the token is over
		before := renewed()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := who.c.Do(req); err != nil {
			hung++
			// The renewal goes on. Where the request did not even arrive, there is none to wait for.
			for end := time.Now().Add(5 * time.Second); renewed() == before && time.Now().Before(end); {
				time.Sleep(20 * time.Millisecond)
			}
		} else {
			res.Body.Close()
		}
		cancel()
	}
	who.get(g.url + "/").told(t)
	s := p.stats(t)
	t.Logf("%d of 100 requests hung up in the middle; the provider counted %+v", hung, s)
	if hung < 90 || s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 {
		t.Errorf("%d hung up, the provider counted %+v; want nearly all to, and no grant refused", hung, s)
	}
}
