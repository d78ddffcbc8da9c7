package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Message is a text of the pages as it stands in the source: in English, with {name} for
// each part that changes. It is the key of its translations (messages/*.json). Every
// constant of this type is collected by a test, so that none can miss its translation.
type Message string

// Verbatim is a text that is in no language: a name, or what an operator wrote.
func Verbatim(s string) Message { return Message(s) }

// Args are the parts of a Message that change, by name. A value is a string, which is
// shown as it is; an int, which chooses the plural where its name is "count"; a Message or
// a Text, which is translated; a Capital of one; or template.HTML of the pages' own.
type Args map[string]any

// Text is a Message with its parts. In the source it stands in English, and so does
// what String makes of it, for logs and programs.
type Text struct {
	Message Message
	Args    Args
}

// Capital is a value that begins a sentence.
type Capital struct{ Of any }

// T returns the Text of a message with its parts: name, value, name, value.
func T(m Message, pairs ...any) Text {
	t := Text{Message: m}
	if len(pairs) > 0 {
		t.Args = make(Args, len(pairs)/2)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		t.Args[name] = pairs[i+1]
	}
	return t
}

func (t Text) String() string { return english.plain(t) }

// IsZero reports whether t says nothing.
func (t Text) IsZero() bool { return t.Message == "" }

// Join makes one Text of several, two at a time by joint, which has {a} and {b}.
func Join(joint Message, all ...Text) Text {
	if len(all) == 0 {
		return Text{}
	}
	out := all[0]
	for _, next := range all[1:] {
		out = T(joint, "a", out, "b", next)
	}
	return out
}

// plain says x in the language of l.
func (l *tongue) plain(x Text) string { return l.expand(x, l.plainValue) }

// html says x for a page. Its parts are escaped, and so is the message: markup comes from
// the pages alone.
func (l *tongue) html(x Text) template.HTML {
	x.Message = Message(template.HTMLEscapeString(string(l.form(x))))
	return template.HTML(fill(string(x.Message), x.Args, l.htmlValue))
}

func (l *tongue) expand(x Text, value func(any) string) string {
	return fill(string(l.form(x)), x.Args, value)
}

// fill puts the values in place of their names, in one pass: what a value holds is never
// taken for a name.
func fill(s string, args Args, value func(any) string) string {
	if len(args) == 0 || !strings.Contains(s, "{") {
		return s
	}
	var b strings.Builder
	for s != "" {
		before, rest, _ := strings.Cut(s, "{")
		b.WriteString(before)
		if len(before) == len(s) {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		v, known := args[name]
		if !closed || !known {
			b.WriteString("{")
			s = rest
			continue
		}
		b.WriteString(value(v))
		s = after
	}
	return b.String()
}

func (l *tongue) plainValue(v any) string {
	switch v := v.(type) {
	case Text:
		return l.plain(v)
	case Message:
		return l.plain(Text{Message: v})
	case Capital:
		return capital(l.plainValue(v.Of))
	case int:
		return strconv.Itoa(v)
	case time.Time:
		if l.rtl {
			return "\u2066" + l.date(v) + "\u2069"
		}
		return l.date(v)
	case template.HTML:
		return string(v)
	case string:
		if l.apart(v) {
			return "\u2068" + v + "\u2069"
		}
		return v
	}
	return l.plainValue(fmt.Sprint(v))
}

func (l *tongue) htmlValue(v any) string {
	switch v := v.(type) {
	case Text:
		return string(l.html(v))
	case Message:
		return string(l.html(Text{Message: v}))
	case Capital: // what is said in between is as long as a word or two: no markup is lost
		return template.HTMLEscapeString(capital(l.plainValue(v.Of)))
	case template.HTML:
		return string(v)
	case int:
		return l.plainValue(v)
	case time.Time: // one thing: 2026-11-27 would be shown as 27-11-2026 otherwise
		if l.rtl {
			return `<bdi dir="ltr">` + l.date(v) + "</bdi>"
		}
		return l.date(v)
	case string:
		if l.apart(v) {
			return "<bdi>" + template.HTMLEscapeString(v) + "</bdi>"
		}
		return template.HTMLEscapeString(v)
	}
	return l.htmlValue(fmt.Sprint(v))
}

// apart reports whether v may run the other way than the words around it, so that it has
// to be kept apart (Unicode Bidirectional Algorithm, isolates): a host in Arabic, say.
func (l *tongue) apart(v string) bool {
	return l.rtl || strings.ContainsFunc(v, func(r rune) bool {
		return r >= 0x590 && unicode.In(r, unicode.Arabic, unicode.Hebrew, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Adlam, unicode.Hanifi_Rohingya)
	})
}

func (l *tongue) date(t time.Time) string {
	if l.tag == english.tag {
		return t.UTC().Format("2 January 2006, 15:04 MST")
	}
	return t.UTC().Format("2006-01-02 15:04 MST")
}

func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || r == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
