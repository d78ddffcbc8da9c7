package attacks

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// attack is one case.
type attack struct {
	id       string // as H-02
	severity string // of a gateway that it works on: critical, high, medium or low
	sent     string // what is sent, in a line of the table
	want     string // what has to come of it
	// run sends it, and looks at what the client got. It ends with l.saw, for the other places.
	run func(t *testing.T, l *lab)
}

// section is a kind of attack.
type section struct {
	name    string
	test    string // the Go test that runs it
	attacks []attack
}

// sections are all of them, in the order of the table.
var sections = []*section{}

// try runs the cases one after the other, each on l.
func (s *section) try(t *testing.T, l *lab) {
	for _, a := range s.attacks {
		t.Run(a.id, func(t *testing.T) {
			of := l.of(t)
			a.run(t, of)
			if !of.looked {
				t.Error("the case does not say what the app, the store and the audit log are to hold: see lab.saw")
			}
			of.unharmed()
		})
	}
	l.kept(t)
}

// TestCatalogue: no case is there twice, and none of those that the table promises is missing.
func TestCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sections {
		for _, a := range s.attacks {
			if seen[a.id] {
				t.Errorf("%s is there twice", a.id)
			}
			seen[a.id] = true
			if !slices.Contains([]string{"critical", "high", "medium", "low"}, a.severity) || a.sent == "" || a.want == "" {
				t.Errorf("%s: severity %q, sent %q, want %q: fill in all of them", a.id, a.severity, a.sent, a.want)
			}
		}
	}
	for _, id := range strings.Fields(promised) {
		if !seen[id] {
			t.Errorf("%s is in the catalogue, and no case tries it", id)
		}
	}
}

const (
	tableFile  = "../../docs/security.md"
	tableBegin = "<!-- attacks: begin -->\n"
	tableEnd   = "<!-- attacks: end -->"
)

// TestTable holds docs/security.md to the cases.
func TestTable(t *testing.T) {
	var b strings.Builder
	total := 0
	for _, s := range sections {
		total += len(s.attacks)
	}
	fmt.Fprintf(&b, "%d cases:\n", total)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n### %s\n\n`cd e2e && go test -count=1 ./attacks -run %s`\n\n| case | severity | what is sent | what has to come of it |\n|---|---|---|---|\n", s.name, s.test)
		for _, a := range s.attacks {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.id, a.severity, cell(a.sent), cell(a.want))
		}
	}
	b.WriteString("\n")
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(text, []byte(tableBegin))
	is, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		t.Fatalf("%s: want a place for the table, from %q to %q", tableFile, tableBegin, tableEnd)
	}
	if string(is) == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the cases say; write it by: go test ./attacks -run Table -update", tableFile)
	}
	out := slices.Concat(before, []byte(tableBegin), []byte(b.String()), []byte(tableEnd), after)
	if err := os.WriteFile(tableFile, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
