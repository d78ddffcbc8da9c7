// Package pathrule reads a rule that makes one path of another: a regular
// expression (RE2, whose time is linear) and what stands in place of a match. The
// file is checked by it, and requests are served by it.
package pathrule

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxPattern bounds an expression, in bytes: its time grows with it.
const maxPattern = 1 << 10

// Rule is one that can be used.
type Rule struct {
	pattern *regexp.Regexp
	// To is what stands in place of a match.
	To []Part
}

// Part is text, or what a group of the expression matched.
type Part struct {
	Text  string
	Group int // zero is Text
}

// Error says what is wrong with a rule.
type Error struct {
	// Key is "path" or "to".
	Key string
	Msg string
	// Word is a group that is not there, and Known are those that are.
	Word  string
	Known []string
}

func (e *Error) Error() string { return e.Msg }

// Compile reads a rule. The expression holds for a path as a whole, with ^ and $
// around it or without. In to, $1 and ${name} are groups, and $$ is a dollar sign.
func Compile(pattern, to string) (*Rule, *Error) {
	fault := func(key, format string, args ...any) *Error {
		return &Error{Key: key, Msg: fmt.Sprintf(format, args...)}
	}
	switch {
	case pattern == "":
		return nil, fault("path", "the expression is missing")
	case len(pattern) > maxPattern:
		return nil, fault("path", "the expression is longer than %d bytes", maxPattern)
	case strings.ContainsFunc(pattern, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, fault("path", "it holds a character that no path has as it is; it is matched against escaped paths: write %%20 for a space, %%C3%%BC for ü")
	case !strings.HasPrefix(to, "/"):
		return nil, fault("to", "a path begins with /, got %q", to)
	case strings.ContainsAny(to, "?#"):
		return nil, fault("to", "it holds a query or a fragment; the query goes up as it came")
	}
	re, err := regexp.Compile(pattern)
	if err == nil { // it is one by itself, so it can close no bracket of these
		re, err = regexp.Compile(`\A(?:` + pattern + `)\z`)
	}
	if err != nil {
		return nil, fault("path", "it is no regular expression (RE2): %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	r := &Rule{pattern: re}
	text := func(s string) {
		if n := len(r.To); n > 0 && r.To[n-1].Group == 0 {
			r.To[n-1].Text += s
		} else {
			r.To = append(r.To, Part{Text: s})
		}
	}
	for rest := to; rest != ""; {
		before, after, found := strings.Cut(rest, "$")
		if before != "" {
			text(before)
		}
		if !found {
			break
		}
		if after, ok := strings.CutPrefix(after, "$"); ok {
			text("$")
			rest = after
			continue
		}
		name, behind, ok := groupName(after)
		if !ok {
			return nil, fault("to", "a $ without a group; write $1, or $$ for the sign itself")
		}
		group := groupOf(re, name)
		if group <= 0 {
			e := fault("to", "there is no group %s in the expression; it has %s", name, groups(re))
			e.Word, e.Known = name, slices.DeleteFunc(re.SubexpNames(), func(s string) bool { return s == "" })
			return nil, e
		}
		r.To = append(r.To, Part{Group: group})
		rest = behind
	}
	return r, nil
}

// groupName reads 1 or {name} off s. Unlike in regexp.Expand, a letter behind a
// number is text: in $1x the group is 1.
func groupName(s string) (name, behind string, ok bool) {
	if s, ok := strings.CutPrefix(s, "{"); ok {
		name, behind, ok = strings.Cut(s, "}")
		return name, behind, ok && name != ""
	}
	behind = strings.TrimLeft(s, "0123456789")
	name = s[:len(s)-len(behind)]
	return name, behind, name != ""
}

func groupOf(re *regexp.Regexp, name string) int {
	n, err := strconv.Atoi(name)
	if err != nil {
		return re.SubexpIndex(name)
	}
	if n > re.NumSubexp() {
		return -1
	}
	return n
}

func groups(re *regexp.Regexp) string {
	switch n := re.NumSubexp(); n {
	case 0:
		return "none"
	case 1:
		return "$1 alone"
	default:
		return fmt.Sprintf("$1 to $%d", n)
	}
}

// Apply returns what becomes of a path, or false where the rule is not for it.
func (r *Rule) Apply(path string) (string, bool) {
	m := r.pattern.FindStringSubmatchIndex(path)
	if m == nil {
		return "", false
	}
	var b strings.Builder
	for _, p := range r.To {
		if p.Group == 0 {
			b.WriteString(p.Text)
		} else if from, to := m[2*p.Group], m[2*p.Group+1]; from >= 0 {
			b.WriteString(path[from:to])
		}
	}
	return b.String(), true
}
