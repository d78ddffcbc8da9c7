package oauth2proxy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// outline is the result as it grows: lines, and what is indented below them. What
// came from an earlier line of the source stands before what came from a later one.
type outline struct {
	order  int // zero is first
	lines  []string
	indent int
	kids   []*outline
	from   []*setting
	tail   string // follows the last line, as a comment
}

// add puts lines in, for what stands at order in the source.
func (o *outline) add(order int, lines ...string) *outline {
	kid := &outline{order: order, lines: lines}
	o.kids = append(o.kids, kid)
	return kid
}

// section puts in a line with more below it, indented.
func (o *outline) section(indent int, lines ...string) *outline {
	kid := o.add(0, lines...)
	kid.indent = indent
	return kid
}

// place is where o stands: its own order, or that of the first thing in it.
func (o *outline) place() int {
	first := o.order
	for _, k := range o.kids {
		if p := k.place(); p != 0 && (first == 0 || p < first) {
			first = p
		}
	}
	return first
}

func (o *outline) sort() {
	slices.SortStableFunc(o.kids, func(a, b *outline) int { return a.place() - b.place() })
}

func (o *outline) write(b *strings.Builder, indent int) {
	for i, line := range o.lines {
		b.WriteString(strings.Repeat(" ", indent) + line)
		if i == len(o.lines)-1 && o.tail != "" {
			b.WriteString("  # " + o.tail)
		}
		b.WriteByte('\n')
	}
	o.sort()
	for _, k := range o.kids {
		k.write(b, indent+o.indent)
	}
}

// comment wraps a text into lines that begin with #.
func comment(s string) (lines []string) {
	line := "#"
	for _, word := range strings.Fields(printable(s)) {
		if len(line)+1+len(word) > 96 && line != "#" {
			lines = append(lines, line)
			line = "#"
		}
		line += " " + word
	}
	return append(lines, line)
}

// printable leaves nothing that would end a comment or play with a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			return ' '
		}
		return r
	}, s)
}

var (
	plain = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./+@-]*(://[A-Za-z0-9_./:@-]*[A-Za-z0-9_/-])?$`)
	words = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
)

// scalar writes a text as YAML. What Evergate would fill in stays as it is.
func scalar(s string) string {
	s = strings.ReplaceAll(s, "${", "$${")
	if plain.MatchString(s) && !slices.Contains(words, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

// flow writes a list on one line.
func flow(all []string) string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = scalar(s)
	}
	return "[" + strings.Join(out, ", ") + "]"
}
