package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// updateDocs writes the pages of docs/reference anew: go generate ./cmd/evergate
var updateDocs = flag.Bool("update", false, "write the pages of docs/reference anew")

//go:generate go test -count=1 -run ^TestReference . -update

const referenceFolder = "../../docs/reference/"

// generated says on the page itself where it comes from, to whoever would edit it.
const generated = "<!-- Made by a test from the code. Do not edit: go generate ./cmd/evergate -->\n"

// holdReference compares a page of docs/reference with what the code makes of it, and writes
// it anew where that was asked for.
func holdReference(t *testing.T, name, title, body string) {
	t.Helper()
	want := "# " + title + "\n\n" + generated + "\n" + body
	file := referenceFolder + name
	if *updateDocs {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("docs/reference/%s is not what the code says (%v); try: go generate ./cmd/evergate\n%s", name, err, firstDifference(string(got), want))
	}
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "(the end)", "(the end)"
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return "the page says: " + a + "\nthe code says: " + b
		}
	}
	return ""
}

var snake = regexp.MustCompile("`[^`]*`|\\b[a-z]+(?:_[a-z]+)+\\b")

// cell is text as it stands in a table: names of keys as code, and nothing that would
// end the cell or be taken for emphasis.
func cell(text string) string {
	text = strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;", "\n", " ").Replace(text)
	return snake.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "`") {
			return s
		}
		return "`" + s + "`"
	})
}
