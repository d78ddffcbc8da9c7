package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/evergate/evergate"

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		all = append(all, p)
	}
}

// tables reads the two tables of ARCHITECTURE.md: who may import whom of
// ours, and which outside package is fenced in where.
func tables(t *testing.T) (allowed map[string][]string, fences map[string][]string) {
	t.Helper()
	f, err := os.Open("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	allowed, fences = map[string][]string{}, map[string][]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		cells := strings.Split(s.Text(), "|")
		if len(cells) != 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		into := allowed
		if strings.Contains(name, ".") {
			into = fences
		}
		into[name] = []string{}
		for _, a := range strings.Split(cells[2], ",") {
			if a = strings.Trim(a, " `"); a != "" {
				into[name] = append(into[name], a)
			}
		}
	}
	return allowed, fences
}

// rowOf finds the row for a package: its own, or that of its parent with "/*".
func rowOf(allowed map[string][]string, pkg string) ([]string, bool) {
	for p := pkg; p != "."; p = path.Dir(p) {
		if row, ok := allowed[p]; ok && (p == pkg || p == "cmd/evergate") {
			return row, true
		}
		if row, ok := allowed[path.Dir(p)+"/*"]; ok {
			return row, true
		}
	}
	return nil, false
}

func TestImportsFollowTheTable(t *testing.T) {
	allowed, fences := tables(t)
	if len(allowed) < 9 || len(fences) < 6 {
		t.Fatalf("got %d and %d rows in ARCHITECTURE.md's tables, want at least 9 and 6", len(allowed), len(fences))
	}
	for _, p := range listPackages(t) {
		row, ok := rowOf(allowed, p.ImportPath)
		if !ok {
			t.Errorf("%s has no row in ARCHITECTURE.md", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, module+"/")
			switch {
			case slices.Contains(row, "everything"):
			case isOurs && !strings.HasPrefix(ours, "internal/") && !slices.Contains(row, ours):
				t.Errorf("%s imports %s; ARCHITECTURE.md allows it %v", p.ImportPath, ours, row)
			}
			if strings.HasSuffix(ours, "test") && isOurs {
				t.Errorf("%s imports the test package %s", p.ImportPath, ours)
			}
			for outside, homes := range fences {
				if (imported == outside || strings.HasPrefix(imported, outside+"/")) && !slices.Contains(homes, p.ImportPath) {
					t.Errorf("%s imports %s, which belongs in %v alone", p.ImportPath, outside, homes)
				}
			}
		}
	}
}
