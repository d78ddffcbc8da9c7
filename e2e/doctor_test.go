package e2e

import (
	"errors"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// doctorSays runs the doctor of a gateway's config, and returns its exit code and what it
// says, with single spaces.
func (g *gateway) doctorSays(args ...string) (int, string) {
	g.t.Helper()
	out, err := exec.CommandContext(g.t.Context(), binary, append([]string{"doctor", "--config", g.config}, args...)...).Output()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && !failed {
		g.t.Fatal(err)
	}
	code := 0
	if failed {
		code = exit.ExitCode()
	}
	return code, regexp.MustCompile(` {2,}`).ReplaceAllString(string(out), " ")
}

// secretOfPanva is the one that newPanva registers.
const secretOfPanva = "secret of evergate, with a space"

// TestDoctorAtPanva: a provider that nobody here wrote, a gateway that runs, and a person in
// a real browser. What the doctor says of all of it is so.
func TestDoctorAtPanva(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 300, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": secretOfPanva + "\n"})
	code, out := g.doctorSays()
	for _, line := range []string{
		"ok provider.discovery oidc " + p.url + " answers in ", "ok provider.offers oidc ", "ok provider.keys oidc 2 of 2 keys can check signatures",
		"ok provider.clock oidc its clock is that of this machine\n", "ok provider.client oidc client \"evergate\" is known with client_secret_basic",
		"ok provider.redirect_uri oidc the provider takes " + g.url + "/.evergate/callback/oidc\n", "ok provider.logout oidc end_session_endpoint; back-channel logout of single sessions; revocation\n",
		"ok gateway.admin ", "ok gateway.config what the file says is in force\n", "ok store.round_trip bolt the gateway that runs has the file", "ok upstream " + app.URL + " answers 200",
		"ok cookie 127.0.0.1 browsers keep evergate-" + port + " here; it is not Secure, and goes to every port of this name; localhost and 127.0.0.1 are two hosts",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("want %q", line)
		}
	}
	if code != 0 || t.Failed() {
		t.Errorf("got exit code %d\n%s", code, out)
	}

	// A throw-away sign-in: the browser ends at the gateway, and the code is in its address bar.
	doctor := exec.Command(binary, "doctor", "--config", g.config, "--sign-in")
	var stdout, stderr output
	doctor.Stdout, doctor.Stderr = &stdout, &stderr
	paste, err := doctor.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := doctor.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = doctor.Process.Kill() })
	var to string
	for end := time.Now().Add(patience); to == "" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		to = regexp.MustCompile(`(?m)^http\S+$`).FindString(stderr.String())
	}
	chrome := newBrowser(t)
	tab := chrome.tab()
	tab.open(to)
	tab.fill(`input[name="login"]`, "alice")
	tab.fill(`input[name="password"]`, "x")
	tab.click(`button[type="submit"]`)
	tab.until("there is something to consent to", patience, `document.querySelector('input[name="prompt"][value="consent"]')`)
	tab.click(`button[type="submit"]`)
	tab.until("the browser is at the gateway", patience, `location.href.startsWith("`+g.url+`/.evergate/callback/oidc?")`)
	tab.until("the gateway says that this sign-in was not begun there", patience, `document.body && document.body.innerText.includes("not begun here")`)
	if _, err := io.WriteString(paste, eval[string](tab, "location.href")+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := doctor.Wait(); err != nil {
		t.Errorf("the doctor ended with %v\n%s", err, stderr.String())
	}
	out = regexp.MustCompile(` {2,}`).ReplaceAllString(stdout.String(), " ")
	for _, line := range []string{"ok provider.refresh oidc a refresh works; access tokens live 5m0s\n",
		"ok provider.rotation oidc a refresh replaces the refresh token, the old one is refused, and its reuse ends the whole grant\n", "ok provider.revocation oidc the reuse has ended the grant"} {
		if !strings.Contains(out, line) {
			t.Errorf("want %q in\n%s", line, out)
		}
	}
	if s := p.stats(t); s.Grants["authorization_code"] != 1 || s.Revoked == 0 {
		t.Errorf("the provider counted %+v, want one sign-in, whose grant is revoked", s)
	}

	// What it says of the cookie is what this browser does: it goes to every port of the
	// name, and not to the other name of this machine.
	tab.open(g.url + "/")
	tab.until("there is something to consent to", patience, `document.querySelector('input[name="prompt"][value="consent"]')`) // the grant was revoked
	tab.click(`button[type="submit"]`)
	tab.until("the app is there", patience, `document.body.innerText.includes('"user":"alice"')`)
	names := func(url string) (all []string) {
		for _, c := range tab.cookies(url) {
			if strings.HasPrefix(c.Name, "evergate-") {
				all = append(all, c.Name)
			}
		}
		return all
	}
	if got := names(app.URL); len(got) != 1 || got[0] != "evergate-"+port {
		t.Errorf("at another port the browser sends %v, want evergate-%s", got, port)
	}
	if got := names("http://localhost:" + port); len(got) != 0 {
		t.Errorf("at localhost the browser sends %v, want none", got)
	}
}

// TestDoctorFindsFaultsAtPanva: what is registered wrongly there, and what is wrong here.
func TestDoctorFindsFaultsAtPanva(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(config, client map[string]any)
		secret string
		line   string
		mend   string
	}{
		{"another redirect URI", func(_, client map[string]any) { client["redirect_uris"] = []string{"http://127.0.0.1:1/elsewhere"} }, secretOfPanva,
			"FAIL provider.redirect_uri oidc the provider refuses the pushed request with invalid_re", "mend: register exactly http://127.0.0.1:"},
		{"another secret", nil, "a wrong one", "FAIL provider.client oidc the token endpoint refuses the client: the provider answered 401 invalid_client", "mend: compare client_id"},
		{"another client", func(_, client map[string]any) { client["client_id"] = "evergate-of-old" }, secretOfPanva,
			"FAIL provider.client oidc the token endpoint refuses the client: the provider answered 401 invalid_client", "mend: compare client_id"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			app, port := newUpstream(t), freePort(t)
			p := newPanva(t, "http://127.0.0.1:"+port, 300, row.change)
			g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": row.secret})
			code, out := g.doctorSays()
			if code != 1 || !strings.Contains(out, row.line) || !strings.Contains(out, row.mend) {
				t.Errorf("got exit code %d, want 1, and %q and %q in\n%s", code, row.line, row.mend, out)
			}
			if strings.Contains(out, row.secret) {
				t.Error("the secret is told")
			}
		})
	}
}
