package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const scriptedLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 220 48" width="220" height="48"><script>document.documentElement.setAttribute("data-ran", "1")</script>` +
	`<rect width="48" height="48" rx="10" fill="#3d74b8" onclick="document.documentElement.setAttribute('data-ran', '1')"/><text x="60" y="33" font-family="sans-serif" font-size="26" fill="#808080">Example Ltd</text></svg>`

const ownPages = `identity:
  - local: { users_file: users.yaml }
pages:
  name: Example Ltd
  logo_file: logo.svg
  colors: { accent: "#1f4f8f", accent_dark: "#9cc3ff", ground: "#f2f4f7", ground_dark: "#14171c" }
  help: mailto:help@example.com?subject=Request%20{request}
  links: [{ text: Status, url: https://status.example.com }, { text: { en: Imprint, de: Impressum, ar: الناشر }, url: https://www.example.com/imprint }]
routes:
  - upstream: APP
  - { match: { path: /finance/ }, upstream: APP, allow: [ { groups: [finance, board] } ] }
  - { match: { path: /down/ }, upstream: "http://127.0.0.1:1" }
`

// TestPagesInABrowser: an operator's look in each language, as people see it. The script of
// the sign-in page works under the policy of the pages, and a logo runs none.
func TestPagesInABrowser(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>App</title><h1>App</h1>"))
	}))
	defer app.Close()
	g := newGateway(t, freePort(t), strings.ReplaceAll(ownPages, "APP", app.URL), map[string]string{"users.yaml": "users: {}\n", "logo.svg": scriptedLogo})
	evergate(t, g.dir, "correct horse battery\n", "user", "add", "--config", g.config, "--password-stdin", "alice")
	evergate(t, g.dir, "", "check", g.config)
	for _, lang := range []struct{ tag, dir, signIn string }{{"en", "ltr", "Sign in"}, {"de", "ltr", "Anmelden"}, {"ar", "rtl", "تسجيل الدخول"}} {
		t.Run(lang.tag, func(t *testing.T) {
			p := newBrowser(t, chromedp.Flag("accept-lang", lang.tag)).tab()
			p.open(g.url + "/.evergate/login?why=idle&rd=/finance/")
			if got := p.text("h1"); got != lang.signIn {
				t.Errorf("got the heading %q, want %q", got, lang.signIn)
			}
			if got := eval[string](p, "getComputedStyle(document.documentElement).direction + document.documentElement.lang"); got != lang.dir+lang.tag {
				t.Errorf("the page is written %s, want %s", got, lang.dir+lang.tag)
			}
			p.everyLook("pages-sign-in-" + lang.tag)
			p.fill("#username", "alice")
			p.fill("#password", "correct horse battery")
			p.click("[data-show]")
			if got := eval[string](p, `password.type + document.querySelector("[data-show]").getAttribute("aria-pressed") + document.querySelector("[role=status]").textContent`); !strings.HasPrefix(got, "texttrue") || len(got) < 20 {
				t.Errorf("got %q, want the password to be shown, and that to be said", got)
			}
			p.shot("pages-password-" + lang.tag)
			p.click("[type=submit]")
			p.until("denied", patience, "document.title.length && location.pathname == '/finance/'")
			if got := eval[float64](p, `Math.abs(document.querySelector("main").getBoundingClientRect().left + document.querySelector("main").getBoundingClientRect().right - document.documentElement.clientWidth)`); got > 2 {
				t.Errorf("the page is %v px out of the middle", got/2)
			}
			p.everyLook("pages-denied-" + lang.tag)
			if href := eval[string](p, `document.querySelector("main a[href^='mailto:']").href`); !strings.Contains(href, eval[string](p, `document.querySelector("footer code").textContent`)) {
				t.Errorf("got %q, want the number of the request in it", href)
			}
			p.open(g.url + "/down/")
			p.everyLook("pages-down-" + lang.tag)
			p.open(g.url + "/.evergate/logout")
			p.shot("pages-sign-out-" + lang.tag)
			p.click("[type=submit]")
			p.until("signed out", patience, "document.querySelector('[data-evergate-ended]')")
			p.everyLook("pages-signed-out-" + lang.tag)
			p.faultless("403", "502", "404")
		})
	}
	p := newBrowser(t).tab()
	p.open(g.url + "/.evergate/login")
	logo := eval[string](p, `document.querySelector("header img").currentSrc`)
	if wide := eval[int](p, `document.querySelector("header img").naturalWidth`); wide != 220 {
		t.Errorf("the logo is %d wide, want it to be shown", wide)
	}
	p.open(logo)
	p.do("click where the logo says what to run", chromedp.MouseClickXY(24, 24))
	if eval[bool](p, `document.documentElement.hasAttribute("data-ran")`) {
		t.Error("a script of the logo ran")
	}
}
