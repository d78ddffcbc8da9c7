package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"reflect"
	"time"

	"github.com/evergate/evergate/internal/secret"
)

// anyValue is what a scalar may be in YAML: the decoder goes by how it is written.
var anyValue = []string{"string", "number", "boolean"}

// patterns for what reads itself from text (ECMA 262, with which JSON Schema goes).
const (
	durationPattern = `^([+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+|[+-]?0|[0-9]+d)$`
	prefixPattern   = `^[0-9A-Fa-f:.]+(%[^/]+)?(/[0-9]{1,3})?$`
	levelPattern    = `^([Dd][Ee][Bb][Uu][Gg]|[Ii][Nn][Ff][Oo]|[Ww][Aa][Rr][Nn]|[Ee][Rr][Rr][Oo][Rr])([+-][0-9]+)?$`
	sharePattern    = `^\+?(0*\.[0-9]+|0+\.?[0-9]*|0*1\.?0*)([eE][+]?0+)?$`
	percentPattern  = `^\+?0*([1-9]|[1-8][0-9]|90)%$`
)

// shapes are what the values of types look like that read themselves: each in
// alternatives, beside ${VAR}. A type with a fromText has its line here.
var shapes = map[reflect.Type][]object{
	reflect.TypeFor[time.Duration](): {{{"type", "string"}, {"pattern", durationPattern}}, {{"const", 0}}},
	reflect.TypeFor[slog.Level]():    {{{"enum", []string{"debug", "info", "warn", "error"}}}, {{"type", "string"}, {"pattern", levelPattern}}},
	reflect.TypeFor[netip.Prefix]():  {{{"type", "string"}, {"pattern", prefixPattern}}},
	reflect.TypeFor[*url.URL]():      {{{"type", anyValue}}},
	reflect.TypeFor[Value]():         {{}},
	reflect.TypeFor[requestLine]():   {{{"type", anyValue}}},
	reflect.TypeFor[oneText]():       {{{"type", anyValue}}},
	reflect.TypeFor[csrfSwitch]():    {{{"enum", []string{"on", "off"}}}},
	reflect.TypeFor[secret.Text]():   {{{"type", anyValue}}},
	reflect.TypeFor[Size]():          {{{"type", "integer"}, {"minimum", 0}}, {{"type", "string"}, {"pattern", `^[0-9]+\s*(GiB|MiB|KiB|B)?$`}}},
	reflect.TypeFor[Share]():         {{{"type", "number"}, {"minimum", 0}, {"maximum", 1}}, {{"type", "string"}, {"pattern", sharePattern}}},
	reflect.TypeFor[RenewBefore](): {{{"type", "string"}, {"pattern", percentPattern}},
		{{"type", "string"}, {"pattern", durationPattern}}},
}
