package check

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestRiskGuide: what docs/risk.md shows are lines that there can be, and its queries say of them
// what they are for.
func TestRiskGuide(t *testing.T) {
	page, reference := read(t, "docs/risk.md"), read(t, "docs/reference/audit.md")
	samples := fenced(page, "json")
	if len(samples) != 1 {
		t.Fatalf("got %d samples", len(samples))
	}
	for _, l := range lines(t, samples[0]+"\n") {
		if !strings.Contains(reference, fmt.Sprintf("| `%s` |", l["event"])) {
			t.Errorf("the reference has no event %v", l["event"])
		}
		for field := range l {
			if !strings.Contains(reference, fmt.Sprintf("| `%s` |", field)) {
				t.Errorf("the reference has no field %q", field)
			}
		}
	}
	jq, queries := need(t, "jq", "jq"), fenced(page, "jq")
	want := []string{
		"2026-11-27T11:02:51.870Z\trisk.changed_browser\tFirefox on Linux\tChrome on Windows\t203.0.113.99",
		"alice\t9TGq1BTmPSBb\trisk.changed_browser risk.new_network risk.parallel_use\n",
		"2026-11-27\trisk.new_network\t2\t2",
	}
	most := []int{4, 1, 3}
	if len(queries) != len(want) {
		t.Fatalf("got %d queries, want %d", len(queries), len(want))
	}
	for i, q := range queries {
		args := []string{"-rc", q}
		if strings.Contains(q, "inputs") {
			args[0] = "-rnc"
		}
		cmd := exec.Command(jq, args...)
		cmd.Stdin = bytes.NewReader([]byte(samples[0] + "\n"))
		if out, err := output(cmd); err != nil || !strings.Contains(out, want[i]) || strings.Count(out, "\n") != most[i] {
			t.Errorf("%s\ngot %s (%v), want %s", q, out, err, want[i])
		}
	}
}
