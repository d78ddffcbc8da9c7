package main

import (
	"regexp"
	"strings"
	"testing"
)

// documented are the commands that docs/install.md shows below a heading: what the tests
// run is what people are told to type.
func documented(t *testing.T, heading string) []string {
	t.Helper()
	_, text, ok := strings.Cut(read(t, "../docs/install.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/install.md has no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	block := regexp.MustCompile("(?s)```sh\n(.*?)\n```").FindStringSubmatch(text)
	if block == nil {
		t.Fatalf("docs/install.md shows no commands below %q", heading)
	}
	return strings.Split(block[1], "\n")
}

// follow runs what is documented below a heading in a box. Where a command asks for a
// password, there is a terminal, and somebody who types.
func (b *box) follow(heading string) (said string) {
	b.t.Helper()
	for _, line := range documented(b.t, heading) {
		line = "cd /tmp && " + line
		cmd := b.inside("", "sh", "-euc", line)
		if strings.Contains(line, "user add") {
			cmd = b.inside(testPassword+"\n"+testPassword+"\n", "script", "-qec", line, "/dev/null")
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.t.Fatalf("%s: %v\n%s", line, err, out)
		}
		said += string(out)
	}
	return said
}

const testPassword = "correct horse battery"
