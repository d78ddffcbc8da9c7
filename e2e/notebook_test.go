package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// startNotebook runs Debian's Jupyter Notebook below base, with a password.
func startNotebook(t *testing.T, base, password string) (url string) {
	t.Helper()
	python := need(t, "/usr/bin/python3", "python3-notebook") // Debian's own, which has it
	if err := exec.Command(python, "-c", "import notebook, terminado").Run(); err != nil {
		missing(t, "Jupyter Notebook is not installed; apt-get install python3-notebook")
	}
	hash, err := exec.Command(python, "-c", "import sys; from notebook.auth import passwd; print(passwd(sys.argv[1], 'sha1'))", password).Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), freePort(t)
	args := []string{"-m", "notebook", "--no-browser", "--ip=127.0.0.1", "--port=" + port, "--port-retries=0", "--NotebookApp.allow_remote_access=True", "--NotebookApp.base_url=" + base,
		"--NotebookApp.password=" + strings.TrimSpace(string(hash)), "--NotebookApp.token=", "--notebook-dir=" + dir, "--NotebookApp.terminals_enabled=True"}
	p := start(t, dir, python, append(args, "--allow-root")...)
	url = "http://127.0.0.1:" + port
	p.awaitHTTP(t, url+base)
	return url
}

// terminal opens a terminal of the notebook by its own API and its WebSocket, types a
// sum and returns what it printed.
const terminal = `(async () => {
	const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)?.[1]
	const made = await fetch(%[1]q + "api/terminals", { method: "POST", headers: { "X-XSRFToken": xsrf } })
	if (!made.ok) return "the terminal: " + made.status + " " + await made.text()
	const name = (await made.json()).name
	return await new Promise((resolve) => {
		let seen = ""
		const ws = new WebSocket("ws://" + location.host + %[1]q + "terminals/websocket/" + name)
		setTimeout(() => resolve("no answer; seen: " + seen), 40000)
		ws.onerror = () => resolve("the WebSocket failed; seen: " + seen)
		ws.onmessage = (m) => {
			const [kind, text] = JSON.parse(m.data)
			if (kind == "setup") ws.send(JSON.stringify(["stdin", "echo the sum is $((40+2))\r"]))
			if (kind == "stdout") seen += text
			if (seen.includes("the sum is 42")) { resolve("the sum is 42"); ws.close() }
		}
	})
})()`

// TestNotebookByItsLoginForm: an application of pages, calls that it guards against
// forgery, and WebSockets, which asks for a password alone. Below a path and at a host of
// its own.
func TestNotebookByItsLoginForm(t *testing.T) {
	t.Parallel()
	const password, secret = "a-password-for-the-evidence", "what-the-notebook-knows"
	sub, root := startNotebook(t, "/nb/", secret), startNotebook(t, "/", secret)
	auth := func(base string) string {
		return fmt.Sprintf("upstream_auth: { form: { login: %slogin, password_file: nb.password, login_statuses: [401, 403], browser_cookies: [_xsrf], logout: %slogout } }", base, base)
	}
	public, gateway := legacyGateway(t, password, fmt.Sprintf(`  - { name: nb, match: { path: /nb/ }, upstream: %q, token: { type: none }, %s }
  - { name: root, match: { host: nb.localhost }, upstream: %q, token: { type: none }, %s }
`, sub, auth("/nb/"), root, auth("/")), map[string]string{"nb.password": secret})

	p := newBrowser(t).tab()
	p.open(public + "/nb/tree")
	p.signIn("ann", password)
	own := strings.Replace(public, "localhost", "nb.localhost", 1)
	for i, base := range []string{"/nb/", "/"} {
		at := public
		if i > 0 {
			at = own
			p.open(at + base + "tree")
		}
		p.until("the notebook's files", patience, `document.querySelector("#notebook_list")`)
		if got := eval[string](p, fmt.Sprintf(terminal, base)); got != "the sum is 42" {
			t.Errorf("at %s: a terminal in the browser: %s", at, got)
		}
		p.noCookieOfTheApp(at+base, "_xsrf")
	}
	p.shot("notebook")
	p.signOut(public)
	p.open(public + "/nb/tree")
	p.until("the sign-in page", patience, atSignIn)
	if logged := gateway.stdout.String() + gateway.stderr.String(); strings.Contains(logged, secret) || strings.Count(logged, "upstream.signed_in") != 2 ||
		strings.Contains(logged, "sign_out_failed") {
		t.Errorf("want two sign-ins in the log, two sign-outs without a fault, and no password:\n%s", logged)
	}
	p.faultless(noFavicon)
}
