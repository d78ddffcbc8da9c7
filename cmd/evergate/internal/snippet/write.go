package snippet

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

// dialect is a way of writing a Front down: templates/NAME.tmpl, and the functions that
// it calls. Values get into a template through these alone, so that each is quoted.
type dialect struct {
	// funcs are for the template. They return an error for what cannot be written.
	funcs template.FuncMap
	// title is its name as its makers write it.
	title string
	// parts are further documents that belong to the configuration, templates/NAME-PART.tmpl.
	parts []Part
	// after tells the operator what to do with it, in lines.
	after string
}

// Part is a further document: Name is the flag that asks for it, Says what it is.
type Part struct{ Name, Says string }

// dialects by name. Each file of a dialect puts its own in.
var dialects = map[string]dialect{}

// Dialects are the names that Write knows, sorted.
func Dialects() []string { return slices.Sorted(maps.Keys(dialects)) }

// Write writes the configuration of f.Dialect.
func Write(w io.Writer, f *Front) error { return f.write(w, f.Dialect) }

// PartWriter returns what Write is for a further document.
func PartWriter(part string) func(io.Writer, *Front) error {
	return func(w io.Writer, f *Front) error { return f.write(w, f.Dialect+"-"+part) }
}

// Parts are the further documents of a dialect, such as a script.
func Parts(name string) []Part { return dialects[name].parts }

// Title is the name of a dialect's front proxy as its makers write it.
func Title(name string) string { return dialects[name].title }

func (f *Front) write(w io.Writer, name string) error {
	d, ok := dialects[f.Dialect]
	if !ok {
		return fmt.Errorf("no front proxy %q is known, only %s", f.Dialect, strings.Join(Dialects(), ", "))
	}
	t, err := template.New(name+".tmpl").Funcs(d.funcs).Option("missingkey=error").ParseFS(templates, "templates/"+name+".tmpl")
	if err != nil {
		return fmt.Errorf("read the template of %s: %w", f.Dialect, err)
	}
	var b bytes.Buffer // nothing is printed of what has a fault further down
	if err := t.Execute(&b, f); err != nil {
		if missing, ok := errors.AsType[*Missing](err); ok {
			return missing
		}
		return fmt.Errorf("write the configuration of %s: %w", f.Dialect, err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// After tells what to do with what Write wrote, for people.
func After(name string) string { return dialects[name].after }
