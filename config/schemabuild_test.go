package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// object is a JSON object whose members keep their order, which is that of the structs.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(append(append(name, ':'), value...))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal leaves < and > as they are, for people read this too.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// schemaBuilder walks the types of a config.
type schemaBuilder struct {
	comments comments
	wants    map[string]bounds // by type and key, such as "Match.methods[]"
	defs     map[string]object
	order    []string
}

// buildSchema makes the schema of the type of value, which has the defaults. It panics
// with what to add where it meets a type that it does not know.
func buildSchema(value reflect.Value, c comments, wants map[string]bounds) []byte {
	b := &schemaBuilder{comments: c, wants: wants, defs: map[string]object{}}
	root := object{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "The config of Evergate"}}
	root = append(root, b.structure(value, "object")...)
	defs := object{{"variable", object{{"$comment", "${VAR} is filled in when the file is read."}, {"type", "string"}, {"pattern", `\$\{`}}}}
	slices.Sort(b.order)
	for _, name := range b.order {
		defs = append(defs, member{name, b.defs[name]})
	}
	compact, err := marshal(append(root, member{"$defs", defs}))
	if err != nil {
		panic(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		panic(err)
	}
	return append(out.Bytes(), '\n')
}

// structure is the schema of a mapping with keys.
func (b *schemaBuilder) structure(v reflect.Value, kinds any) object {
	t := v.Type()
	properties := object{}
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		if key == "" {
			continue
		}
		property := object{{"description", b.comments.describe(t, f.Name) + b.inWords(t.Name()+"."+key)}}
		if d, ok := defaultOf(v.Field(i)); ok {
			property = append(property, member{"default", d})
		}
		properties = append(properties, member{key, append(property, b.schema(f.Type, v.Field(i), t.Name()+"."+key)...)})
	}
	return object{{"type", kinds}, {"properties", properties}, {"additionalProperties", false}}
}

// schema is that of a value; at is its type and key.
func (b *schemaBuilder) schema(t reflect.Type, v reflect.Value, at string) object {
	if alternatives, ok := shapes[t]; ok {
		return orVariable(alternatives...)
	}
	if _, ok := reflect.New(t).Interface().(scalar); ok {
		panic(fmt.Sprintf("%s (%s) reads itself from text: add what it looks like to shapes in schemashapes_test.go", t, at))
	}
	whole := b.whole(t, v, at)
	short, ok := reflect.New(t).Interface().(abbreviated)
	if !ok {
		return whole
	}
	var alternatives []any
	for _, kind := range []yaml.Kind{yaml.ScalarNode, yaml.SequenceNode, yaml.MappingNode} {
		if part := short.short(kind); part != nil {
			pt := reflect.TypeOf(part).Elem()
			alternative := b.schema(pt, reflect.Zero(pt), partOf(short, part, at))
			if kind == yaml.MappingNode { // a mapping may be empty, but nothing is no mapping in short
				alternative = object{{"allOf", []any{alternative, object{{"type", "object"}}}}}
			}
			alternatives = append(alternatives, alternative)
		}
	}
	if t.Kind() == reflect.Map { // where there is a short form, nothing is an unfinished one
		whole = object{{"allOf", []any{whole, object{{"type", "object"}}}}}
	}
	return object{{"anyOf", append(alternatives, whole)}}
}

// partOf is where a short form stands: a key of the long form, so that what the checks
// want of that binds both, or the first of a list.
func partOf(whole abbreviated, part any, at string) string {
	v := reflect.ValueOf(whole).Elem()
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if key := v.Type().Field(i).Tag.Get("yaml"); key != "" && v.Field(i).Addr().Interface() == part {
				return v.Type().Name() + "." + key
			}
		}
	}
	return at + "[]"
}

// whole is the schema of the long form of a value.
func (b *schemaBuilder) whole(t reflect.Type, v reflect.Value, at string) object {
	switch t.Kind() {
	case reflect.Pointer:
		return b.schema(t.Elem(), reflect.Zero(t.Elem()), at)
	case reflect.Struct:
		if !hasKeys(t) {
			break
		}
		return object{{"$ref", "#/$defs/" + b.define(t, v)}}
	case reflect.Slice:
		return object{{"type", "array"}, {"items", b.schema(t.Elem(), reflect.Zero(t.Elem()), at+"[]")}}
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			break
		}
		return object{{"type", []string{"object", "null"}}, {"additionalProperties", b.schema(t.Elem(), reflect.Zero(t.Elem()), at+"{}")}}
	case reflect.String:
		if want, ok := b.wants[at]; ok {
			return orVariable(object{{"enum", want.among}})
		}
		return object{{"type", anyValue}}
	case reflect.Bool:
		return orVariable(object{{"type", "boolean"}}, object{{"enum", []string{"true", "false"}}})
	case reflect.Int:
		return orVariable(b.number(at), object{{"type", "string"}, {"pattern", "^[+-]?[0-9]+$"}})
	}
	panic(fmt.Sprintf("the schema knows no values of type %s (%s): add them to whole in schemabuild_test.go, or to shapes in schemashapes_test.go", t, at))
}

// number is a whole number, in its range if there is one.
func (b *schemaBuilder) number(at string) object {
	n := object{{"type", "integer"}}
	want, ok := b.wants[at]
	if !ok {
		return n
	}
	n = append(n, member{"minimum", want.least}, member{"maximum", want.most})
	if want.orZero {
		return object{{"anyOf", []object{{{"const", 0}}, n}}}
	}
	return n
}

// inWords tells a range that no schema can, that of durations.
func (b *schemaBuilder) inWords(at string) string {
	want, ok := b.wants[at]
	least, isTime := want.least.(time.Duration)
	if !ok || !isTime {
		return ""
	}
	zero := ""
	if want.orZero && least > 0 {
		zero = ", or 0"
	}
	return fmt.Sprintf(" From %s to %s%s.", inDays(least), inDays(want.most.(time.Duration)), zero)
}

// define makes the definition of a struct once.
func (b *schemaBuilder) define(t reflect.Type, v reflect.Value) string {
	name := t.Name()
	if _, ok := b.defs[name]; ok {
		return name
	}
	b.defs[name] = nil // it may hold itself
	b.order = append(b.order, name)
	if v.IsZero() {
		v = reflect.New(t).Elem()
		switch d := v.Addr().Interface().(type) {
		case preset:
			d.setDefaults()
		case interface{ fill() }:
			d.fill()
		}
	}
	var kinds any = []string{"object", "null"} // a heading whose lines are all comments
	if _, ok := reflect.New(t).Interface().(abbreviated); ok {
		kinds = "object"
	}
	b.defs[name] = b.structure(v, kinds)
	return name
}

// orVariable allows ${VAR} beside the alternatives.
func orVariable(alternatives ...object) object {
	any := make([]any, 0, len(alternatives)+1)
	for _, a := range alternatives {
		any = append(any, a)
	}
	return object{{"anyOf", append(any, object{{"$ref", "#/$defs/variable"}})}}
}

// defaultOf is the value of a key that is left out, if it is one to show.
func defaultOf(v reflect.Value) (any, bool) {
	n := show(v)
	if n == nil || n.Kind == yaml.MappingNode || v.Kind() == reflect.Struct && hasKeys(v.Type()) {
		return nil, false
	}
	if n.Kind == yaml.ScalarNode {
		return plain(v, n), true
	}
	list := []any{}
	for i, c := range n.Content {
		if c.Kind != yaml.ScalarNode {
			return nil, false
		}
		list = append(list, plain(v.Index(i), c))
	}
	return list, true
}

func plain(v reflect.Value, n *yaml.Node) any {
	switch {
	case v.Kind() == reflect.Bool:
		return n.Value == "true"
	case v.Type() == reflect.TypeFor[int]():
		i, err := strconv.Atoi(n.Value)
		if err != nil {
			panic(err)
		}
		return i
	}
	return n.Value
}
