package audit_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/audit"
	"github.com/evergate/evergate/internal/event"
)

var update = flag.Bool("update", false, "write docs/reference/audit.md anew")

// TestReference: docs/reference/audit.md is what the catalogue says.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Events of the audit log\n\n" +
		"*Made of the catalogue in the code, by `go test ./internal/audit -run TestReference -update`. How to have an audit log: [docs/audit.md](../audit.md).*\n\n" +
		"Each line is a JSON object. Names of events, fields and reasons are stable: new ones may come, and those that are here keep their meaning. A field with nothing to say is left out.\n\n" +
		"## Events\n\n| event | what happened | fields besides the common ones | reasons |\n|---|---|---|---|\n")
	for _, k := range event.Kinds {
		if k.Audit {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Name, k.Says, ticked(k.Fields), ticked(k.Reasons))
		}
	}
	b.WriteString("\nThe others are not in the audit log. They are lines of the log, and metrics are made of them:\n\n| event | what happened |\n|---|---|\n")
	for _, k := range event.Kinds {
		if !k.Audit {
			fmt.Fprintf(&b, "| `%s` | %s |\n", k.Name, k.Says)
		}
	}
	b.WriteString("\n## Fields\n\n| field | type | what it is |\n|---|---|---|\n")
	for _, f := range audit.Fields {
		says := f.Says
		for _, c := range audit.Common {
			if c == f.Name {
				says += " Common."
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Type, says)
	}
	b.WriteString("\nA person sees those of these events on their account page that are about them: " + ticked(own()) + ".\n")
	path := filepath.Join("..", "..", "docs", "reference", "audit.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is stale (%v); write it anew: go test ./internal/audit -run TestReference -update", path, err)
	}
}

func own() (names []string) {
	for _, k := range event.Kinds {
		if k.Own {
			names = append(names, string(k.Name))
		}
	}
	return names
}

func ticked(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return "`" + strings.Join(all, "`, `") + "`"
}
