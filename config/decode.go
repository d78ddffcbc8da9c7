package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/evergate/evergate/internal/secret"
)

// decoder walks nodes into structs whose fields carry their key in a `yaml`
// tag. It goes on after a fault, so that all of them come at once.
type decoder struct {
	*document
	getenv func(string) (string, bool)
}

// notYet is the type of a key that belongs to the design and does not work in
// this version.
type notYet struct{}

// scalar is a type that reads itself from the text of a value.
type scalar interface{ fromText(string) error }

func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	d.places[path] = n
	switch v.Interface().(type) {
	case notYet:
		d.fault(n, path, "this is part of the design and does not work in this version", "remove it")
		return
	case time.Duration, slog.Level, netip.Prefix, *url.URL, secret.Text:
		d.scalar(n, v, path)
		return
	case Value:
		v.Set(reflect.ValueOf(d.value(n, path)))
		return
	}
	if p, ok := v.Addr().Interface().(preset); ok {
		p.setDefaults()
	}
	if a, ok := v.Addr().Interface().(abbreviated); ok && !(isNull(n) && v.Kind() == reflect.Slice) {
		if part := a.short(n.Kind); part != nil {
			d.decode(n, reflect.ValueOf(part).Elem(), path)
			return
		}
	}
	if _, ok := v.Addr().Interface().(scalar); ok {
		d.scalar(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), path)
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Map:
		d.words(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return // a heading whose lines are all comments
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "want keys and values here, got "+kindOf(n), "")
		return
	}
	known := keysOf(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		field := slices.Index(known, k.Value)
		if field < 0 {
			d.unknown(k, path, known)
			continue
		}
		d.decode(value, v.Field(fieldFor(v.Type(), k.Value)), sub(path, k.Value))
	}
}

// words reads a mapping of the file's own words to values.
func (d *decoder) words(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "want names and values here, got "+kindOf(n), "")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(n.Content[i+1], value, sub(path, n.Content[i].Value))
		v.SetMapIndex(reflect.ValueOf(n.Content[i].Value), value)
	}
}

func (d *decoder) unknown(k *yaml.Node, path string, known []string) {
	where := ""
	if path != "" {
		where = " under " + path
	}
	hint := "the keys here are " + strings.Join(known, ", ")
	if near := nearest(k.Value, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	d.fault(k, "", fmt.Sprintf("unknown key %q%s", k.Value, where), hint)
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "want a list here, got "+kindOf(n), "write [ … ] around it, or lines that begin with -")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.decode(c, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "want a single value here, got "+kindOf(n), "")
		return
	}
	if isNull(n) {
		d.fault(n, path, "there is no value", "give it one, or remove the line")
		return
	}
	text, err := expand(n.Value, d.getenv)
	if err == nil {
		err = setScalar(v, text)
	}
	if err != nil {
		d.fault(n, path, err.Error(), "")
	}
}

func setScalar(v reflect.Value, text string) error {
	if s, ok := v.Addr().Interface().(scalar); ok {
		return s.fromText(text)
	}
	switch v.Interface().(type) {
	case time.Duration:
		x, err := parseDuration(text)
		v.SetInt(int64(x))
		return err
	case slog.Level:
		if err := v.Addr().Interface().(*slog.Level).UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("want debug, info, warn or error, got %q", text)
		}
		return nil
	case netip.Prefix:
		p, err := parsePrefix(text)
		v.Set(reflect.ValueOf(p))
		return err
	case *url.URL:
		u, err := url.Parse(text)
		if err != nil {
			return fmt.Errorf("%q is not a URL", text)
		}
		v.Set(reflect.ValueOf(u))
		return nil
	}
	if _, ok := v.Interface().(secret.Text); ok {
		v.Set(reflect.ValueOf(secret.New(text)))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil || (text != "true" && text != "false") {
			return fmt.Errorf("want true or false, got %q", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("want a whole number, got %q", text)
		}
		v.SetInt(int64(n))
	default:
		return fmt.Errorf("a key of type %s cannot be read", v.Type())
	}
	return nil
}

// keysOf are the keys of a struct, in its order.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldFor(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return i
		}
	}
	return -1
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return "a single value"
}

// nearest finds the word that was probably meant, or "".
func nearest(word string, among []string) string {
	best, least := "", 1+len(word)/3
	for _, a := range among {
		if dist := distance(strings.ToLower(word), a); dist <= least {
			best, least = a, dist-1
		}
	}
	return best
}

// distance is how many letters must be typed, dropped, changed or swapped with
// their neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
