package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/doctor"
)

// TestDoctorGuide: it lists all questions that are asked and no other, and the lines that
// it shows are said.
func TestDoctorGuide(t *testing.T) {
	b, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	var table strings.Builder
	table.WriteString("| probe | asks |\n|---|---|\n")
	for _, p := range doctor.Probes {
		fmt.Fprintf(&table, "| `%s` | %s |\n", p.Name, p.Asks)
	}
	if !strings.Contains(text, table.String()+"\n") {
		t.Errorf("the table is to be\n%s", &table)
	}
	code := sources(t, "internal/doctor/*.go")
	for _, p := range doctor.Probes {
		if strings.Count(code, `"`+p.Name+`"`) < 2 { // once where it is listed
			t.Errorf("nothing asks %s", p.Name)
		}
	}
	for _, said := range []string{"the gateway runs, and is ready", "the token endpoint refuses the client: ", "compare client_id, client_auth and the secret with what is registered there, and whether the secret has expired"} {
		if !strings.Contains(text, said) || !strings.Contains(code, said) {
			t.Errorf("%q is not in both the guide and the code", said)
		}
	}
	for _, flag := range regexp.MustCompile("`(--[a-z-]+)").FindAllStringSubmatch(text, -1) {
		var out lockedBuffer
		if run([]string{"doctor", "--help"}, nil, &out, &out); !strings.Contains(out.String(), flag[1]) {
			t.Errorf("the command has no %s", flag[1])
		}
	}
	fields := regexp.MustCompile(`json:"([a-z]+)`).FindAllStringSubmatch(sources(t, "internal/doctor/doctor.go"), -1)
	if len(fields) != 5 {
		t.Errorf("got %d fields, want 5", len(fields))
	}
	for _, f := range fields {
		if !strings.Contains(text, "`"+f[1]+"`") {
			t.Errorf("the guide does not name the field %s", f[1])
		}
	}
}
