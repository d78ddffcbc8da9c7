package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample is a config that stands somewhere in the repository, and loads.
type sample struct{ where, text string }

func noEnvironment(string) (string, bool) { return "", false }

// samples are all configs of the repository that load: the example, with and without
// what is commented out in it, the blocks of every guide, the files of the scripts and
// what stands in tests.
func samples(t *testing.T) (all []sample) {
	t.Helper()
	add := func(where, text string) bool {
		_, err := Parse(where, []byte(text), noEnvironment)
		if err == nil {
			all = append(all, sample{where, text})
		}
		return err == nil
	}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := e.Name(); e.IsDir() && (name == "node_modules" || name == "bad" || strings.HasPrefix(name, ".") && name != "..") {
			return filepath.SkipDir
		}
		if !slices.Contains([]string{".md", ".yaml", ".yml", ".txtar", ".go"}, filepath.Ext(path)) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, text := range texts(path, string(data)) {
			add(fmt.Sprintf("%s (%d)", path, i+1), text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// texts are what may be configs in a file.
func texts(path, data string) (all []string) {
	switch filepath.Ext(path) {
	case ".md":
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(data, -1) {
			all = append(all, filledIn(block[1]))
		}
	case ".txtar":
		for _, part := range regexp.MustCompile(`(?m)^-- .* --\n`).Split(data, -1) {
			part = strings.NewReplacer("$PORT", "18080", "$ADMIN", "18081", "$APP", "18082").Replace(part)
			all = append(all, part)
		}
	case ".go":
		f, err := parser.ParseFile(token.NewFileSet(), path, data, parser.SkipObjectResolution)
		if err != nil {
			return nil
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "public_url:") {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					all = append(all, text)
				}
			}
			return true
		})
	default:
		all = append(all, data)
		if strings.HasSuffix(path, "config.example.yaml") {
			all = append(all, uncommented(data), provider(data))
		}
	}
	return all
}

// filledIn adds what a guide leaves out for it is not about that.
func filledIn(text string) string {
	identity := "{ local: { users_file: users.yaml } }"
	if strings.Contains(text, "store: cookie") {
		identity = "{ oidc: { issuer: \"https://login.example.com\", client_id: evergate, client_secret_file: s } }"
	}
	for _, rest := range []string{"public_url: https://apps.example.com", "identity: [" + identity + "]", "routes: [{ upstream: \"http://127.0.0.1:9000\" }]"} {
		if key, _, _ := strings.Cut(rest, " "); !strings.Contains("\n"+text, "\n"+key) {
			text = rest + "\n" + text
		}
	}
	return text
}

// uncommented is the example with every commented default switched on.
func uncommented(text string) string {
	yamlish := regexp.MustCompile(`^( *)(# .*|[a-z_]+:.*)$`)
	return regexp.MustCompile(`(?m)^#( *[a-z_#].*)$`).ReplaceAllStringFunc(text, func(s string) string {
		body := strings.TrimPrefix(strings.TrimPrefix(s, "#"), " ")
		if m := yamlish.FindStringSubmatch(body); m == nil || strings.HasPrefix(m[2], "#") {
			return s
		}
		return body
	})
}

// provider is the block of the example that is commented out as a whole.
func provider(text string) string {
	_, block, _ := strings.Cut(text, "  # - oidc:\n")
	out := "public_url: https://apps.example.com\nidentity:\n  - oidc:\n"
	for line := range strings.Lines(block) {
		body, ok := strings.CutPrefix(line, "  #     ")
		if !ok {
			break
		}
		out += "      " + body
	}
	return out + "routes: [ upstream: http://127.0.0.1:1 ]\n"
}

// wanted is what the checks want of values, heard while they look at the samples. A
// range that nobody asks about once all numbers are zero does not bind zero.
func wanted(t *testing.T, all []sample) map[string]bounds {
	t.Helper()
	wants := map[string]bounds{}
	strict := map[string]bool{}
	for _, s := range all {
		c, err := Parse(s.where, []byte(s.text), noEnvironment)
		if err != nil {
			t.Fatal(err)
		}
		asked := func(note func(at string, want bounds)) func(string, bounds) {
			return func(path string, want bounds) {
				if at := placeOf(reflect.TypeFor[Config](), path); at != "" {
					note(at, want)
				}
			}
		}
		first := map[string]bounds{}
		c.doc.asked = asked(func(at string, want bounds) { first[at] = want })
		c.validate()
		second := map[string]bool{}
		c.doc.asked = asked(func(at string, _ bounds) { second[at] = true })
		withoutNumbers(reflect.ValueOf(c).Elem())
		c.validate()
		for at, want := range first {
			if was, ok := wants[at]; ok && !reflect.DeepEqual(was, want) {
				t.Fatalf("%s: the checks want %v and elsewhere %v: a type that means two things needs two names", at, was, want)
			}
			wants[at] = want
			strict[at] = strict[at] || second[at]
		}
	}
	for at, want := range wants {
		want.orZero = !strict[at] && want.among == nil
		wants[at] = want
	}
	return wants
}

// withoutNumbers makes numbers and durations zero, everywhere below v.
func withoutNumbers(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && (hasKeys(v.Type().Elem()) || v.Type() == reflect.TypeFor[*time.Duration]()) {
			withoutNumbers(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && hasKeys(v.Type()) {
				withoutNumbers(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			withoutNumbers(v.Index(i))
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(0)
	}
}

// placeOf turns "routes[3].match.methods[0]" into "Match.methods[]", or "" where the
// path is none of a key.
func placeOf(t reflect.Type, path string) string {
	at, rest := "", path
	for rest != "" {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Struct:
			rest = strings.TrimPrefix(rest, ".")
			key := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz0123456789_"))]
			i := fieldFor(t, key)
			if key == "" || i < 0 {
				return ""
			}
			at, t, rest = t.Name()+"."+key, t.Field(i).Type, rest[len(key):]
		case reflect.Slice:
			end := strings.IndexByte(rest, ']')
			if rest[0] != '[' || end < 0 {
				return ""
			}
			at, t, rest = at+"[]", t.Elem(), rest[end+1:]
		case reflect.Map:
			rest = strings.TrimPrefix(rest, ".")
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			at, t, rest = at+"{}", t.Elem(), rest[end:]
		default:
			return ""
		}
	}
	return at
}
