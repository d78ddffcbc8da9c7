package config

import (
	"fmt"
	"io"
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

// WriteEffective writes the config in force as YAML: defaults filled in,
// variables expanded, secrets masked.
func (c *Config) WriteEffective(w io.Writer) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(show(reflect.ValueOf(*c))); err != nil {
		return fmt.Errorf("write the effective config: %w", err)
	}
	return enc.Close()
}

// show turns a value into nodes; nil leaves it out.
func show(v reflect.Value) *yaml.Node {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return plainText(showDuration(x))
	case *time.Duration:
		return plainText(showDuration(*x))
	case slog.Level:
		return plainText(strings.ToLower(x.String()))
	case netip.Prefix:
		return plainText(x.String())
	case *url.URL:
		return plainText(x.String())
	case secret.Text:
		if x.IsZero() {
			return nil
		}
		return text(x.String())
	case Timeouts:
		if x == (Timeouts{}) {
			return nil // of a route that waits for nobody
		}
	case *Upstream:
		if x.isShort() {
			return plainText(x.String())
		}
		return showStruct(v.Elem())
	case Value:
		n := &yaml.Node{}
		if n.Encode(x.any) != nil {
			return nil
		}
		return n
	case *CSRF:
		if x.isShort() {
			return plainText("on")
		}
	case *SecureHeaders:
		if x.isShort() {
			return plainText(x.Level)
		}
	case fmt.Stringer:
		return plainText(x.String())
	}
	switch v.Kind() {
	case reflect.Pointer:
		return show(v.Elem())
	case reflect.Struct:
		return showStruct(v)
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			if e := show(v.Index(i)); e != nil {
				n.Content = append(n.Content, e)
			}
		}
		return n
	case reflect.Map:
		if v.Len() == 0 {
			return nil
		}
		n := &yaml.Node{Kind: yaml.MappingNode}
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			if e := show(v.MapIndex(name)); e != nil {
				n.Content = append(n.Content, text(name.String()), e)
			}
		}
		return n
	case reflect.Bool:
		if !v.Bool() {
			return nil
		}
		return plainText("true")
	case reflect.Int:
		return plainText(strconv.FormatInt(v.Int(), 10))
	}
	if v.String() == "" {
		return nil
	}
	return expanded(v.String())
}

// expanded is a value that reads as itself, though it holds what would be a variable.
func expanded(s string) *yaml.Node { return text(strings.ReplaceAll(s, "${", "$${")) }

func showStruct(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if key == "" {
			continue
		}
		if e := show(v.Field(i)); e != nil {
			n.Content = append(n.Content, text(key), e)
		}
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n
}

// plainText is a plain word that needs no quotes.
func plainText(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
