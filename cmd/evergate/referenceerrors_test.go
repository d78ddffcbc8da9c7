package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// errorCode is one answer with a code, as a place in the code makes it.
type errorCode struct {
	code, title, detail string
	status              int // 0 where it depends
}

// TestReferenceErrors: docs/reference/errors.md has every code that an answer of the gateway
// may bear, with what it is answered with and what it says.
func TestReferenceErrors(t *testing.T) {
	all := readErrors(t)
	slices.SortStableFunc(all, func(a, b errorCode) int {
		if c := strings.Compare(a.code, b.code); c != 0 {
			return c
		}
		return a.status - b.status
	})
	codes := map[string]bool{}
	var b strings.Builder
	b.WriteString("Where the gateway itself answers in place of an app, a person gets a page and a program `application/problem+json`\n" +
		"(RFC 9457): `title`, `status`, `detail`, `request_id`, and `code`, which is what a program goes by and stays as it is.\n" +
		"The request id is in the log line with the cause. Where `…` stands the answer has a name or a number.\n\n" +
		"| `code` | status | title | what it says |\n|---|---|---|---|\n")
	before := ""
	for _, e := range all {
		title := e.title
		if title == "" {
			title = http.StatusText(e.status)
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", e.code, statusText(e.status), cell(title), cell(strings.TrimSpace(e.detail)))
		if row != before {
			b.WriteString(row)
		}
		before = row
		codes[e.code] = true
	}
	if len(codes) < 50 {
		t.Errorf("got %d codes, want 50", len(codes))
	}
	holdReference(t, "errors.md", "The answers of the gateway", b.String())
}

func statusText(status int) string {
	if status == 0 {
		return "varies"
	}
	return strconv.Itoa(status)
}

// readErrors finds every place that makes a web.Error.
func readErrors(t *testing.T) (all []errorCode) {
	t.Helper()
	for _, dir := range []string{"../../auth", "../../proxy", "../../session", "../../token", "../../internal", "."} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range f.Decls {
				if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
					r := errorReader{t: t, path: path, own: f.Name.Name == "web"}
					all = append(all, r.read(fn)...)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// errorReader reads the errors of one file.
type errorReader struct {
	t    *testing.T
	path string
	own  bool // it is in internal/web, where the type has no package in front
}

func (r *errorReader) read(fn *ast.FuncDecl) (all []errorCode) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if r.isError(n.Type) {
				all = append(all, r.literal(fn, n)...)
			}
		case *ast.AssignStmt:
			// What begins as one answer may become another: it has the first one's status.
			for i, left := range n.Lhs {
				sel, ok := left.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Code" || len(all) != 1 || i >= len(n.Rhs) {
					continue
				}
				e := all[0]
				for j, other := range n.Lhs {
					if sel, ok := other.(*ast.SelectorExpr); ok && j < len(n.Rhs) {
						switch sel.Sel.Name {
						case "Code":
							e.code = r.text(n.Rhs[j])
						case "Title":
							e.title = r.text(n.Rhs[j])
						case "Detail":
							e.detail = r.text(n.Rhs[j])
						}
					}
				}
				all = append(all, e)
			}
		}
		return true
	})
	return all
}

func (r *errorReader) isError(expr ast.Expr) bool {
	if sel, ok := expr.(*ast.SelectorExpr); ok {
		x, ok := sel.X.(*ast.Ident)
		return ok && x.Name == "web" && sel.Sel.Name == "Error"
	}
	id, ok := expr.(*ast.Ident)
	return ok && r.own && id.Name == "Error"
}

// literal reads one that is written out. Where its code is a parameter, each call of the
// function makes one.
func (r *errorReader) literal(fn *ast.FuncDecl, lit *ast.CompositeLit) []errorCode {
	fields := map[string]ast.Expr{}
	for _, el := range lit.Elts {
		if kv, ok := el.(*ast.KeyValueExpr); ok {
			fields[kv.Key.(*ast.Ident).Name] = kv.Value
		}
	}
	code, ok := fields["Code"]
	if !ok {
		if filepath.Base(r.path) != "errorpages.go" { // it tries templates out
			r.t.Errorf("%s: %s makes an answer without a code; give it one, for programs to go by", r.path, fn.Name.Name)
		}
		return nil
	}
	e := errorCode{status: r.status(fields["Status"]), title: r.text(fields["Title"]), detail: r.text(fields["Detail"])}
	if id, ok := code.(*ast.Ident); ok {
		return r.calls(fn, id.Name, e, fields)
	}
	if e.code = r.text(code); e.code == "sample" && filepath.Base(r.path) == "errorpages.go" {
		return nil
	}
	return []errorCode{e}
}

// calls reads the answers that a function makes of what it is called with, in its package.
func (r *errorReader) calls(fn *ast.FuncDecl, param string, e errorCode, fields map[string]ast.Expr) (all []errorCode) {
	var params []string
	for _, f := range fn.Type.Params.List {
		for _, name := range f.Names {
			params = append(params, name.Name)
		}
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(r.path), "*.go"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			r.t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if id, ok := call.Fun.(*ast.Ident); !ok || id.Name != fn.Name.Name {
				return true
			}
			one := e
			for i, name := range params {
				if name == param {
					one.code = r.text(call.Args[i])
				}
				if id, ok := fields["Detail"].(*ast.Ident); ok && id.Name == name {
					one.detail = r.text(call.Args[i])
				}
			}
			all = append(all, one)
			return true
		})
	}
	if len(all) == 0 {
		r.t.Errorf("%s: nobody calls %s, which makes answers", r.path, fn.Name.Name)
	}
	return all
}

var verb = regexp.MustCompile(`%[+#]?[a-z]`)

// text is what an expression says, with … where it depends.
func (r *errorReader) text(expr ast.Expr) string {
	switch x := expr.(type) {
	case nil:
		return ""
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		return text
	case *ast.BinaryExpr:
		return r.text(x.X) + r.text(x.Y)
	case *ast.CallExpr:
		if sel, ok := x.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sprintf" {
			return verb.ReplaceAllString(r.text(x.Args[0]), "…")
		}
	}
	return "…"
}

// statuses are the statuses of HTTP by the name of their constant.
var statuses = func() map[string]int {
	all := map[string]int{"StatusRequestURITooLong": http.StatusRequestURITooLong, "StatusTeapot": http.StatusTeapot}
	for status := 100; status < 600; status++ {
		all["Status"+regexp.MustCompile(`[^A-Za-z]`).ReplaceAllString(http.StatusText(status), "")] = status
	}
	return all
}()

func (r *errorReader) status(expr ast.Expr) int {
	sel, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return 0
	}
	if x, ok := sel.X.(*ast.Ident); !ok || x.Name != "http" {
		return 0
	}
	status, known := statuses[sel.Sel.Name]
	if !known {
		r.t.Errorf("%s: the page does not know http.%s", r.path, sel.Sel.Name)
	}
	return status
}
