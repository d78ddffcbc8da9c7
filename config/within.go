package config

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// FaultIn is Fault for a place within the text at path: a line and a column of it, both
// counted from 1. Where the text does not stand in the file as it is, as after escapes,
// the whole of it is meant.
func (c *Config) FaultIn(path string, line, column int, msg string) *Fault {
	f := c.Fault(path, msg)
	if c.doc == nil || c.doc.places[path] == nil {
		return f
	}
	n := c.doc.places[path]
	at, col, ok := c.doc.within(n, line, column)
	if !ok {
		return f
	}
	f.Line, f.Column, f.source, f.width = at, col, c.doc.lines[at-1], 1
	return f
}

// within finds a place of the text of n in the file. YAML folds lines: each counts
// without what it is indented by, and one space or newline joins it to the next.
func (d *document) within(n *yaml.Node, line, column int) (at, col int, ok bool) {
	text := []rune(n.Value)
	want := 0
	for ; line > 1; line-- {
		end := strings.IndexRune(string(text[want:]), '\n')
		if end < 0 {
			return 0, 0, false
		}
		want += len([]rune(string(text[want:])[:end])) + 1
	}
	want += column - 1
	first, from := n.Line, n.Column-1
	indent := maxFile // of a block, which keeps what is beyond it; elsewhere all of it goes
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		first, from = n.Line+1, 0
		if first <= len(d.lines) {
			indent = len(d.lines[first-1]) - len(strings.TrimLeft(d.lines[first-1], " "))
		}
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		from++ // the quote
	}
	for at, pos := first, 0; at <= len(d.lines); at, from = at+1, 0 {
		source := []rune(d.lines[at-1])
		if from > len(source) {
			return 0, 0, false
		}
		begin := from
		for begin < len(source) && source[begin] == ' ' && begin-from < indent && at > n.Line {
			begin++
		}
		same := 0
		for begin+same < len(source) && pos+same < len(text) && source[begin+same] == text[pos+same] {
			same++
		}
		if want <= pos+same && want >= pos {
			return at, begin + want - pos + 1, want < pos+same || want == len(text)
		}
		if pos += same; pos >= len(text) || text[pos] != ' ' && text[pos] != '\n' {
			return 0, 0, false
		}
		pos++
	}
	return 0, 0, false
}
