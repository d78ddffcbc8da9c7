package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestIncidentGuide: what it says is to be read on the dashboard and on the demo's pages is
// what these say, or what a browser is made to find there.
func TestIncidentGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/incident-on-the-dashboard.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := sources(t, "internal/dashboard/*.go") + sources(t, "internal/dashboard/pages/*.html") + sources(t, "demo*.go") +
		sources(t, "../../internal/idp/*.go") + sources(t, "../../e2e/dashboard_test.go")
	said := regexp.MustCompile(`\*\*?([A-Z][^*]+)\*\*?`).FindAllStringSubmatch(string(b), -1)
	if len(said) < 12 {
		t.Fatalf("got %d things to read, want 12", len(said))
	}
	for _, s := range said {
		if strings.HasSuffix(s[1], "?") { // a question that the guide asks
			continue
		}
		for part := range strings.SplitSeq(strings.Join(strings.Fields(s[1]), " "), " … ") {
			if part = strings.TrimSuffix(part, " …"); !strings.Contains(shown, part) {
				t.Errorf("%q is nowhere to be read", part)
			}
		}
	}
	for _, picture := range regexp.MustCompile(`\]\((dashboard[\w-]*\.png)\)`).FindAllStringSubmatch(string(b), -1) {
		if info, err := os.Stat("../../docs/" + picture[1]); err != nil || info.Size() > 120_000 {
			t.Errorf("%s: %v, want a picture of 120 kB at most", picture[1], err)
		}
	}
}
