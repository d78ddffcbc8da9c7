package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// demo is a running `evergate demo`, in a folder of its own.
type demo struct {
	*process
	dir, url, user, password string
	took                     time.Duration // until it answered
}

var printed = regexp.MustCompile(`(?m)^(url|user|password):\s+(\S+)$`)

// startDemo runs the demo with what it prints as the only knowledge of it.
func startDemo(t *testing.T) *demo {
	t.Helper()
	d := &demo{dir: t.TempDir()}
	common.take(t) // waiting for a seat is no time of the demo's
	began := time.Now()
	d.process = start(t, d.dir, binary, "demo", "--listen", "localhost:"+freePort(t))
	for d.password == "" {
		if time.Since(began) > patience {
			t.Fatalf("the demo prints no url, user and password:\n%s%s", d.stdout.String(), d.stderr.String())
		}
		time.Sleep(10 * time.Millisecond)
		for _, m := range printed.FindAllStringSubmatch(d.stdout.String(), -1) {
			switch m[1] {
			case "url":
				d.url = m[2]
			case "user":
				d.user = m[2]
			case "password":
				d.password = m[2]
			}
		}
	}
	d.awaitHTTP(t, d.url+"/.evergate/ping")
	d.took = time.Since(began)
	return d
}

// signIn fills the sign-in page that the tab shows.
func (p *tab) signIn(user, password string) {
	p.t.Helper()
	p.until("a sign-in page", patience, `document.querySelector("input[name=password]")`)
	p.fill("input[name=username]", user)
	p.fill("input[name=password]", password)
	p.click("button[type=submit]")
}

// signOut asks to sign out and does.
func (p *tab) signOut(url string) {
	p.t.Helper()
	p.open(url + "/.evergate/logout")
	p.click("form[action='/.evergate/logout'] button")
	p.until("the page that says so", patience, `document.title.startsWith("Signed out")`)
}

const (
	atSignIn = `document.querySelector("input[name=password]")`
	atHome   = `document.getElementById("user")?.textContent == "alice"`
)

// noFavicon is what Chromium says when it asks for the app's icon before
// anybody has signed in.
const noFavicon = "/favicon.ico"

// allUp is the demo page with everything on it running.
const allUp = atHome + ` && document.getElementById("stream-status").textContent == "open" &&
	document.getElementById("socket-status").textContent == "open" && document.getElementById("socket-echoes").textContent > 0`

func TestDemoRenewsUnderPageStreamAndSocket(t *testing.T) {
	t.Parallel() // it mostly waits
	p := newBrowser(t).tab()
	d := startDemo(t)

	p.open(d.url + "/?from=a+bookmark#headers")
	p.until("the sign-in page", patience, atSignIn)
	p.everyLook("sign-in")
	p.signIn(d.user, "not-the-password")
	p.until("a refusal", patience, alerted)
	p.everyLook("sign-in-refused")
	p.fill("input[name=password]", d.password)
	p.click("button[type=submit]")
	p.until("page, stream and socket are up", patience, allUp)
	if got, want := eval[string](p, "location.pathname + location.search"), "/?from=a+bookmark"; got != want {
		t.Errorf("after signing in at %q, want to be where the person wanted to go: %q", got, want)
	}
	before := p.handle(d.url)
	eval[bool](p, "window.stillHere = true")
	_, mark := p.heard(0)

	p.until("three renewals", 2*time.Minute, `["renewals", "stream-uptime", "socket-uptime", "socket-echoes"].every((id, i) => Number(document.getElementById(id).textContent) >= (i ? 60 : 3))`)

	if !eval[bool](p, "window.stillHere === true") {
		t.Error("the page was loaded again while it was being looked at")
	}
	answers, _ := p.heard(mark)
	if len(answers) < 50 {
		t.Errorf("got %d answers in three renewals, want the page to have asked each second", len(answers))
	}
	for _, a := range answers {
		if a.status != 200 {
			t.Errorf("an answer was not 200: %v", a)
		}
	}
	for id, want := range map[string]string{
		"#stream-status": "open", "#stream-reconnects": "0", "#socket-status": "open", "#socket-reconnects": "0", "#api-errors": "0",
	} {
		if got := p.text(id); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	for _, id := range []string{"#stream-uptime", "#socket-uptime", "#socket-echoes"} {
		// Three tokens of 30 s, each renewed with a fifth of its life left.
		if got, err := strconv.Atoi(p.text(id)); err != nil || got < 60 {
			t.Errorf("%s: got %q, want 60 at least", id, p.text(id))
		}
	}
	if got := len(eval[[]string](p, `[...document.querySelectorAll("#token-list tr")].map((r) => r.innerText)`)); got < 4 {
		t.Errorf("#token-list: got %d tokens, want 4 at least", got)
	}
	after := p.handle(d.url)
	if before.Value == after.Value {
		t.Error("the handle in the cookie did not rotate in three renewals")
	}
	if !after.HTTPOnly || after.SameSite != network.CookieSameSiteLax || after.Secure || after.Path != "/" {
		t.Errorf("the cookie on plain http: got %+v, want HttpOnly, SameSite=Lax, Path=/ and not Secure", *after)
	}
	if leak := regexp.MustCompile(`eyJ[\w-]{20,}\.[\w-]+\.`).FindString(eval[string](p, "document.documentElement.outerHTML")); leak != "" {
		t.Error("the page holds an access token")
	}
	p.everyLook("demo")
	p.faultless(noFavicon, "status of 401", "status of 400") // of the refused sign-in
}

// handle returns the gateway's one cookie for url.
func (p *tab) handle(url string) *network.Cookie {
	p.t.Helper()
	port := url[strings.LastIndex(url, ":")+1:]
	all := p.cookies(url)
	i := slices.IndexFunc(all, func(c *network.Cookie) bool { return c.Name == "evergate-"+port })
	if i < 0 {
		p.t.Fatalf("no cookie evergate-%s among %d cookies", port, len(all))
	}
	return all[i]
}

func TestFormPostedAfterTheSessionEndedIsFoundAgain(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	d := startDemo(t)
	p, other := b.tab(), b.tab()
	p.open(d.url + "/form")
	p.signIn(d.user, d.password)
	p.until("the form", patience, `document.getElementById("note")`)
	p.fill("#title", `Minutes "of" <today> & ü`)
	p.fill("#note", "first line\nsecond line + 100 %")
	p.everyLook("form")

	other.signOut(d.url)
	other.everyLook("signed-out")
	p.click("#send")
	p.until("the sign-in page", patience, atSignIn)
	p.shot("form-kept")
	p.signIn(d.user, d.password)
	p.until("the offer to send it", patience, `document.title.startsWith("Send your form")`)
	p.everyLook("form-found-again")
	p.click("main button[type=submit]")
	p.until("the form arrived", patience, `document.getElementById("form-body")`)

	for id, want := range map[string]string{
		"#form-title": `Minutes "of" <today> & ü`, "#form-note": "first line\nsecond line + 100 %", "#form-count": "1", "#form-method": "POST",
		"#form-type": "application/x-www-form-urlencoded",
		"#form-body": "title=Minutes+%22of%22+%3Ctoday%3E+%26+%C3%BC&note=first+line%0D%0Asecond+line+%2B+100+%25",
	} {
		if got := p.text(id); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
	if got, want := eval[string](p, "location.href"), d.url+"/form"; got != want {
		t.Errorf("the form was sent to %q, want %q", got, want)
	}
	p.shot("form-received")
}

func TestSignedOutIsOut(t *testing.T) {
	b := newBrowser(t)
	d := startDemo(t)
	p, other := b.tab(), b.tab()
	p.open(d.url)
	p.signIn(d.user, d.password)
	p.until("page, stream and socket are up", patience, allUp)
	if got := eval[int](p, `fetch("/.evergate/session").then((r) => r.status)`); got != 200 {
		t.Errorf("/.evergate/session of somebody: got %d, want 200", got)
	}
	stolen := p.handle(d.url)

	other.open(d.url + "/.evergate/logout")
	other.until("the question", patience, `document.title.startsWith("Sign out?")`)
	other.everyLook("sign-out")
	if got := p.text("#stream-status"); got != "open" {
		t.Errorf("asking to sign out closed the stream: got %q", got)
	}
	// When both are cut, by the page's own clock.
	eval[bool](p, `(() => {
		const open = () => ["stream-status", "socket-status"].some((id) => document.getElementById(id).textContent == "open");
		const look = new MutationObserver(() => { if (!open()) window.cutAt ??= Date.now() });
		look.observe(document.body, { subtree: true, childList: true, characterData: true });
		return open();
	})()`)
	other.click("form[action='/.evergate/logout'] button")
	p.until("stream and socket are cut", patience, `window.cutAt`)
	other.until("signed out", patience, `document.title.startsWith("Signed out")`)
	asked := time.UnixMilli(int64(eval[float64](other, `performance.timeOrigin`)))
	if took := time.UnixMilli(eval[int64](p, `window.cutAt`)).Sub(asked); took < 0 || took > 3*time.Second {
		t.Errorf("stream and socket were cut %v after the sign-out was sent, want 3 s at most", took)
	}
	p.until("the page says so", patience, `!document.getElementById("signed-out").hidden`)
	p.everyLook("demo-signed-out")
	if got := eval[int](p, `fetch("/.evergate/session").then((r) => r.status)`); got != 401 {
		t.Errorf("/.evergate/session of nobody: got %d, want 401", got)
	}
	p.open(d.url + "/form")
	p.until("the sign-in page", patience, atSignIn)
	p.do("press Back", chromedp.NavigateBack())
	p.until("the sign-in page, and not the app's", patience, atSignIn)

	// The cookie of before, kept by somebody, opens nothing.
	_, err := chromedp.Call(p.ctx, network.SetCookie, network.SetCookieParams{Name: stolen.Name, Value: stolen.Value, URL: d.url})
	if err != nil {
		t.Fatal(err)
	}
	p.open(d.url)
	p.until("the sign-in page", patience, atSignIn)
}

func TestSigningInWorksWithoutScript(t *testing.T) {
	t.Parallel()
	p := newBrowser(t).tab()
	d := startDemo(t)
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	p.open(d.url)
	p.signIn(d.user, d.password)
	p.until("the page", patience, `document.readyState == "complete" && `+atHome)
	if got := p.text("#stream-status"); got != "not open" {
		t.Errorf("#stream-status: got %q, want a page on which no script ran", got)
	}
	if got, err := strconv.Atoi(p.text("#countdown")); err != nil || got < 1 || got > 30 {
		t.Errorf("#countdown: got %q, want 1 to 30", p.text("#countdown"))
	}
	if !strings.Contains(p.text("#headers"), "X-Forwarded-User") {
		t.Error("#headers lacks X-Forwarded-User")
	}
	p.shot("demo-without-script")
	p.faultless(noFavicon)
}

func TestDemoStartsAtOnceAndLeavesNothingBehind(t *testing.T) {
	d := startDemo(t)
	for range 2 { // of three: what else a machine does is not the demo's time
		if d.took <= 3*time.Second {
			break
		}
		t.Logf("the demo was up after %v", d.took)
		d.stop(t)
		d = startDemo(t)
	}
	if d.took > 3*time.Second {
		t.Errorf("the demo was up after %v, want 3 s at most", d.took)
	}
	d.stop(t)
	var left []string
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if path != d.dir {
			left = append(left, path)
		}
		return err
	})
	if err != nil || len(left) > 0 {
		t.Errorf("the demo left %q (%v), want nothing", left, err)
	}
	if strings.Contains(d.stderr.String(), d.password) {
		t.Error("the password is in the log")
	}
}
