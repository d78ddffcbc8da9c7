package session_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	happened "github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/session"
)

// place is where a browser is, and what it says of itself.
type place struct{ agent, address string }

const (
	firefox    = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	firefox141 = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
	chrome     = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	edge       = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
)

var (
	home   = place{firefox, "192.0.2.7"}
	office = place{firefox, "198.51.100.1"}
	thief  = place{chrome, "203.0.113.9"}
)

// each has all signals met by the same action, where that is one of theirs.
func each(a session.Action) session.Risks {
	return session.Risks{NewNetwork: min(a, session.StepUp), ChangedBrowser: a, ParallelUse: a}
}

// riskBed is a keyBed whose sessions are looked at.
type riskBed struct {
	*keyBed
	risks session.Risks
}

// atRisk has f look at sessions in a store, and at those in their cookies.
func atRisk(t *testing.T, risks session.Risks, f func(b *riskBed)) {
	t.Helper()
	bindable(t, func(k *keyBed) {
		b := &riskBed{keyBed: k}
		b.does(risks)
		f(b)
	})
}

func (b *riskBed) does(risks session.Risks) {
	b.Helper()
	b.risks, b.settings.Risks = risks, risks
	if err := b.m.Reconfigure(b.settings); err != nil {
		b.Fatal(err)
	}
}

// restart is another gateway, where this one was.
func (b *riskBed) restart() {
	b.Helper()
	b.again()
	b.does(b.risks)
}

// stored reports whether there is a store.
func (b *riskBed) stored() bool {
	_, ok := b.m.(*session.Manager)
	return ok
}

func (p place) request(j jar, method string) *http.Request {
	r := j.request(method)
	if p.agent != "" {
		r.Header.Set("User-Agent", p.agent)
	}
	addr, _ := netip.ParseAddr(p.address)
	return r.WithContext(web.WithNote(r.Context(), &web.Note{ID: "x", Client: addr}))
}

func (b *riskBed) signInAt(j jar, p place) jar {
	b.Helper()
	h := http.Header{}
	if err := b.m.Begin(h, p.request(j, "POST"), b.login(), false); err != nil {
		b.Fatalf("begin: %v", err)
	}
	j.take(h)
	return j
}

// ask is one request of the browser that has j, at p.
func (b *riskBed) ask(j jar, p place) (*auth.Login, error) {
	for {
		login, err := b.m.Authenticate(p.request(j, "GET"))
		h := http.Header{}
		if away, ok := errors.AsType[*auth.Detour](err); ok {
			for _, c := range away.Cookies {
				h.Add("Set-Cookie", c.String())
			}
			j.take(h)
			continue
		}
		if err == nil {
			login.Session.Deliver(context.Background(), h)
			j.take(h)
		}
		return login, err
	}
}

func (b *riskBed) served(j jar, places ...place) {
	b.Helper()
	for _, p := range places {
		if _, err := b.ask(j, p); err != nil {
			b.Fatalf("at %+v: got %v, want the request served", p, err)
		}
	}
}

// absent returns why nobody is signed in with j at p.
func (b *riskBed) absent(j jar, p place, reason string) *auth.Absent {
	b.Helper()
	_, err := b.ask(j, p)
	absent, ok := errors.AsType[*auth.Absent](err)
	if !ok || absent.Reason != reason {
		b.Fatalf("at %+v: got %v, want nobody signed in: %s", p, err, reason)
	}
	return absent
}

// tells looks at what was told since it looked last: names of risk signals, without "risk.".
func (b *riskBed) tells(want ...string) []happened.Event {
	b.Helper()
	b.mu.Lock()
	all := b.heard
	b.heard = nil
	b.mu.Unlock()
	var events []happened.Event
	var names []string
	for _, e := range all {
		if name, ok := strings.CutPrefix(string(e.Name), "risk."); ok {
			events, names = append(events, e), append(names, name)
			if e.User != "alice" || e.Session == "" || e.Action == "" || e.Before == e.Now {
				b.Errorf("got %+v, want alice's session, and what was done about what", e)
			}
		}
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		b.Errorf("got the signals %q, want %q", names, want)
	}
	return events
}

func TestNewNetworkIsToldOnce(t *testing.T) {
	atRisk(t, each(session.Tell), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		b.served(j, home, place{firefox, "192.0.2.250"}, home)
		b.tells()
		b.served(j, office, office)
		if e := b.tells("new_network"); len(e) == 1 && (e[0].Before != "192.0.2.0/24" || e[0].Now != "198.51.100.0/24" || e[0].Action != "log") {
			b.Errorf("got %+v, want from where to where", e[0])
		}
		b.served(j, home, office, home)
		b.restart()
		b.served(j, office, home)
		b.tells()
		b.served(j, place{firefox, "2001:db8:1::7"}, place{firefox, "2001:db8:1:ffff::8"}, place{firefox, "2001:db8:2::7"})
		b.tells("new_network", "new_network")
		b.served(j, place{firefox, ""}) // nobody knows
		b.tells()
	})
}

// TestNetworksAreBounded: somebody who is everywhere is told of, and costs no more than others.
func TestNetworksAreBounded(t *testing.T) {
	atRisk(t, each(session.Tell), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		for i := range 40 {
			b.served(j, place{firefox, netip.AddrFrom4([4]byte{10, 0, byte(i), 1}).String()})
		}
		if n := len(b.events(happened.NewNetwork)); n != 40 {
			b.Errorf("got %d networks told, want 40", n)
		}
		b.tells(strings.Fields(strings.Repeat("new_network ", 40))...)
		b.served(j, place{firefox, "10.0.39.9"}, place{firefox, "10.0.30.9"}, home)
		b.tells()
		b.served(j, place{firefox, "10.0.0.9"})
		b.tells("new_network") // forgotten by then
	})
}

// TestUnknownOriginIsNoSignal: a sign-in by something without words, from nowhere that is known.
func TestUnknownOriginIsNoSignal(t *testing.T) {
	atRisk(t, each(session.Revoke), func(b *riskBed) {
		j := b.signInAt(jar{}, place{})
		b.served(j, home, place{chrome, "192.0.2.8"}, place{}, home)
		b.tells()
		b.does(each(session.Tell))
		b.served(j, office)
		b.tells("new_network")
	})
}

func TestChangedBrowser(t *testing.T) {
	at := func(agent string) place { return place{agent, home.address} }
	const (
		iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
		desktop = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15"
		player  = "AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; en_us)"
		windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
	)
	for name, c := range map[string]struct {
		from, to string
		tells    bool
	}{
		"the same":                            {firefox, firefox, false},
		"another version":                     {firefox, firefox141, false},
		"no header":                           {firefox, "", false},
		"a phone's film player":               {iphone, player, false},
		"a page as a desktop has it":          {iphone, desktop, false},
		"another browser":                     {firefox, chrome, true},
		"another browser on the same system":  {chrome, edge, true},
		"the same browser on another system":  {firefox, windows, true},
		"a program":                           {firefox, "curl/8.14.1", true},
		"a phone's browser on another system": {iphone, chrome, true},
	} {
		t.Run(name, func(t *testing.T) {
			atRisk(t, each(session.Tell), func(b *riskBed) {
				j := b.signInAt(jar{}, at(c.from))
				b.served(j, at(c.from), at(c.to), at(c.from), at(c.to))
				if !c.tells {
					b.tells()
					return
				}
				b.tells("changed_browser")
				b.restart()
				b.served(j, at(c.to), at(c.from))
				b.tells()
			})
		})
	}
	t.Run("what it was and is", func(t *testing.T) {
		atRisk(t, each(session.Tell), func(b *riskBed) {
			b.served(b.signInAt(jar{}, home), at(chrome))
			if e := b.tells("changed_browser"); len(e) == 1 && (e[0].Before != "Firefox on Linux" || e[0].Now != "Chrome on Windows") {
				b.Errorf("got %+v", e[0])
			}
		})
	})
	t.Run("again and again", func(t *testing.T) { // who makes headers up is told of a few times
		atRisk(t, each(session.Tell), func(b *riskBed) {
			j := b.signInAt(jar{}, home)
			for _, agent := range []string{chrome, edge, windows, iphone, "curl/8.14.1", "Wget/1.25.0"} {
				b.served(j, at(agent))
			}
			b.tells("changed_browser", "changed_browser", "changed_browser", "changed_browser")
		})
	})
}

// only is one of the signals.
func only(what string, a session.Action) (r session.Risks) {
	switch what {
	case "new_network":
		r.NewNetwork = a
	case "changed_browser":
		r.ChangedBrowser = a
	case "parallel_use":
		r.ParallelUse = a
	}
	return r
}

func TestParallelUse(t *testing.T) {
	wait := func(d time.Duration) place { return place{"wait", d.String()} }
	vpn := place{firefox, "203.0.113.9"}
	for name, c := range map[string]struct {
		path  []place
		tells bool
	}{
		"A, B, A":                           {[]place{home, thief, home}, true},
		"A, B, A within ten seconds":        {[]place{home, thief, wait(10 * time.Second), home}, true},
		"A, B, and A later":                 {[]place{home, thief, wait(11 * time.Second), home}, false},
		"A, long after B, and B":            {[]place{home, thief, wait(5 * time.Minute), home, wait(time.Second), thief}, true},
		"A by another of its addresses":     {[]place{home, thief, place{firefox, "2001:db8::7"}}, true},
		"A, B":                              {[]place{home, thief}, false},
		"a VPN that comes and goes":         {[]place{home, vpn, home, vpn, home}, false},
		"two browsers in one network":       {[]place{home, {chrome, home.address}, home}, false},
		"a film player elsewhere":           {[]place{home, {"AppleCoreMedia/1.0 (iPhone; U)", thief.address}, home}, false},
		"somebody whose address is unknown": {[]place{home, {chrome, ""}, home}, false},
		"a third one, and no way back":      {[]place{home, thief, {edge, "203.0.200.1"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			atRisk(t, only("parallel_use", session.Tell), func(b *riskBed) {
				j := b.signInAt(jar{}, home)
				for _, p := range c.path {
					if p.agent == "wait" {
						d, _ := time.ParseDuration(p.address)
						time.Sleep(d)
						continue
					}
					b.served(j, p)
				}
				if !c.tells {
					b.tells()
					return
				}
				e := b.tells("parallel_use")
				if len(e) == 1 && !strings.Contains(e[0].Before+e[0].Now, "Chrome on Windows at 203.0.113.0/24") {
					b.Errorf("got %+v, want who is where", e[0])
				}
				b.served(j, thief, home, thief, home)
				b.tells() // it was told
			})
		})
	}
}

// raise has a thief use j, so that the signal is there. It returns what became of the request that
// showed it.
func (b *riskBed) raise(what string, j jar) error {
	b.Helper()
	b.served(j, home)
	switch what {
	case "new_network":
		_, err := b.ask(j.clone(), office)
		return err
	case "changed_browser":
		_, err := b.ask(j.clone(), place{chrome, home.address})
		return err
	}
	b.served(j.clone(), thief)
	_, err := b.ask(j, home)
	return err
}

func TestSuspectedSessionHasToBeSignedInAgain(t *testing.T) {
	for _, what := range []string{"new_network", "changed_browser", "parallel_use"} {
		t.Run(what, func(t *testing.T) {
			atRisk(t, only(what, session.StepUp), func(b *riskBed) {
				j := b.signInAt(jar{}, home)
				time.Sleep(time.Hour)
				absent, ok := errors.AsType[*auth.Absent](b.raise(what, j))
				if !ok || absent.Reason != auth.Suspected || absent.Login == nil || absent.Login.Identity.User != "alice" {
					b.Fatalf("got %+v, want alice asked to sign in again", absent)
				}
				if d := absent.Demand; d == nil || d.MetBy(absent.Login, time.Now()) || !d.MetBy(b.login(), time.Now()) {
					b.Errorf("got the demand %v, want one that a sign-in of now meets, and no other", d)
				}
				b.tells(what)
				old := j.clone()
				b.absent(j, home, auth.Suspected)
				b.absent(old, thief, auth.Suspected)
				if b.stored() { // where the cookie is all there is, a restart forgets it as it does sign-outs
					b.restart()
				}
				b.absent(j, home, auth.Suspected)
				b.tells()
				b.signInAt(j, home)
				b.served(j, home, home)
				b.absent(old, thief, auth.Ended)
				time.Sleep(2 * grace)
				b.absent(old, home, auth.Ended)
				b.served(j, home)
				b.tells()
			})
		})
	}
}

// TestSignedInAgainKnowsTheNetworks: who goes to and fro between two networks signs in once in
// each, where new_network asks for it.
func TestSignedInAgainKnowsTheNetworks(t *testing.T) {
	atRisk(t, only("new_network", session.StepUp), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		b.absent(j, office, auth.Suspected)
		b.signInAt(j, office)
		b.served(j, office, home, office)
		b.absent(j, thief, auth.Suspected)
		b.signInAt(j, home) // the owner, and the thief's network is none of theirs
		b.served(j, home, office)
		b.absent(j, thief, auth.Suspected)
		b.tells("new_network", "new_network", "new_network")
	})
}

// TestOperatorTakesItBack: what was to be signed in again goes on once the config does not ask
// for it any more.
func TestOperatorTakesItBack(t *testing.T) {
	atRisk(t, each(session.StepUp), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		b.absent(j, place{chrome, home.address}, auth.Suspected)
		b.does(each(session.Tell))
		b.served(j, home, place{chrome, home.address})
		b.does(session.Risks{})
		b.served(j, thief, home, thief)
	})
}

func TestSuspectedSessionIsRevoked(t *testing.T) {
	for what, reason := range map[string]string{"changed_browser": auth.ChangedBrowser, "parallel_use": auth.ParallelUse} {
		t.Run(what, func(t *testing.T) {
			atRisk(t, only(what, session.Revoke), func(b *riskBed) {
				j := b.signInAt(jar{}, home)
				attended, _ := b.mustAsk(j, home).Session.Attend(b.Context(), func(*auth.Login) error { return nil })
				if absent, ok := errors.AsType[*auth.Absent](b.raise(what, j)); !ok || absent.Reason != reason {
					b.Fatalf("got %v, want the session ended: %s", absent, reason)
				}
				<-attended.Done()
				if e := b.events(happened.SessionRevoked); len(e) != 1 || e[0].Reason != reason {
					b.Errorf("got %+v, want one session revoked: %s", e, reason)
				}
				if e := b.tells(what); len(e) == 1 && e[0].Action != "revoke" {
					b.Errorf("got %+v, want what was done", e[0])
				}
				b.absent(j, home, reason)
				b.absent(j, thief, reason)
				b.signInAt(j, home)
				b.served(j, home)
			})
		})
	}
}

func (b *riskBed) mustAsk(j jar, p place) *auth.Login {
	b.Helper()
	login, err := b.ask(j, p)
	if err != nil {
		b.Fatal(err)
	}
	return login
}

// TestSuspectedSessionClosesItsStreams, which a fresh sign-in is asked for as for anything else.
func TestSuspectedSessionClosesItsStreams(t *testing.T) {
	atRisk(t, only("changed_browser", session.StepUp), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		attended, _ := b.mustAsk(j, home).Session.Attend(b.Context(), func(*auth.Login) error { return nil })
		time.Sleep(time.Minute)
		if attended.Err() != nil {
			b.Fatal("the stream closed before anything happened")
		}
		b.absent(j.clone(), place{chrome, home.address}, auth.Suspected)
		<-attended.Done()
	})
}

// TestManyAtOnceTellOnce, and one moves the record.
func TestManyAtOnceTellOnce(t *testing.T) {
	atRisk(t, each(session.Tell), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		b.served(j, home)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := b.m.Authenticate(place{chrome, "198.51.100.1"}.request(j, "GET")); err != nil {
					b.Errorf("got %v, want all served", err)
				}
			})
		}
		wg.Wait()
		b.tells("new_network", "changed_browser")
	})
}

// TestProxyThatCannotTellIsNowhere: its own address is not where anybody is.
func TestProxyThatCannotTellIsNowhere(t *testing.T) {
	atRisk(t, each(session.Revoke), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		b.served(j, home)
		r := home.request(j, "GET")
		note := web.NoteIn(r.Context())
		note.Client, note.Unread = netip.MustParseAddr("203.0.113.1"), true
		if _, err := b.m.Authenticate(r); err != nil {
			b.Fatal(err)
		}
		b.tells()
	})
}

// TestLooksAreLookedAt: what a page asks of the session tells who that is, so that a thief shows by
// asking for it alone.
func TestLooksAreLookedAt(t *testing.T) {
	atRisk(t, each(session.Revoke), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		r := place{chrome, home.address}.request(j, "GET")
		_, err := b.m.Authenticate(r.WithContext(auth.WithGlance(r.Context())))
		if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Reason != auth.ChangedBrowser {
			b.Errorf("got %v, want the session ended", err)
		}
		b.tells("changed_browser")
	})
}

// TestStricterConfigCountsAtOnce: who was only told of until then is met as the config says now,
// and need not come from elsewhere for that.
func TestStricterConfigCountsAtOnce(t *testing.T) {
	atRisk(t, each(session.Tell), func(b *riskBed) {
		j := b.signInAt(jar{}, home)
		b.served(j, home, thief, thief)
		b.tells("new_network", "changed_browser")
		b.does(each(session.Revoke))
		b.absent(j, thief, auth.ChangedBrowser)
		b.absent(j, home, auth.ChangedBrowser)
		b.tells("changed_browser")
	})
}
