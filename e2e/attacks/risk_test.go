package attacks

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func init() { sections = append(sections, risk) }

func TestRisk(t *testing.T) {
	t.Parallel()
	usual, again := riskLab(t, "{}", ""), riskLab(t, "{ new_network: step_up, changed_browser: step_up }", "")
	over, turns := riskLab(t, "{ changed_browser: revoke }", ""), riskLab(t, "{ new_network: off, changed_browser: off, parallel_use: revoke }", "")
	alone := providerLab(t, 5*time.Minute, setup{routes: "  - upstream: %[1]q\n",
		more: "trusted_proxies: [127.0.0.1]\nsession: { store: cookie, risk: { changed_browser: revoke } }\n"})
	corp := providerLab(t, 5*time.Minute, setup{more: "trusted_proxies: [127.0.0.1]\nsession: { risk: { changed_browser: step_up } }\n"})
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	asked := riskLab(t, "{ changed_browser: step_up }", fmt.Sprintf("forward_auth: { listen: %q, dialect: traefik }\n", at))
	asked.forward, asked.dialect = at, "traefik"
	risk.tryOn(t, usual, map[string]*lab{"RS-4": again, "RS-5": again, "RS-6": over, "RS-7": turns, "RS-8": alone, "RS-9": asked, "RS-11": corp})
}

// riskLab believes the addresses that it is told, and does that about risk signals.
func riskLab(t *testing.T, does, more string) *lab {
	t.Helper()
	return newLab(t, setup{identity: guessingIdentity, files: map[string]string{"cheap.yaml": guessingUsers},
		more: "trusted_proxies: [127.0.0.1]\nsession: { risk: " + does + " }\n" + more})
}

// What browsers say of themselves.
const (
	riskFirefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	riskNewer   = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
	riskChrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// riskAt is a request of the jar's browser from an address.
func (j *jar) riskAt(address, target string) *reply {
	j.l.t.Helper()
	return j.get(target, "X-Forwarded-For: "+address, "X-Forwarded-Proto: https")
}

// riskIn signs somebody in from an address. It is no part of what a case leaves behind.
func (j *jar) riskIn(address, user string) *jar {
	j.l.t.Helper()
	j.l.before.audit = len(j.l.events())
	guessIn(j, address, user, password).status(j.l.t, http.StatusSeeOther)
	j.l.settled("session.started")
	return j
}

// riskHears fails the case unless the audit log has these signals in the end, and no other.
func (l *lab) riskHears(want ...string) (all []map[string]any) {
	l.t.Helper()
	slices.Sort(want)
	var names []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		all, names = nil, nil
		for _, e := range l.events()[l.before.audit:] {
			if name := fmt.Sprint(e["event"]); strings.HasPrefix(name, "risk.") {
				all, names = append(all, e), append(names, strings.TrimPrefix(name, "risk."))
			}
		}
		if slices.Sort(names); slices.Equal(names, want) {
			return all
		}
	}
	l.t.Errorf("the audit log has the signals %q, want %q", names, want)
	return all
}

// risk are signs that somebody else has a session's cookie. All but RS-2 and RS-3 are the theft of
// a cookie, most by somebody who does not take the trouble to look like its owner.
var risk = &section{name: "Risk signals", test: "TestRisk", attacks: []attack{
	{"RS-1", "medium", "a copied session cookie in another browser in another network, and its owner goes on: by default",
		"`risk.changed_browser`, `risk.new_network` and `risk.parallel_use` in the audit log and on the account page, each once and with what it was and is; nobody is signed out by it",
		func(t *testing.T, l *lab) {
			owner := l.newJar(riskFirefox).riskIn("192.0.2.7", "alice")
			owner.riskAt("192.0.2.7", "/").status(t, 200)
			thief := owner.copy(riskChrome)
			for range 3 {
				thief.riskAt("203.0.113.9", "/").status(t, 200)
				owner.riskAt("192.0.2.8", "/").status(t, 200)
			}
			for _, e := range l.riskHears("changed_browser", "new_network", "parallel_use") {
				if said := fmt.Sprint(e["before"], " ", e["now"]); e["action"] != "log" || e["user"] != "alice" ||
					!strings.Contains(said, "Firefox on Linux") && !strings.Contains(said, "192.0.2.0/24 203.0.113.0/24") {
					t.Errorf("got %v, want what it was and is", e)
				}
			}
			page := owner.riskAt("192.0.2.7", "/.evergate/account")
			for _, says := range []string{"A sign-in was used by another browser than", "used from another network", "used by two browsers in two places", "203.0.113.9"} {
				if page.status(t, 200); !strings.Contains(page.body, says) {
					t.Errorf("the account page does not say %q", says)
				}
			}
			if _, counts := l.operator("/metrics"); !strings.Contains(counts, `evergate_risk_signals_total{signal="changed_browser"} 1`) {
				t.Error("the metrics do not count it")
			}
			l.saw(traces{app: 7, any: true})
		}},
	{"RS-2", "low", "an honest browser that changes its version, goes through six networks, by IPv6 too, asks for a page as a desktop has it and has a player fetch a film",
		"it is served, and never asked to sign in; `risk.new_network` once for each network",
		func(t *testing.T, l *lab) {
			const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.%d Mobile/15E148 Safari/604.1"
			j, requests := l.newJar(fmt.Sprintf(phone, 5)).riskIn("192.0.2.7", "bob"), 0
			for round, address := range []string{"192.0.2.99", "198.51.100.1", "203.0.113.1", "10.1.2.3", "2001:db8:1::1", "2001:db8:2::1"} {
				for i, agent := range []string{fmt.Sprintf(phone, 5+round), "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
					"AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; en_us)", ""} {
					j.agent = agent
					j.riskAt(address, fmt.Sprint("/", i)).status(t, 200)
					requests++
				}
			}
			l.riskHears("new_network", "new_network", "new_network", "new_network", "new_network")
			l.saw(traces{app: requests, any: true})
		}},
	{"RS-3", "medium", "a password that somebody else knows: the first sign-in of a person, another by the same browser without its cookies, one by another browser, and one by a browser that looks the same elsewhere",
		"`risk.new_device` for the last two, with the browsers that are known, in the audit log and on the account page; everybody who has the password gets in",
		func(t *testing.T, l *lab) {
			const home = "192.0.2.7"
			l.newJar(riskFirefox).riskIn(home, "carol")
			l.newJar(riskNewer).riskIn("192.0.2.200", "carol")
			l.riskHears()
			l.before.audit = len(l.events())
			guessIn(l.newJar(riskChrome), home, "carol", password).status(t, 303)
			for _, e := range l.riskHears("new_device") {
				if e["before"] != "Firefox on Linux" || e["now"] != "Chrome on Windows at 192.0.2.0/24" || e["user"] != "carol" || e["session"] == nil {
					t.Errorf("got %v, want what is known and what came", e)
				}
			}
			j := l.newJar(riskFirefox)
			guessIn(j, "203.0.113.9", "carol", password).status(t, 303)
			l.riskHears("new_device", "new_device")
			if page := j.riskAt("203.0.113.9", "/.evergate/account"); !strings.Contains(page.body, "Signed in by a browser that was not known at this account") {
				t.Errorf("the account page does not say so: %d", page.StatusCode)
			}
			l.saw(traces{sessions: 2, any: true})
		}},
	{"RS-4", "high", "a copied session cookie in another browser, with `changed_browser: step_up`, while its owner is sending a form",
		"whoever comes is asked to sign in, is not told whose session it is, and gets nothing of the app; the owner signs in, and what was being sent reaches the app, once. The copy is worth nothing any more",
		func(t *testing.T, l *lab) {
			owner := l.newJar(riskFirefox).riskIn("192.0.2.7", "alice")
			owner.riskAt("192.0.2.7", "/").status(t, 200)
			thief := owner.copy(riskChrome)
			turned := thief.riskAt("192.0.2.8", "/secret")
			if l.denied(turned); !strings.Contains(turned.Header.Get("Location"), "why=suspected") || !strings.Contains(turned.Header.Get("Location"), "max_age=0") {
				t.Errorf("the thief is sent to %q", turned.Header.Get("Location"))
			}
			if page := thief.riskAt("192.0.2.8", turned.Header.Get("Location")); !strings.Contains(page.body, "To be safe, sign in again") || strings.Contains(page.body, "alice") {
				t.Errorf("got %d %.2000s, want the reason and no name", page.StatusCode, page.body)
			}
			if r := thief.riskAt("192.0.2.8", "/.evergate/session"); r.StatusCode != 401 || !strings.Contains(r.body, `"reason":"suspected"`) {
				t.Errorf("a script of the thief's: got %d %.300s", r.StatusCode, r.body)
			}
			if e := l.riskHears("changed_browser"); len(e) == 1 && e[0]["action"] != "step_up" {
				t.Errorf("got %v", e)
			}
			form := riskSend(owner, "192.0.2.7", "/save", "text=long")
			if form == "" {
				t.Fatal("the form is not kept")
			}
			riskAgain(owner, "192.0.2.7", "alice", url.Values{"rd": {"/save"}, "form": {form}, "max_age": {"0"}})
			riskSend(owner, "192.0.2.7", "/save", "evergate_form="+form)
			owner.riskAt("192.0.2.7", "/").status(t, 200)
			l.denied(thief.riskAt("192.0.2.8", "/secret"))
			all := l.saw(traces{app: 3, sessions: 1, any: true})
			if len(all) == 3 && (all[1].Method != "POST" || string(all[1].body) != "text=long") {
				t.Errorf("the app got %s %q, want what was being sent", all[1].head(), all[1].body)
			}
		}},
	riskNetworks, riskOver, riskTurns, riskCookie, riskAsked, riskMadeUp, riskCorp,
}}
