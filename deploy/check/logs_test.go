package check

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestLogsGuide: the queries of docs/logs.md find in lines as those what they are to find.
// (That the gateway writes lines as those is for TestLogsPage of cmd/evergate.)
func TestLogsGuide(t *testing.T) {
	jq := need(t, "jq", "jq")
	page := read(t, "docs/logs.md")
	line := strings.TrimSpace(fenced(page, "json")[0])
	var in strings.Builder
	in.WriteString(line + "\n" + `{"time":"2026-11-27T09:14:03Z","level":"INFO","msg":"evergate is up","listen":"127.0.0.1:8080"}` + "\n")
	for _, change := range []*strings.Replacer{
		strings.NewReplacer(`"status":200`, `"status":502`, `"dur_ms":4.113`, `"dur_ms":1503.2`, `"upstream_ms":3.87}`, `"upstream_ms":1500,"err":"dial tcp: refused"}`),
		strings.NewReplacer(`"status":200`, `"status":503`, `"upstream_ms":3.87}`, `"upstream_ms":3.87,"err":"dial tcp: refused"}`),
	} {
		in.WriteString(change.Replace(line) + "\n")
	}
	want := []string{
		"\"2\\twiki\\tdial tcp: refused\"\n",
		"\"2026-11-27T09:14:02.310045112+01:00\\twiki\\t/handbook\\t1503.2\\t1500\"\n",
	}
	queries := fenced(page, "jq")
	if len(queries) != len(want) {
		t.Fatalf("got %d queries, want %d", len(queries), len(want))
	}
	for i, q := range queries {
		args := "-c"
		if regexp.MustCompile(`\binputs\b`).MatchString(q) {
			args = "-nc"
		}
		cmd := exec.Command(jq, args, q)
		cmd.Stdin = bytes.NewReader([]byte(in.String()))
		if out, err := output(cmd); err != nil || out != want[i] {
			t.Errorf("%s\ngot %s (%v), want %s", q, out, err, want[i])
		}
	}
}
