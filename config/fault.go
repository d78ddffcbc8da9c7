package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Fault is one thing that is wrong in a file, and where.
type Fault struct {
	// File, Line and Column say where; both count from 1, zero is unknown.
	File         string
	Line, Column int
	// Path names the value, such as "routes[2].upstream".
	Path string
	// Msg says what is wrong.
	Msg string
	// Hint says what to do about it, or "".
	Hint string

	source string // the line itself
	width  int    // of what is wrong in it
}

// Error implements error, in one line.
func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Msg)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults are all that is wrong, in the order of the file.
type Faults []*Fault

// Error implements error, a line each.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single faults.
func (fs Faults) Unwrap() []error {
	all := make([]error, len(fs))
	for i, f := range fs {
		all[i] = f
	}
	return all
}

// Sorted puts faults in the order of the file, in place, and returns them.
func (fs Faults) Sorted() Faults {
	slices.SortStableFunc(fs, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Msg, b.Msg))
	})
	return fs
}

// asError is nil where there is no fault.
func (fs Faults) asError() error {
	if len(fs) == 0 {
		return nil
	}
	fs.Sorted()
	if more := len(fs) - maxShown; more > 0 {
		from := *fs[maxShown]
		from.Path, from.Msg, from.Hint = "", fmt.Sprintf("from here on there are %d more problems", more), "mend those before it first"
		if len(fs) == maxFaults {
			from.Msg = fmt.Sprintf("from here on there are more than %d more problems", more)
		}
		fs = append(fs[:maxShown:maxShown], &from)
	}
	return fs
}

// Draw writes every fault with its line of the file and a caret under what is
// meant.
func (fs Faults) Draw(w io.Writer, color bool) {
	bold, red, end := "", "", ""
	if color {
		bold, red, end = "\x1b[1m", "\x1b[31m", "\x1b[0m"
	}
	for _, f := range fs {
		where := f.File
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
		}
		what := f.Msg
		if f.Path != "" {
			what = f.Path + ": " + f.Msg
		}
		fmt.Fprintf(w, "%s%s:%s %s\n", bold, where, end, what)
		if f.Line > 0 && f.source != "" {
			number := fmt.Sprintf("%5d", f.Line)
			line, column, width := f.excerpt()
			fmt.Fprintf(w, "%s | %s\n", number, line)
			fmt.Fprintf(w, "%s | %s%s%s%s", strings.Repeat(" ", len(number)), indent(line, column), red, strings.Repeat("^", width), end)
			if f.Hint != "" {
				fmt.Fprintf(w, " %s", f.Hint)
			}
			fmt.Fprintln(w)
		} else if f.Hint != "" {
			fmt.Fprintf(w, "      | %s\n", f.Hint)
		}
	}
}

// maxLine is how much of a line is drawn, in letters.
const maxLine = 240

// excerpt is the line, or the part of a very long one that the fault is in, with the
// column in it and the width of what is wrong.
func (f *Fault) excerpt() (line string, column, width int) {
	from, column := 1, max(f.Column, 1)
	if len(f.source) > maxLine {
		from = max(1, column-maxLine/2)
	}
	// The line may be as long as the file: it is walked, and not copied.
	begin, end, at := len(f.source), len(f.source), 0
	for i := range f.source {
		if at++; at == from {
			begin = i
		} else if at == from+maxLine {
			end = i
			break
		}
	}
	line = f.source[begin:end]
	if from > 1 {
		_, first := utf8.DecodeRuneInString(line)
		line = "…" + line[first:]
	}
	if end < len(f.source) {
		line += "…"
	}
	letters := utf8.RuneCountInString(line)
	column = min(column-from+1, letters+1)
	return line, column, max(1, min(f.width, letters-column+1))
}

// indent reaches the column, with the tabs that the line itself has.
func indent(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}
