package e2e

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestH2spec: the front door passes every case of h2spec, the strict ones too.
func TestH2spec(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "h2spec")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/summerwind/h2spec/cmd/h2spec").CombinedOutput(); err != nil {
		t.Fatalf("build h2spec: %v\n%s", err, out)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "an answer") }))
	t.Cleanup(app.Close)
	g := newSecureGateway(t, newCertificates(t), fmt.Sprintf(`
identity: [ local: { users_file: users.yaml } ]
routes: [ { public: true, upstream: %q } ]
`, app.URL))
	report := filepath.Join(t.TempDir(), "report.xml")
	out, err := exec.CommandContext(t.Context(), program, "--tls", "--insecure", "--strict", "--timeout", "5", "--host", "localhost",
		"--port", strings.TrimPrefix(g.url, "https://localhost:"), "--junit-report", report).CombinedOutput()
	b, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("%v, %v\n%s", err, readErr, out)
	}
	var all struct {
		Suites []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, s := range all.Suites {
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil:
				t.Errorf("failed: %s: %s", s.Name, c.Name)
			case c.Skipped != nil:
				t.Logf("skipped by h2spec: %s: %s", s.Name, c.Name)
			default:
				passed++
			}
		}
	}
	t.Logf("%d cases passed", passed)
	if passed < 140 {
		t.Errorf("got %d cases that passed\n%s", passed, out)
	}
}

// TestH2load: many streams on few connections, and none fails.
func TestH2load(t *testing.T) {
	t.Parallel()
	h2load := need(t, "h2load", "nghttp2-client")
	app := newUpstream(t)
	g := newSecureGateway(t, newCertificates(t), fmt.Sprintf(`
identity: [ local: { users_file: users.yaml } ]
routes: [ { upstream: %q } ]
`, app.URL))
	cookie := g.signIn(t)
	for protocol, flags := range map[string][]string{"h2": {"-m", "50"}, "http/1.1": {"--h1"}} {
		args := append(flags, "-n", "20000", "-c", "20", "-H", "Cookie: "+cookie, g.url+"/")
		out, err := exec.CommandContext(t.Context(), h2load, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !strings.Contains(string(out), "20000 succeeded, 0 failed, 0 errored") || !strings.Contains(string(out), "20000 2xx, 0 3xx, 0 4xx, 0 5xx") ||
			!strings.Contains(string(out), "Application protocol: "+protocol) {
			t.Errorf("%s: %s", protocol, out)
		}
		t.Log(protocol, regexp.MustCompile(`(?m)^finished.*$`).FindString(string(out)))
	}
}
