// Package secret holds text that must never be shown.
//
// Redaction is a type here, not a habit: whatever path a value takes to a log
// line, an error, a JSON answer or a template, it prints as [redacted]. Only
// Reveal gives the text, and a search for that word finds every place that
// handles it in the clear.
package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Mask is what a secret prints as.
const Mask = "[redacted]"

// Text is a password, token or key. The zero value is the empty secret.
type Text struct{ s string }

// New wraps s.
func New(s string) Text { return Text{s} }

// Reveal returns the text itself.
func (t Text) Reveal() string { return t.s }

// IsZero reports whether the secret is empty.
func (t Text) IsZero() bool { return t.s == "" }

// String implements fmt.Stringer; it never shows the text.
func (t Text) String() string {
	if t.s == "" {
		return ""
	}
	return Mask
}

// Format implements fmt.Formatter, so that no verb (%#v among them) shows the text.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON implements json.Marshaler.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// MarshalText implements encoding.TextMarshaler.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalYAML implements the marshaler interface of YAML packages.
func (t Text) MarshalYAML() (any, error) { return t.String(), nil }
