package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/snippet"
	"github.com/evergate/evergate/config"
)

// TestForwardAuthGuide: what it says of answers, headers, keys and commands is so.
func TestForwardAuthGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/forward-auth.md")
	if err != nil {
		t.Fatal(err)
	}
	text, proxies := string(b), sources(t, "../../proxy/*.go")
	trouble := text[strings.Index(text, "## When something is wrong"):]
	codes := regexp.MustCompile("`([a-z]+_[a-z]+)`").FindAllStringSubmatch(trouble, -1)
	known := 0
	for _, c := range codes {
		if strings.Contains(proxies, `Code: "`+c[1]+`"`) {
			known++
		} else if c[1] != "public_url" && c[1] != "trusted_proxies" {
			t.Errorf("no answer has the code %s", c[1])
		}
	}
	if known < 6 {
		t.Errorf("got %d codes of answers, want 6", known)
	}
	for _, said := range []string{"asked by a peer outside of trusted_proxies"} {
		if !strings.Contains(trouble, said) || !strings.Contains(proxies, said) {
			t.Errorf("the guide and the gateway do not both say %q", said)
		}
	}
	for _, name := range []string{"X-Original-Url", "X-Original-Method", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-User", "X-Forwarded-Preferred-Username"} {
		short := strings.TrimPrefix(name, "X-Forwarded")
		if !strings.Contains(strings.ToLower(text), strings.ToLower(name)) && !strings.Contains(text, "`"+short+"`") || !strings.Contains(proxies, `"`+name+`"`) {
			t.Errorf("the guide and the gateway do not both know %s", name)
		}
	}
	table := text[strings.Index(text, "## Setting it up"):strings.Index(text, "## What applies")]
	for _, dialect := range config.Dialects {
		if !strings.Contains(table, "`evergate snippet "+dialect+"`") || !strings.Contains(text, "`"+dialect+"`") {
			t.Errorf("the guide does not tell how %s is set up", snippet.Title(dialect))
		}
	}
	for _, flag := range regexp.MustCompile("`--([a-z]+)").FindAllStringSubmatch(text, -1) {
		found := false
		for _, dialect := range snippet.Dialects() {
			var out strings.Builder
			code := run([]string{"snippet", dialect, "--help"}, nil, &out, &out)
			found = found || code == exitOK && strings.Contains(out.String(), "--"+flag[1]+" ")
		}
		if !found {
			t.Errorf("evergate snippet has no flag --%s", flag[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat("../../docs/" + link[1]); err != nil {
			t.Errorf("the link to %s: %v", link[1], err)
		}
	}
}
