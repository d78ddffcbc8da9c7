package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// way is how somebody comes to a page, and how they look at it then.
type way struct {
	name     string
	noScript bool
	language string // for Accept-Language
	looks    []look
}

// look is how a page is shown to somebody.
type look struct {
	name     string
	phone    bool // 320 px, which is 1280 px at 400 %
	features []*emulation.MediaFeature
	axe      axeRules
}

// axeRules are those that axe-core applies. Most are about the document, and find the same
// in every look of it.
type axeRules int

const (
	allRules axeRules = iota
	colorRules
	noRules
)

var (
	light  = look{name: "light", features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "light"}}}
	dark   = look{name: "dark", features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}, {Name: "prefers-reduced-motion", Value: "reduce"}}, axe: colorRules}
	forced = look{name: "forced-colors", features: []*emulation.MediaFeature{{Name: "forced-colors", Value: "active"}}, axe: noRules}
	phone  = look{name: "phone", phone: true, features: light.features}

	ways = []way{
		{name: "en", language: "en", looks: []look{light, dark, forced, phone}},
		{name: "no-script", language: "en", noScript: true, looks: []look{light}},
		{name: "rtl", language: "ar", looks: []look{light, {name: "phone", phone: true, features: light.features, axe: noRules}}},
	}
)

// visitor is a person with a browser profile of their own, who looks at one page.
type visitor struct {
	*tab
	w   *pagesWorld
	way way

	mu        sync.Mutex // guards documents
	documents map[cdp.FrameID]document
	main      cdp.FrameID

	frame   cdp.FrameID                // that is looked at; "" is the main one
	context runtime.ExecutionContextID // to evaluate in; 0 is the page's own
}

// document is what came for a frame.
type document struct {
	request  network.RequestID
	response *network.Response
}

// newVisitor opens a tab with no cookies, which ends with the test.
func (w *pagesWorld) newVisitor(t *testing.T, b *browser, how way) *visitor {
	t.Helper()
	v := &visitor{tab: &tab{t: t, urls: map[network.RequestID]string{}}, w: w, way: how, documents: map[cdp.FrameID]document{}}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(e any) { v.tab.hear(e); v.hear(e) }))
	v.ctx = ctx
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as what is given here
		t.Fatalf("open a tab: %v", err)
	}
	call(v, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: see[string](v, "navigator.userAgent"), AcceptLanguage: how.language})
	// As if it were the only window.
	call(v, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	call(v, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `window.violations = [];
		addEventListener("securitypolicyviolation", (e) => violations.push(e.effectiveDirective + " " + e.blockedURI))`})
	v.main = call(v, cdppage.GetFrameTree, cdp.Empty{}).FrameTree.Frame.ID
	v.scripts(!how.noScript)
	return v
}

// beginAnew makes somebody of the visitor who was never here.
func (v *visitor) beginAnew() {
	v.t.Helper()
	// A page that tries again by itself is not to do that while the next one is opened.
	v.open("about:blank")
	call(v, fetch.Disable, cdp.Empty{})
	v.scripts(!v.way.noScript)
	v.forget()
	v.mu.Lock()
	clear(v.documents)
	v.mu.Unlock()
	v.frame, v.context = "", 0
}

// call has the browser do something of its protocol.
func call[P, R any](v *visitor, cmd cdp.Command[P, R], params P) R {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, cmd, params)
	if err != nil {
		v.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return r
}

func (v *visitor) hear(event any) {
	if e, ok := event.(*fetch.EventRequestPaused); ok {
		go func() {
			_, _ = chromedp.Call(v.ctx, fetch.FulfillRequest, fetch.FulfillRequestParams{RequestID: e.RequestID, ResponseCode: http.StatusNoContent})
		}()
	}
	if e, ok := event.(*network.EventResponseReceived); ok && e.Type == network.ResourceTypeDocument && e.Response.Status != http.StatusNoContent {
		v.mu.Lock()
		v.documents[e.FrameID] = document{e.RequestID, e.Response}
		v.mu.Unlock()
	}
}

// scripts lets pages run scripts, or not.
func (v *visitor) scripts(on bool) {
	v.t.Helper()
	call(v, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// hold has navigations to addresses like pattern end where they began (as browsers do at 204),
// so that a page that goes on by itself can be looked at.
func (v *visitor) hold(pattern string) {
	v.t.Helper()
	call(v, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: pattern}}})
}

// forget takes all cookies from the browser.
func (v *visitor) forget() {
	v.t.Helper()
	call(v, network.ClearBrowserCookies, cdp.Empty{})
}

// visit opens a page of a gateway.
func (v *visitor) visit(gateway, path string) {
	v.t.Helper()
	v.open(v.w.at(gateway) + path)
}

const atTheApp = `document.title == "app"`

// enter opens a page of the app, and signs in as a local user.
func (v *visitor) enter(gateway, path, user string) {
	v.t.Helper()
	v.visit(gateway, path)
	v.signIn(user, pagesPassword)
	v.until("the app", patience, atTheApp)
}

// enterBy does it at a provider.
func (v *visitor) enterBy(gateway, provider string) {
	v.t.Helper()
	v.visit(gateway, "/.evergate/login/"+provider+"?rd=/page")
	v.atProvider()
}

// atProvider signs in at the provider's own page.
func (v *visitor) atProvider() {
	v.t.Helper()
	v.until("the provider's page", patience, `location.port != `+fmt.Sprintf("%q", v.w.ports["apps"])+` && document.querySelector("input[name=password]")`)
	v.fill("input[name=username]", "alice")
	v.fill("input[name=password]", "alice has a password")
	v.click("button")
}

// sessionCookie is the one of a gateway.
func (v *visitor) sessionCookie(gateway string) *network.Cookie {
	v.t.Helper()
	all := v.cookies(v.w.at(gateway))
	i := slices.IndexFunc(all, func(c *network.Cookie) bool { return c.Name == "__Host-Http-evergate" })
	if i < 0 {
		v.t.Fatalf("no session cookie for %s among %d cookies", gateway, len(all))
	}
	return all[i]
}

// putBack has the browser send a cookie that it had before.
func (v *visitor) putBack(gateway string, old *network.Cookie) {
	v.t.Helper()
	yes := true
	call(v, network.SetCookie, network.SetCookieParams{Name: old.Name, Value: old.Value, URL: v.w.at(gateway),
		Path: "/", Secure: &yes, HTTPOnly: &yes, SameSite: network.CookieSameSiteLax})
}

// signOutAt asks to sign out, and does.
func (v *visitor) signOutAt(gateway string) {
	v.t.Helper()
	v.visit(gateway, "/.evergate/logout")
	v.click("form[action='/.evergate/logout'] button")
	v.until("signed out", patience, `document.querySelector("[data-evergate-ended]")`)
}

// sendFormTooLate sends a form of the app whose cookies are gone, up to the sign-in page.
func (v *visitor) sendFormTooLate() {
	v.t.Helper()
	v.enter("apps", "/form", "alice")
	v.forget()
	v.click("#send")
	v.until("a sign-in page", patience, atSignIn)
}

// lookInside has what follows look at the frame of the page.
func (v *visitor) lookInside() {
	v.t.Helper()
	await(v.t, "a page in the frame", func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		for frame := range v.documents {
			if frame != v.main {
				v.frame = frame
			}
		}
		return v.frame != ""
	})
	v.context = call(v, cdppage.CreateIsolatedWorld, cdppage.CreateIsolatedWorldParams{FrameID: v.frame}).ExecutionContextID
}

// document is what came for the page that is looked at, and its bytes. What came over the wire is
// told beside what is shown: a page may be seen a moment before.
func (v *visitor) document() (*network.Response, []byte) {
	v.t.Helper()
	frame := v.main
	if v.frame != "" {
		frame = v.frame
	}
	var d document
	await(v.t, "what came for the page", func() bool {
		loader := loaderOf(call(v, cdppage.GetFrameTree, cdp.Empty{}).FrameTree, frame)
		v.mu.Lock()
		defer v.mu.Unlock()
		d = v.documents[frame]
		return loader != "" && string(d.request) == string(loader) // documents are requested under the id of their loader
	})
	return d.response, call(v, network.GetResponseBody, network.GetResponseBodyParams{RequestID: d.request}).Body
}

// loaderOf is by what the document of a frame came.
func loaderOf(tree *cdppage.FrameTree, frame cdp.FrameID) cdp.LoaderID {
	if tree.Frame.ID == frame {
		return tree.Frame.LoaderID
	}
	for _, child := range tree.ChildFrames {
		if loader := loaderOf(child, frame); loader != "" {
			return loader
		}
	}
	return ""
}

// see returns the value of a JavaScript expression on the page that is looked at.
func see[T any](v *visitor, expression string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise,
		func(p *runtime.EvaluateParams) { p.ContextID = v.context }))
	if err != nil {
		v.t.Fatalf("evaluate %.200s: %v", expression, err)
	}
	return value
}

// use has the page look like that.
func (v *visitor) use(l look) {
	v.t.Helper()
	size := chromedp.EmulateViewport(1100, 900)
	if l.phone {
		size = chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile)
	}
	v.do("look at it "+l.name, size)
	call(v, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: l.features})
}

// complaints are what the browser had to say against the pages since mark, apart from that their
// status is an error.
func (v *visitor) complaints(mark int) []string {
	v.tab.mu.Lock()
	defer v.tab.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.faults[mark:]), func(f string) bool {
		return strings.Contains(f, "the server responded with a status of") || strings.Contains(f, noFavicon)
	})
}
