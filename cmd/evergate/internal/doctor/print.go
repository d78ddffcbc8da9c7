package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// colors are quiet: only the first word has one.
var colors = map[Status]string{OK: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[31m", Skip: "\x1b[2m"}

// widest is beyond what the others are moved aside for.
const widest = 48

// Print writes a line for each finding, and its mend on the next.
func Print(w io.Writer, all []Finding, color bool) {
	wide := 0
	for _, f := range all {
		if n := utf8.RuneCountInString(f.label()); n <= widest {
			wide = max(wide, n)
		}
	}
	for _, f := range all {
		status := fmt.Sprintf("%-4s", f.Status)
		if color {
			status = colors[f.Status] + status + "\x1b[0m"
		}
		label := f.label()
		fmt.Fprintf(w, "%s  %s%s  %s\n", status, label, strings.Repeat(" ", max(wide-utf8.RuneCountInString(label), 0)), oneLine(f.Text))
		if f.Mend != "" {
			fmt.Fprintf(w, "      %s\n", "mend: "+oneLine(f.Mend))
		}
	}
}

func (f *Finding) label() string {
	if f.About == "" {
		return f.Probe
	}
	return f.Probe + " " + oneLine(f.About)
}

// oneLine keeps what servers said from moving the cursor of a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

// PrintJSON writes the findings as one array.
func PrintJSON(w io.Writer, all []Finding) error {
	if all == nil {
		all = []Finding{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(all)
}
