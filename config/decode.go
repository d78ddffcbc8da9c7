package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"reflect"
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
	known  map[reflect.Type]keysOf
}

// scalar is a type that reads itself from the text of a value.
type scalar interface{ fromText(string) error }

func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if d.full() {
		return
	}
	d.places[path] = n
	if n.Kind == yaml.AliasNode {
		return // it was told of
	}
	switch v.Interface().(type) {
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
		d.unreadable(n, path, "want keys and values here, got "+kindOf(n), "")
		return
	}
	known := d.keysOf(v.Type())
	for i := 0; i+1 < len(n.Content) && !d.full(); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		switch field, ok := known.field[k.Value]; {
		case ok:
			d.decode(value, v.Field(field), sub(path, k.Value))
		case k.Tag != "!!merge" && k.Kind == yaml.ScalarNode: // those were told of
			d.unknown(k, path, known.all)
		}
	}
}

// words reads a mapping of the file's own words to values.
func (d *decoder) words(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.unreadable(n, path, "want names and values here, got "+kindOf(n), "")
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
		d.unreadable(n, path, "want a list here, got "+kindOf(n), "write [ … ] around it, or lines that begin with -")
		return
	}
	if len(n.Content) > maxEntries && elem(v.Type()).Kind() == reflect.Struct {
		d.unreadable(n, path, fmt.Sprintf("a list has %d entries at most, and this one has %d", maxEntries, len(n.Content)), "")
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
		d.unreadable(n, path, "want a single value here, got "+kindOf(n), "")
		return
	}
	if isNull(n) {
		d.unreadable(n, path, "there is no value", "give it one, or remove the line")
		return
	}
	text, err := expand(n.Value, d.getenv)
	if err == nil {
		err = setScalar(v, text)
	}
	if err != nil {
		d.unreadable(n, path, err.Error(), meant(v, text))
	}
}

// meant is what somebody probably wanted to say who wrote text for a value.
func meant(v reflect.Value, text string) string {
	switch v.Interface().(type) {
	case time.Duration:
		if _, err := strconv.ParseUint(text, 10, 32); err == nil {
			return fmt.Sprintf("write %ss, if seconds are meant", text)
		}
	case csrfSwitch:
		if near := nearest(text, []string{"on", "off"}); near != "" {
			return "did you mean " + near + "?"
		}
		return "write csrf: on"
	case slog.Level:
		if near := nearest(text, []string{"debug", "info", "warn", "error"}); near != "" {
			return fmt.Sprintf("did you mean %s?", near)
		}
	}
	if v.Kind() == reflect.Bool {
		switch strings.ToLower(text) {
		case "yes", "on", "y", "1", "true":
			return "write true"
		case "no", "off", "n", "0", "false":
			return "write false"
		}
	}
	return ""
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

// keysOf are those of a struct, in its order, and the fields that they are for.
type keysOf struct {
	all   []string
	field map[string]int
}

// keysOf looks at a type once.
func (d *decoder) keysOf(t reflect.Type) keysOf {
	if known, ok := d.known[t]; ok {
		return known
	}
	k := keysOf{field: map[string]int{}}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			k.all = append(k.all, key)
			k.field[key] = i
		}
	}
	if d.known == nil {
		d.known = map[reflect.Type]keysOf{}
	}
	d.known[t] = k
	return k
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

// maxWord is what is compared with others: what is longer was not mistyped.
const maxWord = 64

// maxListed is how many names a fault lists, or looks through for what was meant.
const maxListed = 40

// listed puts names into a sentence.
func listed(names []string) string {
	if more := len(names) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// nearest finds the word that was probably meant, or "".
func nearest(word string, among []string) string {
	best, least := "", 1+len(word)/3
	if len(word) > maxWord {
		return ""
	}
	for _, a := range among[:min(len(among), maxListed)] {
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
