package config_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestFaultIn: a place in a text is found however YAML writes the text, and where it is
// not, the whole is meant.
func TestFaultIn(t *testing.T) {
	for _, c := range []struct{ name, when string }{
		{"plain", "when: a and HERE or b"},
		{"in quotes", `when: 'a and HERE or b'`},
		{"in double quotes", `when: "a and HERE or b"`},
		{"literal", "when: |\n          a and\n          HERE or b"},
		{"literal, indented further", "when: |\n          a and\n            HERE or b"},
		{"folded", "when: >-\n          a and\n          HERE or b"},
		{"folded, on its first line", "when: >-\n          a and HERE\n          or b"},
		{"plain over lines", "when: a and\n          HERE or b"},
		{"letters of more than a byte", `when: '"äöü" == a and HERE'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "public_url: https://a.example.com\nidentity: [ local: { users_file: u } ]\nroutes:\n  - upstream: http://127.0.0.1:1\n    allow:\n      - " + c.when + "\n"
			cfg, err := config.Parse("x.yaml", []byte(text), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			when := cfg.Routes[0].Allow[0].When
			before, _, ok := strings.Cut(when, "HERE")
			if !ok {
				t.Fatalf("got %q", when)
			}
			line := 1 + strings.Count(before, "\n")
			column := 1 + len([]rune(before[strings.LastIndex(before, "\n")+1:]))
			f := cfg.FaultIn("routes[0].allow[0].when", line, column, "no")
			lines := strings.Split(text, "\n")
			if got := string([]rune(lines[f.Line-1])[f.Column-1:]); !strings.HasPrefix(got, "HERE") {
				t.Errorf("got %d:%d, which is %q", f.Line, f.Column, got)
			}
		})
	}
	text := "public_url: https://a.example.com\nidentity: [ local: { users_file: u } ]\nroutes:\n  - upstream: http://127.0.0.1:1\n    allow:\n      - when: \"a\\x20and HERE\"\n"
	cfg, err := config.Parse("x.yaml", []byte(text), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if f := cfg.FaultIn("routes[0].allow[0].when", 1, 7, "no"); f.Line != 6 || f.Column != 15 {
		t.Errorf("after an escape: got %d:%d, want 6:15, where the text begins", f.Line, f.Column)
	}
	for _, place := range [][2]int{{0, 0}, {1, 4000}, {9, 1}, {-3, 5}} {
		if f := cfg.FaultIn("routes[0].allow[0].when", place[0], place[1], "no"); f.Line != 6 {
			t.Errorf("%v: got line %d, want 6", place, f.Line)
		}
	}
	if f := cfg.FaultIn("routes[0].deny[0].when", 1, 1, "no"); f.Line != 4 {
		t.Errorf("what is not there: got line %d, want the route's", f.Line)
	}
}
