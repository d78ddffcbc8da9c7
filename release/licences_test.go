package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/licences.md")

// allowed are the licences that ask no more of who hands a program on than to keep their text.
// Another one is for people to look at first.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

const licencesFile = "../docs/reference/licences.md"

const licencesHead = `# The licences

*Made of the modules, by ` + "`cd release && go test . -run TestLicences -update`" + `.*

What is linked into the program, on the platforms that releases are for, and under which licence it comes. A test
fails where one is new here, where its licence is another one than it was, and where that is none of %s.

The texts are in ` + "`THIRD_PARTY_LICENSES`" + `, which comes with each archive, package and image, and versions in the list of each binary,
` + "`evergate_VERSION_OS_ARCH.cdx.json`" + `: see [install](../install.md). Evergate itself is under [Apache-2.0](../../LICENSE).

| module | licence | linked in on |
|---|---|---|
`

// TestLicences holds the page to what is linked in.
func TestLicences(t *testing.T) {
	modules := linkedModules(t)
	for _, m := range copied {
		modules = append(modules, linkedModule{m.path, filepath.Join("..", filepath.FromSlash(m.dir)), "all"})
	}
	if len(modules) < 20 {
		t.Fatalf("got %d modules, want 20: the test sees less than there is", len(modules))
	}
	page := fmt.Sprintf(licencesHead, strings.Join(allowed[:len(allowed)-1], ", ")+" and "+allowed[len(allowed)-1])
	for _, m := range modules {
		licence, err := licenseOf(m.dir)
		if err != nil {
			t.Errorf("%s: %v", m.path, err)
			continue
		}
		if bad := unlike(licence); bad != "" {
			t.Errorf("%s is under %s, which nobody has looked at; if it may be handed on with the program, add it to allowed", m.path, bad)
		}
		page += fmt.Sprintf("| `%s` | %s | %s |\n", m.path, licence, m.on)
	}
	if *update {
		if err := os.WriteFile(licencesFile, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is := read(t, licencesFile); is != page {
		t.Errorf("%s is not what is linked in; look at what is new, and write it by: cd release && go test . -run TestLicences -update\ngot\n%s\nwant\n%s", licencesFile, is, page)
	}
}

// TestCopied: what lies in the sources under a licence of its own is known to whoever hands it on.
func TestCopied(t *testing.T) {
	files, err := git(t.Context(), "..", "ls-files")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for file := range strings.Lines(files) {
		if file = strings.TrimSpace(file); licenseFiles.MatchString(filepath.Base(file)) && filepath.Dir(file) != "." {
			got = append(got, filepath.ToSlash(filepath.Dir(file)))
		}
	}
	for _, m := range copied {
		want = append(want, m.dir)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got licences in %q, want them where copied has it, in %q", got, want)
	}
}

// unlike is the first licence of an expression that is not allowed.
func unlike(expression string) string {
	for id := range strings.SplitSeq(expression, " AND ") {
		if !slices.Contains(allowed, id) {
			return id
		}
	}
	return ""
}

// TestUnlike: a licence that is not allowed is found, also among others.
func TestUnlike(t *testing.T) {
	for expression, want := range map[string]string{"MIT": "", "Apache-2.0 AND MIT": "", "MIT AND MPL-2.0": "MPL-2.0", "AGPL-3.0-only": "AGPL-3.0-only"} {
		if got := unlike(expression); got != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}

// linkedModule is one that is linked in for some platforms.
type linkedModule struct{ path, dir, on string }

// linkedModules are those that the program has packages of, by path, Go's own library among them.
func linkedModules(t *testing.T) (all []linkedModule) {
	t.Helper()
	on, dirs, systems := map[string][]string{}, map[string]string{}, []string{}
	for _, target := range allTargets {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "./cmd/evergate")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "GOOS="+target.os, "GOARCH="+target.arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		out, err := output(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(systems, target.os) {
			systems = append(systems, target.os)
		}
		for line := range strings.Lines(out) {
			path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
			if !ok {
				continue
			}
			dirs[path] = dir
			if !slices.Contains(on[path], target.os) {
				on[path] = append(on[path], target.os)
			}
		}
	}
	goroot, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs["std"], on["std"] = strings.TrimSpace(string(goroot)), systems
	for path, dir := range dirs {
		where := strings.Join(on[path], ", ")
		if len(on[path]) == len(systems) {
			where = "all"
		}
		all = append(all, linkedModule{path, filepath.Clean(dir), where})
	}
	slices.SortFunc(all, func(a, b linkedModule) int { return strings.Compare(a.path, b.path) })
	return all
}
