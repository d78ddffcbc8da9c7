package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a step of a person may take on a machine that takes several of them at
// once, each with a browser. Nothing waits that long where all is well.
const patience = 45 * time.Second

// anAlert finds one that is seen, and alerted is true where there is one: a sign-in page has another,
// hidden, in case a passkey fails.
const (
	anAlert = "[role=alert]:not([hidden])"
	alerted = `document.querySelector("` + anAlert + `")`
)

// browser is a Chromium with a profile of its own.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// newBrowser starts Chromium's headless shell: its engine and its network without what is around
// the window, which here nobody sees. It starts in an eighth of the time. Further flags are for its
// command line; it ends with the test.
func newBrowser(t *testing.T, flags ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path := need(t, "chromium-headless-shell", "chromium-headless-shell")
	return startBrowser(t, path, append([]chromedp.ExecAllocatorOption{chromedp.Flag("disable-features", "Translate,"+spareWork),
		// Pages of ours and of apps swap processes at each step (Cross-Origin-Opener-Policy): not always for a new one.
		chromedp.Flag("renderer-process-limit", "2"), chromedp.Flag("in-process-gpu", true)}, flags...))
}

// newChromium starts the whole of Chromium, for what the shell lacks or is not to be believed about.
func newChromium(t *testing.T, flags ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path := need(t, "chromium", "chromium")
	return startBrowser(t, path, append([]chromedp.ExecAllocatorOption{
		chromedp.Flag("headless", "new"), chromedp.Flag("disable-features", "Translate,"+spareWork)}, flags...))
}

// spareWork is what Chromium does for each window and page without being asked: pages of its own
// under the address bar, and a process for a site that nobody has opened. It is half of the work.
const spareWork = "WebUIOmniboxPopup,WebUIOmniboxAimPopup,AiModeOmniboxEntryPoint,SpareRendererForSitePerProcess"

func startBrowser(t *testing.T, path string, flags []chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	common.take(t)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.DisableGPU,
		chromedp.WindowSize(1100, 900),
		chromedp.UserDataDir(t.TempDir()),
	)
	opts = append(opts, flags...)
	if os.Geteuid() == 0 { // Chromium's sandbox refuses to be root's
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(ctx, 10*time.Second)
		if err := chromedp.Cancel(closing); err != nil {
			t.Logf("close Chromium: %v", err)
		}
		cancel()
		stop()
		stopAlloc()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &browser{t, ctx}
}

// tab is one tab, and what went over the wire for it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex // guards the rest
	urls    map[network.RequestID]string
	answers []answer
	faults  []string // exceptions, and errors of the console and the network
}

// answer is one response that a tab got.
type answer struct {
	kind   network.ResourceType
	url    string
	status int64
}

func (a answer) String() string { return fmt.Sprintf("%s %d %s", a.kind, a.status, a.url) }

// tab opens a further tab, with the cookies of the others.
func (b *browser) tab() *tab {
	b.t.Helper()
	p := &tab{t: b.t, urls: map[network.RequestID]string{}}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(p.hear))
	p.ctx = ctx
	b.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("open a tab: %v", err)
	}
	return p
}

func (p *tab) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.urls[e.RequestID] = e.Request.URL
		if r := e.RedirectResponse; r != nil {
			p.answers = append(p.answers, answer{e.Type, r.URL, r.Status})
		}
	case *network.EventResponseReceived:
		p.answers = append(p.answers, answer{e.Type, e.Response.URL, e.Response.Status})
	case *network.EventLoadingFailed:
		if !e.Canceled {
			p.faults = append(p.faults, fmt.Sprintf("%s %s: %s", e.Type, p.urls[e.RequestID], e.ErrorText))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.faults = append(p.faults, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, "exception: "+e.ExceptionDetails.Text)
	}
}

// heard returns what came since the mark that an earlier call gave; the first
// mark is 0.
func (p *tab) heard(mark int) (answers []answer, next int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]answer(nil), p.answers[mark:]...), len(p.answers)
}

// faultless fails the test for every exception, console error and failed
// request of the tab that no expected text explains.
func (p *tab) faultless(expected ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		known := false
		for _, e := range expected {
			known = known || strings.Contains(f, e)
		}
		if !known {
			p.t.Errorf("the browser complains: %s", f)
		}
	}
}

// do runs steps that must not take longer than a person waits.
func (p *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.stuck(fmt.Sprintf("%s: %v", what, err))
	}
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.do("open "+url, chromedp.Navigate(url))
}

// click presses the first visible element that selector finds.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.do("click "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// fill types text into an empty field.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.do("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// text returns the text of the first element that selector finds, or "" where
// there is none now.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf("(document.querySelector(%q) || {textContent: ''}).textContent", selector))
}

// until waits for a JavaScript condition; it outlives navigations.
func (p *tab) until(what string, limit time.Duration, condition string) {
	p.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
		cancel()
		if ok && err == nil {
			return
		}
	}
	p.stuck(fmt.Sprintf("after %v still not: %s", limit, what))
}

// stuck ends the test with what a person would see.
func (p *tab) stuck(why string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	seen, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.title + '\\n' + document.body?.innerText"))
	if err != nil {
		seen = err.Error()
	}
	p.shot("stuck-" + strings.ReplaceAll(p.t.Name(), "/", "-"))
	p.t.Fatalf("%s\nThe page: %s", why, seen)
}

// eval returns the value of a JavaScript expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// cookies returns the cookies that the browser would send to url.
func (p *tab) cookies(url string) []*network.Cookie {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
	if err != nil {
		p.t.Fatalf("read the cookies of %s: %v", url, err)
	}
	return got.Cookies
}

// shot takes a picture of the whole page into screenshots/.
func (p *tab) shot(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	for err != nil && strings.Contains(err.Error(), "0 width") && ctx.Err() == nil {
		// A page that has only just come has no size yet.
		time.Sleep(100 * time.Millisecond)
		png, err = chromedp.Run(ctx, chromedp.FullScreenshot(100))
	}
	if err != nil {
		p.t.Errorf("take the picture %s: %v", name, err)
		return
	}
	err = os.MkdirAll("screenshots", 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join("screenshots", name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Errorf("keep the picture %s: %v", name, err)
	}
}

// everyLook takes pictures of the page as different people see it: light, dark,
// and on a phone of 320 px, where nothing may stick out sideways.
func (p *tab) everyLook(name string) {
	p.t.Helper()
	scheme := func(value string) chromedp.Action[chromedp.Void] {
		return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
			return err
		})
	}
	desk := chromedp.EmulateViewport(1100, 900)
	p.do("use the light scheme at a desk", desk, scheme("light"))
	p.shot(name)
	p.do("use the dark scheme", scheme("dark"))
	p.shot(name + "-dark")
	p.do("use a phone", scheme("light"), chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
	if out := eval[[]string](p, `[...document.querySelectorAll("body *")].filter((e) =>
		e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll")).map((e) => e.outerHTML.slice(0, 120))`); len(out) > 0 {
		p.t.Errorf("%s at 320 px: sticks out: %q", name, out)
	}
	p.shot(name + "-phone")
	p.do("use the desk again", desk)
}
