package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// pagesDocument is a page as it came.
type pagesDocument struct {
	Name   string `json:"name"`
	HTML   string `json:"html"`
	Policy string `json:"policy"`
}

// judgePages asks html-validate about the HTML of all pages and csp_evaluator about their
// policies.
func judgePages(t *testing.T, documents []pagesDocument) {
	t.Helper()
	var found []struct{ Name, Fault string }
	pagesTool(t, &found, "judge.mjs", documents)
	for _, f := range found {
		t.Errorf("%s: %s", f.Name, f.Fault)
	}
}

// needPagesTools skips the test aloud where what looks at pages is not installed.
func needPagesTools(t *testing.T) {
	t.Helper()
	need(t, "node", "nodejs")
	for _, name := range []string{"axe-core", "html-validate", "csp_evaluator", "lighthouse", "@mdn/mdn-http-observatory"} {
		if _, err := os.Stat("pages/node_modules/" + name); err != nil {
			missing(t, name+" is not installed; run: make deps")
		}
	}
}

// pagesTool runs a program of e2e/pages with input on its stdin, and reads what it prints.
func pagesTool(t *testing.T, output any, program string, input any, env ...string) {
	t.Helper()
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), "node", program)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = "pages", strings.NewReader(string(text)), &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.String())
	}
	if err := json.Unmarshal([]byte(stdout.String()), output); err != nil {
		t.Fatalf("%s printed %.2000s: %v", program, stdout.String(), err)
	}
}
