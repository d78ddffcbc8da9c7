package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// authenticator is oathtool, in the place of the app on somebody's phone.
type authenticator struct {
	t    *testing.T
	key  string
	last int64 // the step of the code that was used last
}

// In seconds: how long a code is shown, and how long somebody may take to type it. It is taken for
// one codeStep before it is shown, and for one after.
const (
	codeStep   = 30
	codeTyping = 20
)

// code is what it shows, or did until now, or will within half a minute: one that was not used yet,
// and will be taken while somebody types it.
func (a *authenticator) code() string {
	a.t.Helper()
	step := max(a.last+1, (time.Now().Unix()+codeTyping)/codeStep-1)
	for ; step > time.Now().Unix()/codeStep+1; time.Sleep(50 * time.Millisecond) {
	}
	a.last = step
	out, err := exec.Command(need(a.t, "oathtool", "oathtool"), "--totp", "-b", "-N", fmt.Sprintf("@%d", step*codeStep), a.key).CombinedOutput()
	if err != nil {
		a.t.Fatalf("oathtool: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// scan reads the QR code that is on the screen, as a phone does.
func (p *tab) scan(scheme string) string {
	p.t.Helper()
	var shot []byte
	p.do("take a picture of the QR code", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if err != nil {
			return err
		}
		got, err := chromedp.Call(ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{Format: cdppage.CaptureScreenshotFormatPng})
		shot = got.Data
		return err
	}))
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		p.t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		p.t.Fatalf("in the %s scheme no QR code can be read from the screen: %v", scheme, err)
	}
	return text.GetText()
}

// TestCodesOfAnApp: a person sets up an app by the QR code or the key on the page, is asked for a
// code at the next sign-in and for no other, uses a recovery code once, and is led to setting one up where a page
// asks for more than a password.
func TestCodesOfAnApp(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><p id="user">%s</p>`, r.Header.Get("X-Forwarded-User"))
	}))
	t.Cleanup(app.Close)
	dir, port := t.TempDir(), freePort(t)
	public := "http://localhost:" + port
	config := writeFile(t, dir, "evergate.yaml", fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
data_dir: data
admin: { listen: 127.0.0.1:%s }
identity: [ local: { users_file: users.yaml } ]
routes:
  - { upstream: %[4]q }
  - { match: { path: /vault/ }, allow: [ amr: [mfa] ], upstream: %[4]q }
`, port, public, freePort(t), app.URL))
	writeFile(t, dir, "users.yaml", "users: {}\n")
	const password = "correct horse battery staple"
	for _, user := range []string{"alice", "bob"} {
		evergate(t, dir, password+"\n", "user", "add", "--config", config, "--password-stdin", user)
	}
	gateway := start(t, dir, binary, "serve", "--config", config)
	gateway.awaitHTTP(t, public+"/.evergate/ping")

	p := newBrowser(t).tab()
	p.open(public + "/")
	p.signIn("alice", password)
	p.until("the app", patience, atHome)
	p.open(public + "/.evergate/account")
	p.click(`a[href="/.evergate/account/app"]`)
	p.until("the key", patience, `document.querySelector("#key")`)
	p.everyLook("account-app")
	phone := &authenticator{t: t, key: strings.ReplaceAll(p.text("#key"), " ", "")}
	for _, scheme := range []string{"dark", "light"} {
		at, err := url.Parse(p.scan(scheme))
		if err != nil || at.Scheme != "otpauth" || at.Host != "totp" || at.Path != "/localhost:alice" || at.Query().Get("secret") != phone.key || at.Query().Get("issuer") != "localhost" {
			t.Errorf("the QR code says %v, %v; the key is %s", at, err, phone.key)
		}
	}
	p.fill("#code", "000000")
	p.click("main form button[type=submit]")
	p.until("that is not the code", patience, alerted)
	if again := strings.ReplaceAll(p.text("#key"), " ", ""); again != phone.key {
		t.Errorf("after a wrong code the page has the key %s, want the same as before", again)
	}
	code := phone.code()
	p.fill("#code", code)
	p.click("main form button[type=submit]")
	p.until("recovery codes", patience, `document.querySelectorAll(".codes li").length == 10`)
	p.everyLook("account-codes")
	recovery := strings.Fields(p.text(".codes"))
	if len(recovery) != 10 {
		t.Fatalf("got %d recovery codes", len(recovery))
	}
	p.click("main a.button")
	p.until("it is said", patience, `document.querySelector("[role=status]")?.innerText.includes("Your app is set up")`)
	p.everyLook("account-with-app")

	second := func(code string) {
		t.Helper()
		p.fill("#code", code)
		p.click("main form button[type=submit]")
	}
	const asked, refused = `location.pathname == "/.evergate/second" && document.querySelector("#code")`, alerted + `?.innerText.includes("used already")`
	again := func() {
		t.Helper()
		p.signOut(public)
		p.open(public + "/page")
		p.signIn("alice", password)
		p.until("the code is asked for", patience, asked)
	}
	again()
	p.everyLook("second")
	used := phone.code()
	second(used)
	p.until("the app", patience, `location.pathname == "/page" && document.title == "app"`)
	again()
	second(used)
	p.until("a used code is refused", patience, refused)
	p.everyLook("second-refused")
	second(strings.ToLower(strings.ReplaceAll(recovery[2], "-", " ")))
	p.until("a recovery code is taken", patience, `location.pathname == "/page" && document.title == "app"`)
	again()
	second(recovery[2])
	p.until("and not again", patience, refused)
	second(phone.code())
	p.until("the app", patience, `location.pathname == "/page" && document.title == "app"`)
	p.open(public + "/vault/gold")
	p.until("a page that asks for more than a password", patience, `location.pathname == "/vault/gold" && document.title == "app"`)
	p.faultless("status of 401", "status of 422")

	// Somebody else has nothing set up, and opens what asks for it.
	b := newBrowser(t).tab()
	b.open(public + "/vault/gold")
	b.signIn("bob", password)
	b.until("the password once more: what a rule asks of methods is asked of those who are signed in", patience, `document.querySelector("input[name=username]")?.value == "bob" && document.querySelector("input[name=amr_values]")`)
	b.fill("input[name=password]", password)
	b.click("button[type=submit]")
	b.until("something is to be set up", patience, `location.pathname == "/.evergate/second" && document.querySelector("a[href*='account/app?step=']")`)
	b.everyLook("second-to-set-up")
	b.click(`a[href*="account/app?step="]`)
	b.until("the key", patience, `document.querySelector("#key")`)
	bobs := &authenticator{t: t, key: strings.ReplaceAll(b.text("#key"), " ", "")}
	b.fill("#code", bobs.code())
	b.click("main form button[type=submit]")
	b.until("recovery codes", patience, `document.querySelectorAll(".codes li").length == 10`)
	b.click("main a.button")
	b.until("what was opened", patience, `location.pathname == "/vault/gold" && document.title == "app"`)
	b.faultless()

	logged := gateway.stdout.String() + gateway.stderr.String()
	for _, secret := range append(recovery, phone.key, bobs.key, "otpauth:") {
		if strings.Contains(logged, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	for _, name := range []string{"second_factor.added", "second_factor.recovery_codes_made", "second_factor.recovery_code_used"} {
		if !strings.Contains(logged, name) {
			t.Errorf("the log does not tell of %s", name)
		}
	}
}
