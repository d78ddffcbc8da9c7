package web_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	tmpl "text/template/parse"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

var update = flag.Bool("update", false, "write messages/en.json anew")

const (
	module  = "github.com/evergate/evergate"
	webPath = module + "/internal/web"
)

// texts are the messages of the source, with where each is first.
type texts map[string]string

func (all texts) add(text, at string) {
	if _, known := all[text]; text != "" && !known {
		all[text] = at
	}
}

// TestMessages: the files of messages hold what the source says, all of it and nothing
// else, with the same parts and in every plural form that their language has.
func TestMessages(t *testing.T) {
	said := texts{}
	readSource(t, said)
	readTemplates(t, said)
	for status := 400; status < 600; status++ {
		said.add(http.StatusText(status), "net/http")
	}
	if len(said) < 150 {
		t.Fatalf("got %d messages in the source, want all of them", len(said))
	}
	files, err := filepath.Glob("messages/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("got %v, %v, want the files of messages", files, err)
	}
	if *update {
		writeEnglish(t, said)
	}
	for _, file := range files {
		checkFile(t, file, said)
	}
}

const mend = "`go test ./internal/web -run Messages -update` writes messages/en.json; put the text into the other files by hand"

func checkFile(t *testing.T, file string, said texts) {
	tag := language.MustParse(strings.TrimSuffix(filepath.Base(file), ".json"))
	says := readFile(t, file)
	for _, text := range slices.Sorted(maps.Keys(said)) {
		value, ok := says[text]
		if !ok {
			t.Errorf("%s misses %q (%s)\n%s", file, text, said[text], mend)
			continue
		}
		forms, plural := value.(map[string]any)
		counts := slices.Contains(parts(text), "{count}")
		if !plural {
			forms = map[string]any{"other": value}
			if counts && tag != language.English {
				t.Errorf("%s: %q counts something: want an object with a text for each plural category", file, text)
			}
		}
		for form, v := range forms {
			s, _ := v.(string)
			if s == "" {
				t.Errorf("%s: %q has no text", file, text)
			}
			got, want := parts(s), parts(text)
			if plural && form != "other" { // "one minute" and the Arabic dual need no number
				want = slices.DeleteFunc(want, func(p string) bool { return p == "{count}" })
				got = slices.DeleteFunc(got, func(p string) bool { return p == "{count}" })
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q has the parts %v as %q, want %v", file, text, got, s, want)
			}
		}
		if plural {
			for _, c := range categories(tag) {
				if forms[c] == nil {
					t.Errorf("%s: %q misses the plural form %q", file, text, c)
				}
			}
		}
	}
	for text := range says {
		if _, ok := said[text]; !ok {
			t.Errorf("%s has %q, which nothing says any more: remove it\n%s", file, text, mend)
		}
	}
}

func readFile(t *testing.T, file string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var says map[string]any
	if err := json.Unmarshal(b, &says); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return says
}

func writeEnglish(t *testing.T, said texts) {
	const file = "messages/en.json"
	says := readFile(t, file)
	out := map[string]any{}
	for text := range said {
		out[text] = text
		if forms, ok := says[text].(map[string]any); ok {
			out[text] = forms
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

var part = regexp.MustCompile(`\{[a-z]+\}`)

// parts are the names in a text, each once and sorted.
func parts(text string) []string {
	found := part.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// categories are those that numbers of things have in a language.
func categories(tag language.Tag) []string {
	names := map[plural.Form]string{plural.Other: "other", plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}
	has := map[string]bool{}
	for n := range 1000 {
		has[names[plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)]] = true
	}
	return slices.Sorted(maps.Keys(has))
}

// readSource collects every constant of type Message, which the compiler knows better
// than any pattern would, and holds T to its parts.
func readSource(t *testing.T, said texts) {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Export,Dir,GoFiles", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports := map[string]string{}
	type goPackage struct {
		ImportPath, Export, Dir string
		GoFiles                 []string
	}
	var ours []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if exports[p.ImportPath] = p.Export; strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range ours {
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
		if _, err := (&types.Config{Importer: from}).Check(p.ImportPath, fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool { return inspect(t, fset, p.ImportPath, info, n, said) })
		}
	}
}

// inspect looks at one node. What is below it is looked at unless the answer is false.
func inspect(t *testing.T, fset *token.FileSet, pkg string, info *types.Info, n ast.Node, said texts) bool {
	e, ok := n.(ast.Expr)
	if !ok {
		return true
	}
	at := fset.Position(n.Pos()).String()
	tv := info.Types[e]
	if isMessage(tv.Type) && tv.Value != nil && tv.Value.Kind() == constant.String {
		said.add(constant.StringVal(tv.Value), at)
		return false
	}
	switch e := e.(type) {
	case *ast.BinaryExpr:
		if isMessage(tv.Type) && e.Op == token.ADD {
			t.Errorf("%s: a message is put together: write it as a whole, with {name} for each part that changes", at)
		}
	case *ast.CallExpr:
		name := types.ExprString(e.Fun)
		switch fun := info.Types[e.Fun]; {
		case name == "web.Verbatim" || name == "Verbatim":
			return false // in no language
		case fun.IsType() && isMessage(fun.Type) && pkg != webPath:
			t.Errorf("%s: what is made a message is no constant: pass it as a part of one", at)
		case name == "web.T" || name == "T" && pkg == webPath:
			checkParts(t, at, info, e)
		}
	}
	return true
}

func isMessage(t types.Type) bool { return t != nil && t.String() == webPath+".Message" }

// checkParts compares the names that a call of T passes with those of its message.
func checkParts(t *testing.T, at string, info *types.Info, call *ast.CallExpr) {
	v := info.Types[call.Args[0]].Value
	if v == nil || call.Ellipsis.IsValid() {
		return
	}
	var got []string
	for i := 1; i < len(call.Args); i += 2 {
		if name := info.Types[call.Args[i]].Value; name != nil {
			got = append(got, "{"+constant.StringVal(name)+"}")
		}
	}
	slices.Sort(got)
	if want := parts(constant.StringVal(v)); !slices.Equal(got, want) {
		t.Errorf("%s: got the parts %v for %s, want %v", at, got, v, want)
	}
}

// readTemplates collects what the pages pass to "t".
func readTemplates(t *testing.T, said texts) {
	t.Helper()
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(name)) != "pages" || filepath.Ext(name) != ".html" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		trees := map[string]*tmpl.Tree{}
		tree := tmpl.New(name)
		tree.Mode = tmpl.SkipFuncCheck
		if _, err := tree.Parse(string(text), "", "", trees); err != nil {
			return err
		}
		for _, tree := range trees {
			if tree.Root != nil {
				walk(t, tree, tree.Root, said)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func walk(t *testing.T, tree *tmpl.Tree, n tmpl.Node, said texts) {
	branch := func(b *tmpl.BranchNode) {
		walk(t, tree, b.Pipe, said)
		walk(t, tree, b.List, said)
		if b.ElseList != nil {
			walk(t, tree, b.ElseList, said)
		}
	}
	switch n := n.(type) {
	case *tmpl.ListNode:
		for _, child := range n.Nodes {
			walk(t, tree, child, said)
		}
	case *tmpl.IfNode:
		branch(&n.BranchNode)
	case *tmpl.WithNode:
		branch(&n.BranchNode)
	case *tmpl.RangeNode:
		branch(&n.BranchNode)
	case *tmpl.ActionNode:
		walk(t, tree, n.Pipe, said)
	case *tmpl.TemplateNode:
		if n.Pipe != nil {
			walk(t, tree, n.Pipe, said)
		}
	case *tmpl.PipeNode:
		for _, c := range n.Cmds {
			for _, arg := range c.Args {
				walk(t, tree, arg, said)
			}
			if f, ok := c.Args[0].(*tmpl.IdentifierNode); ok && f.Ident == "t" {
				at, _ := tree.ErrorContext(n)
				checkCall(t, at, c.Args, said)
			}
		}
	}
}

func checkCall(t *testing.T, at string, args []tmpl.Node, said texts) {
	text, ok := args[1].(*tmpl.StringNode)
	if !ok {
		return // a Message of the source
	}
	said.add(text.Text, at)
	var got []string
	for i := 2; i < len(args); i += 2 {
		name, ok := args[i].(*tmpl.StringNode)
		if !ok {
			t.Errorf("%s: %s is no name of a part", at, args[i])
			return
		}
		got = append(got, "{"+name.Text+"}")
	}
	slices.Sort(got)
	if want := parts(text.Text); !slices.Equal(got, want) {
		t.Errorf("%s: got the parts %v for %q, want %v", at, got, text.Text, fmt.Sprint(want))
	}
}
