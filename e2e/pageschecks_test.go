package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// mostOfAPage bounds the bytes of a page.
const mostOfAPage = 10_000

// pagesHeaders are those of every page of the gateway's own.
var pagesHeaders = map[string]string{
	"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
	"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
	"Strict-Transport-Security": "max-age=31536000",
}

// checkDocument looks at what came over the wire for a page: status, headers, size, and
// what language it says it is in.
func (v *visitor) checkDocument(p *gatewayPage) (html, policy string) {
	v.t.Helper()
	res, body := v.document()
	if res.Status != int64(p.status) {
		v.t.Errorf("got status %d, want %d", res.Status, p.status)
	}
	header := func(name string) string {
		for n, value := range res.Headers {
			if strings.EqualFold(n, name) {
				return fmt.Sprint(value)
			}
		}
		return ""
	}
	for name, want := range pagesHeaders {
		if p.framed && name == "X-Frame-Options" || strings.HasPrefix(res.URL, "http://") && name == "Strict-Transport-Security" {
			want = ""
		}
		if got := header(name); got != want {
			v.t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(header("Permissions-Policy"), "camera=()") {
		v.t.Errorf("Permissions-Policy: got %q, want the camera in it", header("Permissions-Policy"))
	}
	policy = header("Content-Security-Policy")
	directives := map[string]string{}
	for d := range strings.SplitSeq(policy, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), " ")
		directives[name] = value
	}
	for name, allowed := range map[string][]string{
		"default-src": {"'none'"}, "base-uri": {"'none'"}, "frame-ancestors": {"'none'"}, "style-src": {"'self'"}, "script-src": {"", "'none'", "'self'"},
		"form-action": {"'self'", "'self' https:"},
	} {
		if p.framed && name == "frame-ancestors" || p.sendsAnywhere && name == "form-action" {
			allowed = []string{""}
		}
		if !slices.Contains(allowed, directives[name]) {
			v.t.Errorf("Content-Security-Policy: %s is %q, want one of %q", name, directives[name], allowed)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "data:") || strings.Contains(policy, "*") {
		v.t.Errorf("Content-Security-Policy: %q", policy)
	}
	if len(body) > mostOfAPage && !p.forOperators && !p.isList {
		v.t.Errorf("the page has %d bytes, want %d at most", len(body), mostOfAPage)
	}
	lang, dir := see[string](v, "document.documentElement.lang"), see[string](v, "document.documentElement.dir")
	if (lang == "ar") != (dir == "rtl") {
		v.t.Errorf("a page in %q has dir=%q", lang, dir)
	}
	if want := v.way.language; lang != want && !p.forOperators {
		v.t.Errorf("whoever prefers %q gets a page in %q", want, lang)
	}
	return string(body), policy
}

// axe is axe-core, which is put into a page from outside: no page allows it.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile("pages/node_modules/axe-core/axe.min.js")
	return string(text), err
})

// axeRun applies all rules that are not experiments: those of WCAG 2.0 to 2.2 and best
// practices. What axe cannot decide counts too.
const axeRun = `axe.run(document, {rules: {"target-size": {enabled: true}}, resultTypes: ["violations", "incomplete"]%s}).then((r) => {
	if (r.passes.length < %d) return ["axe looked at next to nothing: " + r.passes.length + " rules"];
	return [...r.violations, ...r.incomplete].map((v) => v.id + " (" + v.impact + "): " + v.help + "\n\t" +
		v.nodes.map((n) => n.target.join(" ") + " " + n.html.slice(0, 100) + " " + [...n.any, ...n.all, ...n.none].map((c) => c.message).join("; ")).join("\n\t"));
})`

// checkAxe has axe-core look at the page.
func (v *visitor) checkAxe(l look) {
	v.t.Helper()
	run := ""
	switch l.axe {
	case allRules:
		run = fmt.Sprintf(axeRun, "", 10)
	case colorRules:
		run = fmt.Sprintf(axeRun, `, runOnly: ["color-contrast", "link-in-text-block"]`, 1)
	case noRules:
		return
	}
	text, err := axe()
	if err != nil {
		v.t.Fatal(err)
	}
	if see[bool](v, "!globalThis.axe") {
		see[chromedp.Void](v, text+";0")
	}
	for _, fault := range see[[]string](v, run) {
		v.t.Errorf("%s: axe: %s", l.name, fault)
	}
}

// checkContrast measures text as axe's color-contrast does. With forced colours axe takes
// -webkit-text-fill-color for what is seen, which Chromium still gives as the page has it.
func (v *visitor) checkContrast(l look) {
	v.t.Helper()
	for _, fault := range see[[]string](v, `(() => { `+colors+`
		const texts = [...document.querySelectorAll("body *")].filter((e) => [...e.childNodes].some((n) => n.nodeType == 3 && n.data.trim()) && e.checkVisibility());
		if (texts.length == 0) return ["there is no text"];
		return texts.map((e) => [e, contrast(rgba(getComputedStyle(e).color), behind(e))]).filter(([, c]) => c < 4.5).map(([e, c]) => e.outerHTML.slice(0, 100) + " " + c);
	})()`) {
		v.t.Errorf("%s: too little contrast: %s", l.name, fault)
	}
}

// colors reads colours however they are written (rgba), finds the one behind an element
// (behind), and measures two of them (contrast, as WCAG defines it).
const colors = `const pixel = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
	const rgba = (color) => { pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = color; pixel.fillRect(0, 0, 1, 1); return [...pixel.getImageData(0, 0, 1, 1).data]; };
	const light = (c) => { const [r, g, b] = c.slice(0, 3).map((x) => (x /= 255) <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const contrast = (one, other) => { const [a, b] = [light(one), light(other)].sort((x, y) => y - x); return (a + .05) / (b + .05); };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] == 255) return c; } return [255, 255, 255, 255]; };
`

// controls is what can be used on a page, in the order of the document.
const controls = `const controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")]
	.filter((e) => e.tabIndex >= 0 && !e.disabled && e.type != "hidden" && e.checkVisibility({visibilityProperty: true}));
	const name = (e) => e.outerHTML.replace(/value="[^"]*"/, "").slice(0, 80);`

// checkTargets wants everything that is pressed to be 24 px wide and high, with its label
// (WCAG 2.2, success criterion 2.5.8, without its exceptions).
func (v *visitor) checkTargets(l look) {
	v.t.Helper()
	for _, small := range see[[]string](v, `(() => { `+controls+`
		return controls.flatMap((e) => {
			const boxes = [e, ...(e.labels || [])].map((b) => b.getBoundingClientRect());
			return boxes.some((b) => b.width >= 24 && b.height >= 24) ? [] : [name(e) + boxes.map((b) => " " + b.width + "x" + b.height)];
		});
	})()`) {
		v.t.Errorf("%s: smaller than 24 px: %s", l.name, small)
	}
}

// spaced is text as WCAG 2.1, success criterion 1.4.12, lets people set it.
const spaced = `const s = new CSSStyleSheet();
	s.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }");
	document.adoptedStyleSheets = [s];`

// checkReflow wants nothing to stick out of 320 px, with the text set wide as well
// (success criteria 1.4.10 and 1.4.12). What scrolls by itself is in .scroll.
func (v *visitor) checkReflow(l look) {
	v.t.Helper()
	const out = `if (innerWidth != 320 || document.documentElement.scrollWidth > 320) out.push("the page is " + innerWidth + " px wide and scrolls over " + document.documentElement.scrollWidth);
		for (const e of document.querySelectorAll("body *")) {
			const b = e.getBoundingClientRect();
			if ((b.right > 321 || b.left < -1) && !e.closest(".scroll")) out.push(e.outerHTML.slice(0, 100) + " from " + b.left + " to " + b.right);
			if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX == "hidden") out.push(e.outerHTML.slice(0, 100) + " is cut off");
		}`
	for _, fault := range see[[]string](v, `(() => { const out = []; `+out+spaced+out+` document.adoptedStyleSheets = []; return out; })()`) {
		v.t.Errorf("%s: sticks out: %s", l.name, fault)
	}
}

// focused tells about the control that has the focus: which one it is, and what is wrong
// with the way it shows (success criteria 2.4.7, 2.4.11 and 1.4.11).
const focused = `(() => { ` + controls + colors + `
	const e = document.activeElement, at = controls.indexOf(e), faults = [];
	if (at < 0) return {at, of: controls.length, faults};
	const s = getComputedStyle(e), ratio = contrast(rgba(s.outlineColor), behind(e.parentElement));
	if (s.outlineStyle == "none" || parseFloat(s.outlineWidth) < 2) faults.push("its outline is " + s.outline);
	else if (ratio < 3) faults.push("its outline " + s.outlineColor + " has a contrast of " + ratio + " to what is behind it");
	// Of what is higher than the window a part is seen, wherever the browser has scrolled to.
	const box = e.getBoundingClientRect(), top = box.height > innerHeight ? Math.max(box.top, 0) : box.top;
	const hit = document.elementFromPoint(box.left + box.width / 2, top + Math.min(box.height / 2, 20));
	if (!hit || !(e.contains(hit) || hit.contains(e))) faults.push("it is out of sight or covered by " + (hit && hit.outerHTML.slice(0, 60)));
	return {at, of: controls.length, name: name(e), faults};
})()`

// checkKeyboard goes through the page by Tab: every control comes, in the order of the
// document, and shows that it has the focus.
func (v *visitor) checkKeyboard(l look) {
	v.t.Helper()
	type state struct {
		At, Of int
		Name   string
		Faults []string
	}
	tab := func() state {
		v.do("press Tab", chromedp.KeyEvent(kb.Tab))
		return see[state](v, focused)
	}
	now := see[state](v, focused)
	if now.Of == 0 {
		return
	}
	for n := 0; now.At != 0; now = tab() { // where the page has put the focus itself, go round
		if n++; n > now.Of+3 {
			v.t.Errorf("%s: Tab does not come to the first control in %d steps", l.name, n)
			return
		}
	}
	for want := range now.Of {
		if now.At != want {
			v.t.Errorf("%s: Tab number %d comes to control %d %s", l.name, want, now.At, now.Name)
			return
		}
		for _, fault := range now.Faults {
			v.t.Errorf("%s: with the focus on %s %s", l.name, now.Name, fault)
		}
		now = tab()
	}
}

// picture takes one for somebody to look at, where EVERGATE_SCREENSHOTS names a folder.
func (v *visitor) picture(p *gatewayPage, l look) {
	v.t.Helper()
	dir := os.Getenv("EVERGATE_SCREENSHOTS")
	if dir == "" {
		return
	}
	name := p.name + "-" + v.way.name + "-" + l.name
	shot := call(v, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{Format: cdppage.CaptureScreenshotFormatPng})
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), shot.Data, 0o644)
	}
	if err != nil {
		v.t.Errorf("take the picture %s: %v", name, err)
	}
}

// check looks at a page in every look of the way.
func (v *visitor) check(p *gatewayPage) (html, policy string) {
	v.t.Helper()
	html, policy = v.checkDocument(p)
	if !v.way.noScript && v.frame == "" { // a frame's script lives in a world of its own
		for _, blocked := range see[[]string](v, "violations") {
			v.t.Errorf("its own policy stands in its way: %s", blocked)
		}
	}
	v.scripts(true) // for what follows; those of the page do not run any more
	for _, l := range v.way.looks {
		v.use(l)
		v.checkAxe(l)
		if l.axe != allRules {
			v.checkContrast(l)
		}
		v.checkTargets(l)
		if l.phone {
			v.checkReflow(l)
		}
		v.picture(p, l)
		v.checkKeyboard(l)
	}
	return html, policy
}
