package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// comments are those of the structs here and of their fields, by "Type" and "Type.Field".
type comments map[string]string

func readComments(t *testing.T) comments {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v", files, err)
	}
	c := comments{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				ts := spec.(*ast.TypeSpec)
				doc := ts.Doc
				if doc == nil {
					doc = g.Doc
				}
				c[ts.Name.Name] = join(doc)
				if st, ok := ts.Type.(*ast.StructType); ok {
					c.fields(ts.Name.Name, st)
				}
			}
		}
	}
	return c
}

// fields reads the comments of a struct. One that begins with the names of several
// fields, as "CertFile and KeyFile are …", is for all of them.
func (c comments) fields(of string, st *ast.StructType) {
	shared := ""
	for _, f := range st.Fields.List {
		for _, name := range f.Names {
			doc := join(f.Doc)
			if f.Doc != nil {
				shared = doc
			} else if regexp.MustCompile(`\b` + name.Name + `\b`).MatchString(shared) {
				doc = shared
			}
			c[of+"."+name.Name] = doc
		}
	}
}

func join(doc *ast.CommentGroup) string {
	return strings.Join(strings.Fields(doc.Text()), " ")
}

var (
	leading = regexp.MustCompile(`^[A-Z]\w*(?:(?:, | and |, or better | or )[A-Z]\w*)*`)
	word    = regexp.MustCompile(`[A-Z]\w*`)
	amid    = regexp.MustCompile(`([,;] |\bis |\bin )([A-Z]\w*)`)
	inner   = regexp.MustCompile(`\b[A-Z][a-z]+[A-Z]\w*\b`)
	absent  = regexp.MustCompile(`\bnil\b|(^|\s|\()""`)
)

// describe is what a comment says of a field, in the words of the file: its keys in
// place of the names of fields. Where the field has none, its type's has to do.
func (c comments) describe(t reflect.Type, field string) string {
	f, _ := t.FieldByName(field)
	text := c[t.Name()+"."+field]
	if text == "" {
		text = c[elem(f.Type).Name()]
		text = strings.Replace(text, elem(f.Type).Name(), field, 1)
	}
	if text == "" {
		panic("config." + t.Name() + "." + field + " has no comment: say above it what the key means, for the schema shows it in editors")
	}
	key := func(name string) string {
		if f, ok := t.FieldByName(name); ok && f.Tag.Get("yaml") != "" {
			return f.Tag.Get("yaml")
		}
		return name
	}
	text = leading.ReplaceAllStringFunc(text, func(list string) string { return word.ReplaceAllStringFunc(list, key) })
	text = amid.ReplaceAllStringFunc(text, func(s string) string { return word.ReplaceAllStringFunc(s, key) })
	text = inner.ReplaceAllStringFunc(text, key)
	return absent.ReplaceAllString(text, "${1}left out")
}
