package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestNamedTests: a test that a page names as its proof is there.
func TestNamedTests(t *testing.T) {
	has := map[string]bool{}
	eachFile(t, func(name, file string) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(b), -1) {
			has[m[1]] = true
		}
	})
	named := 0
	for _, p := range pages(t) {
		for _, code := range p.inline {
			if regexp.MustCompile(`^Test[A-Z]\w*$`).MatchString(code) {
				if named++; !has[code] {
					t.Errorf("%s names %s, and there is no such test", p.name, code)
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("got %d tests named, want 50", named)
	}
}
