package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var (
	printedDashboard = regexp.MustCompile(`(?m)^dashboard: (\S+)$`)
	printedToken     = regexp.MustCompile(`(?m)^token: +(\S+)$`)
	printedControl   = regexp.MustCompile(`watch the app: +(\S+)`)
)

// says is a condition: an element has that text in it.
func says(id, text string) string {
	return `document.getElementById("` + id + `")?.innerText.includes("` + text + `")`
}

// bobSignsIn at the demo's provider, and is at the app afterwards.
func (d *demo) bobSignsIn(p *tab) {
	p.t.Helper()
	p.open(d.url + "/.evergate/login/demo?rd=/")
	p.until("the provider's page", patience, `document.querySelector("h1")?.textContent == "Sign in at the provider"`)
	p.fill("input[name=username]", "bob")
	p.fill("input[name=password]", d.password)
	p.click("button")
	p.until("the app, as bob", patience, `document.getElementById("user")?.textContent == "bob"`)
}

// TestIncidentOnTheDashboard: the demo's provider fails under somebody who is signed in by
// it, and the dashboard alone tells what happened, from when on and to whom, that sessions
// are kept, and that it is over. docs/incident-on-the-dashboard.md tells the same.
func TestIncidentOnTheDashboard(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	at, token, control := printedDashboard.FindStringSubmatch(d.stderr.String()), printedToken.FindStringSubmatch(d.stderr.String()), printedControl.FindStringSubmatch(d.stderr.String())
	if at == nil || token == nil || control == nil {
		t.Fatalf("the demo does not say where its dashboard is, and how to get in:\n%s", d.stderr.String())
	}
	users := newBrowser(t)
	bob := users.tab()
	d.bobSignsIn(bob)

	b := newBrowser(t)
	p := b.tab()
	p.open(at[1])
	p.until("the question for the token", patience, `document.querySelector("input[name=token]")`)
	p.everyLook("dashboard-sign-in")
	p.fill("input[name=token]", "not-the-token")
	p.click("main button")
	p.until("a refusal", patience, alerted)
	p.fill("input[name=token]", token[1])
	p.click("main button")
	p.until("all is well", patience, says("state", "All is well.")+` && document.querySelector("#state.good")`)
	p.until("it is live, with a chart", patience, says("link", "Updated each second.")+` && document.querySelector("#chart canvas")`)
	p.until("one session", patience, says("fact-live", "1"))
	p.until("a renewal that worked", time.Minute, `[...document.querySelectorAll("#rows-renewals tr")].some((r) => r.children[1].textContent > 0)`)
	if got := p.text("#rows-providers"); !strings.Contains(got, "reachable") {
		t.Errorf("the provider: got %q, want it reachable", got)
	}
	p.everyLook("dashboard")

	breaker := users.tab()
	breaker.open(control[1])
	breaker.click("button[value=down]")
	breaker.until("the page again", patience, `location.href.endsWith("?") && document.querySelector("button[value=behave]")`)
	p.until("what is wrong, in words", 90*time.Second, says("state", "Provider demo has trouble since"))
	p.until("to whom", 90*time.Second, says("rows-recent", "A renewal for bob did not work, and the session is kept"))
	p.until("how often", 90*time.Second, `[...document.querySelectorAll("#rows-renewals tr")].some((r) => r.children[2].textContent > 0)`)
	p.until("trouble, also in the title of the tab", 90*time.Second, `document.querySelector("#state.bad") && document.title.startsWith("Trouble")`)
	if got := p.text("#rows-providers"); !strings.Contains(got, "503") {
		t.Errorf("the provider: got %q, want its last error", got)
	}
	p.do("a desk", chromedp.EmulateViewport(1280, 900))
	p.shot("dashboard-incident")
	p.do("a phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	p.shot("dashboard-incident-phone")
	p.do("a desk again", chromedp.EmulateViewport(1280, 900))

	people := b.tab()
	people.open(at[1] + "sessions")
	people.until("bob's session, kept", patience, `document.querySelector("table.sessions")?.innerText.includes("bob")`)
	people.everyLook("dashboard-sessions")

	plain := b.tab()
	if _, err := chromedp.Call(plain.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	plain.open(at[1])
	plain.until("the same without a script", patience, says("state", "Provider demo has trouble since")+` && document.querySelectorAll("#chart polyline").length == 3`)
	if eval[bool](plain, `getComputedStyle(document.getElementById("pause")).display != "none"`) {
		t.Error("without a script there is a button that does nothing")
	}
	plain.everyLook("dashboard-without-script")
	plain.click("noscript a")
	plain.until("the page, read again", patience, says("state", "Provider demo has trouble since"))
	plain.faultless()

	p.click("#pause")
	p.until("paused", patience, says("link", "Paused."))
	breaker.click("button[value=behave]")
	breaker.until("it behaves again", patience, `document.body.innerText.includes("behaves well")`)
	answered := func(what, path string, want int) {
		t.Helper()
		within(t, 90*time.Second, what, func() bool { return eval[int](bob, fmt.Sprintf("fetch(%q).then((r) => r.status)", path)) == want })
	}
	answered("bob's renewals work again", "/", http.StatusOK)
	time.Sleep(3 * time.Second)
	if !eval[bool](p, says("state", "has trouble since")) {
		t.Error("the page changed although its updates are paused")
	}
	p.click("#pause")
	p.until("all is well again", 90*time.Second, says("state", "All is well.")+` && document.querySelector("#state.good")`)
	bob.open(d.url + "/")
	bob.until("bob, who was not asked to sign in", patience, `document.getElementById("user")?.textContent == "bob"`)

	p.open(at[1] + "timeline")
	p.until("the timeline, live", patience, says("rows-timeline", "A renewal for bob did not work")+" && "+says("rows-timeline", "bob signed in")+" && "+
		says("rows-timeline", "Renewals by provider demo work again."))
	p.everyLook("dashboard-timeline")
	p.open(at[1] + "config")
	p.until("the config", patience, `document.querySelector("pre")?.innerText.includes("client_secret: '[redacted]'")`)
	p.everyLook("dashboard-config")

	people.open(at[1] + "sessions?user=bob")
	people.click("td button")
	people.until("the question", patience, `document.querySelector("h1")?.innerText.startsWith("End the session")`)
	people.everyLook("dashboard-revoke")
	people.click("main button.danger")
	people.until("it is ended", patience, `document.querySelector("h1")?.innerText == "Ended"`)
	answered("bob is out", "/.evergate/session", http.StatusUnauthorized)
	p.open(at[1] + "timeline")
	p.until("who did that", patience, says("rows-timeline", "token ended 1 session of bob"))
	p.click("header form button")
	p.until("the question for the token", patience, `document.querySelector("input[name=token]")`)
	people.faultless()
	p.faultless("status of 401") // of the wrong token
}
