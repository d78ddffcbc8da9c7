package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/event"
)

// TestEveryEventIsTold: the catalogue names nothing that no part tells of.
func TestEveryEventIsTold(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "internal", "event", "catalogue.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ident := map[event.Name]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Name" {
			name, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			ident[event.Name(name)] = spec.Names[0].Name
		}
		return true
	})
	out, err := exec.Command("git", "-C", filepath.Join("..", ".."), "ls-files", "*.go").Output()
	if err != nil {
		t.Skip("this is no clone: ", err)
	}
	var source strings.Builder
	for _, name := range strings.Fields(string(out)) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/event/") || strings.HasPrefix(name, "internal/metrics/") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	for _, k := range event.Kinds {
		if ident[k.Name] == "" || !strings.Contains(source.String(), "event."+ident[k.Name]) {
			t.Errorf("%s is in the catalogue, and nobody tells of it", k.Name)
		}
	}
}
