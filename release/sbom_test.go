package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSBOM: the list of what is linked in is one by the format's own schema, says what
// the go command says of the binary, and knows each part's licence.
func TestSBOM(t *testing.T) {
	for name := range strings.SplitSeq(testTargets(), ",") {
		target, _ := targetOf(name)
		t.Run(name, func(t *testing.T) {
			top := "evergate_1.2.3_" + target.os + "_" + target.arch
			text := read(t, filepath.Join(folder(t, made), top+".cdx.json"))
			wantSchema(t, text)
			var bom cdx.BOM
			if err := cdx.NewBOMDecoder(strings.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
				t.Fatal(err)
			}
			dir, program := t.TempDir(), "evergate"
			if target.os == "windows" {
				program = "evergate.exe"
				unzip(t, filepath.Join(folder(t, made), top+".zip"), dir)
			} else {
				untargz(t, filepath.Join(folder(t, made), top+".tar.gz"), dir)
			}
			path := filepath.Join(dir, top, program)
			sum, err := sha256File(path)
			if err != nil {
				t.Fatal(err)
			}
			main := bom.Metadata.Component
			if main.Version != testVersion || (*main.Hashes)[0].Value != sum {
				t.Errorf("got version %s of the program %s, want %s of %s", main.Version, (*main.Hashes)[0].Value, testVersion, sum)
			}
			var got []string
			licenses := read(t, filepath.Join(dir, top, "THIRD_PARTY_LICENSES"))
			for _, m := range copied {
				if !strings.Contains(licenses, "\n"+m.path+" (") {
					t.Errorf("the licence of %s does not come with the program", m.path)
				}
			}
			for _, c := range *bom.Components {
				line := c.Name + " " + c.Version
				if !strings.Contains(licenses, "\n"+line+" (") {
					t.Errorf("the licence of %s does not come with the program", line)
				}
				if c.Properties != nil {
					line += " " + (*c.Properties)[0].Value
				}
				got = append(got, line)
				wantLicense(t, c)
			}
			if want := linkedInto(t, path); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// linkedInto asks the go command what a binary is made of.
func linkedInto(t *testing.T, path string) (all []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if version, ok := strings.CutPrefix(f[1], "go1."); ok {
			all = append(all, "std 1."+version)
		}
		if f[0] == "dep" {
			all = append(all, strings.Join(f[1:], " "))
		}
	}
	slices.Sort(all)
	return all
}

// wantLicense refuses what nobody has looked at, and what the page of licences does not name.
func wantLicense(t *testing.T, c cdx.Component) {
	t.Helper()
	l := (*c.Licenses)[0]
	expression := l.Expression
	if l.License != nil {
		expression = l.License.ID
	}
	if bad := unlike(expression); bad != "" {
		t.Errorf("%s is under %q", c.Name, expression)
	}
	if !strings.Contains(read(t, licencesFile), fmt.Sprintf("| `%s` | %s |", c.Name, expression)) {
		t.Errorf("%s does not have %s under %s", licencesFile, c.Name, expression)
	}
}

// wantSchema holds a list to the schema that CycloneDX publishes, which comes with its library.
func wantSchema(t *testing.T, text string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(string(bytes.TrimSpace(out)), "schema")
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for name, file := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(read(t, filepath.Join(dir, file))))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("the list is none by its schema: %v", err)
	}
	doc["specVersion"] = 16 // lest the schema takes anything
	if schema.Validate(doc) == nil {
		t.Error("the schema takes anything")
	}
}

// TestIdentify: licences are told by what only they say.
func TestIdentify(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted"
	for _, row := range []struct{ name, text, want string }{
		{"the line breaks do not matter", "Apache  License\n  Version 2.0, January 2004", "Apache-2.0"},
		{"two clauses", bsd, "BSD-2-Clause"},
		{"three clauses", bsd + " Neither the name … may be used to endorse or promote\nproducts", "BSD-3-Clause"},
		{"two licences in a file", "Apache License, Version 2.0\n" + bsd, "Apache-2.0 BSD-2-Clause"},
		{"none that is known", "GNU AFFERO GENERAL PUBLIC LICENSE", ""},
	} {
		if got := strings.Join(identify(row.text), " "); got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
	}
}
