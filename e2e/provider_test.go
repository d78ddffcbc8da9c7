package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemoProviderInABrowser: the demo's second way in, in a real browser: the
// address is kept with what is after its "#", renewals pass under the page, a
// provider that answers 503 is not noticed while the token is good, and signing
// out ends the sign-in at both.
func TestDemoProviderInABrowser(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	control := regexp.MustCompile(`http://127\.0\.0\.1:\d+/\s`).FindString(d.stderr.String())
	if control = strings.TrimSpace(control); control == "" {
		t.Fatalf("the demo does not say where to break its provider:\n%s", d.stderr.String())
	}
	p := newBrowser(t).tab()
	p.open(d.url + "/#part-2")
	p.until("a sign-in page", patience, atSignIn)
	p.shot("login-chooser")
	p.click("a[data-rd]")
	const atProvider = `document.querySelector("h1")?.textContent == "Sign in at the provider"`
	p.until("the provider's page", patience, atProvider)
	p.shot("demo-provider")
	p.fill("input[name=username]", "bob")
	p.fill("input[name=password]", d.password)
	p.click("button")
	p.until("the app, as bob, at the part that was wanted", patience,
		`document.getElementById("user")?.textContent == "bob" && location.hash == "#part-2"`)
	p.until("three tokens", 110*time.Second, `Number(document.getElementById("tokens-seen")?.textContent) >= 3`)
	p.shot("demo-provider-renewed")

	// A page that asks for nothing by itself: what the provider does next is shown there alone.
	p.open(d.url + "/.evergate/logout")
	p.shot("logout-provider")
	breaker := newBrowser(t).tab()
	breaker.open(control)
	breaker.shot("demo-provider-control")
	breaker.click("button[value=revoke]")
	breaker.until("the page again", patience, `location.href.endsWith("?") && document.querySelector("button[value=revoke]")`)

	p.click("form[action='/.evergate/logout'] button")
	p.until("signed out at both", patience, `document.title.startsWith("Signed out")`)
	p.open(d.url + "/.evergate/login/demo")
	p.until("the provider asks who that is", patience, atProvider)
}
