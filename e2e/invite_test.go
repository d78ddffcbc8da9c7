package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var inviteLines = regexp.MustCompile(`(?m)^link:\s+(\S+)\ncode:\s+(\S+)$`)

// TestInvitation: somebody new follows the link, and somebody who has forgotten their password
// types the code into a browser with no script, which signs their other device out.
func TestInvitation(t *testing.T) {
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
routes: [{ upstream: %q }]
`, port, public, freePort(t), app.URL))
	writeFile(t, dir, "users.yaml", "users: {}\n")
	gateway := start(t, dir, binary, "serve", "--config", config)
	gateway.awaitHTTP(t, public+"/.evergate/ping")
	invite := func(more ...string) (link, code string) {
		t.Helper()
		out := evergate(t, dir, "", append([]string{"user", "invite", "--config", config}, more...)...)
		m := inviteLines.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("there is no link in\n%s", out)
		}
		return m[1], m[2]
	}
	const first, second = "correct horse battery staple", "what nobody would think of"

	link, code := invite("--groups", "staff", "alice")
	desk := newBrowser(t).tab()
	desk.open(link)
	desk.until("the code is in the form, and not in the address", patience, fmt.Sprintf(`document.querySelector("#code")?.value == %q && !location.href.includes("#")`, code))
	desk.everyLook("invite")
	desk.click("button[type=submit]")
	desk.until("it asks for a password of alice's", patience, `document.querySelector("main").innerText.includes("alice") && document.querySelector("input[name=username]").value == "alice"`)
	desk.everyLook("invite-password")
	desk.fill("#new", "qwertyuiopasdfgh")
	desk.fill("#again", "qwertyuiopasdfgh")
	desk.click("main form > button[type=submit]")
	desk.until("one that is guessed is not taken", patience, alerted+`?.innerText.includes("too easy to guess")`)
	desk.fill("#new", first)
	desk.fill("#again", first)
	desk.click("main form > button[type=submit]")
	desk.until("she is signed in", patience, `document.title.startsWith("Your account")`)
	desk.open(public + "/")
	desk.until("the app", patience, `document.querySelector("#user")?.innerText == "alice"`)

	_, code = invite("alice")
	away := newBrowser(t).tab()
	if _, err := chromedp.Call(away.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	away.open(public + "/.evergate/invite")
	away.fill("#code", strings.ToLower(code))
	away.click("button[type=submit]")
	away.until("it asks for a password", patience, `document.querySelector("#new")`)
	away.fill("#new", second)
	away.fill("#again", second)
	away.click("main form > button[type=submit]")
	away.until("she is signed in with no script", patience, `document.title.startsWith("Your account")`)
	desk.open(public + "/")
	desk.until("the other device has to sign in", patience, atSignIn)
	desk.signIn("alice", first)
	desk.until("the password of before is no good", patience, alerted+`?.innerText.includes("do not match")`)

	desk.open(public + "/.evergate/invite#" + code)
	desk.until("the code is in the form", patience, `document.querySelector("#code")?.value`)
	desk.click("button[type=submit]")
	desk.until("a code is good once", patience, alerted+`?.innerText.includes("This code is not good")`)
	desk.everyLook("invite-refused")

	logged := gateway.stdout.String() + gateway.stderr.String()
	for _, secret := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), first, second} {
		if strings.Contains(logged, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	if !strings.Contains(logged, "password.reset") || !strings.Contains(logged, "admin.invited") {
		t.Errorf("the log tells of neither:\n%s", logged)
	}
}
