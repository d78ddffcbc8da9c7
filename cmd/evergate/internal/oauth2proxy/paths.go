package oauth2proxy

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// An expression of oauth2-proxy is looked for anywhere in a path. A path of Evergate
// matches itself alone, and with a / at its end everything below it. What is made
// here never matches a path that the expression does not.

// most is how many paths one expression may stand for.
const most = 32

// piece is a part of a path as an expression has it.
type piece struct {
	text  string
	what  int
	loose bool // it matches more than the text does
}

const (
	literal = iota
	begin
	end
	segment // [^/]+
	rest    // .*
)

// pathsOf gives paths that an expression matches, whether it matches others too, and
// whether there are any.
func pathsOf(expr string) (paths []string, more, ok bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, false, false
	}
	for _, pieces := range expand(re) {
		if pieces == nil {
			more = true
			continue
		}
		got, whole := pathOf(pieces)
		more = more || !whole
		for _, p := range got {
			if !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
		}
	}
	return paths, more, len(paths) > 0
}

var safePath = regexp.MustCompile(`^/[A-Za-z0-9._~@:+,=!$&'()/*-]*$`)

// pathOf makes paths of one alternative. whole is whether they are all that it matches.
func pathOf(pieces []piece) (paths []string, whole bool) {
	whole = true
	if len(pieces) > 0 && pieces[0].what == begin {
		pieces = pieces[1:]
	} else {
		whole = false // it may stand anywhere in a path
	}
	exact := false
	switch n := len(pieces); {
	case n > 0 && pieces[n-1].what == end:
		exact = true
		pieces = pieces[:n-1]
	}
	if n := len(pieces); n > 0 && pieces[n-1].what == rest {
		exact = false
		pieces = pieces[:n-1]
	}
	var b strings.Builder
	for i, p := range pieces {
		switch p.what {
		case literal:
			if strings.Contains(p.text, "*") {
				return nil, false
			}
			b.WriteString(p.text)
		case segment:
			if !strings.HasSuffix(b.String(), "/") || i+1 < len(pieces) && !strings.HasPrefix(pieces[i+1].text, "/") {
				return nil, false // it is a part of a segment
			}
			b.WriteByte('*')
		default:
			return nil, false // there is more in the middle
		}
		whole = whole && !p.loose
	}
	p := b.String()
	if !safePath.MatchString(p) || strings.Contains(p, "//") || slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool { return s == "." || s == ".." }) {
		return nil, false
	}
	switch {
	case exact && strings.HasSuffix(p, "/"):
		return nil, false // here this would be all below it
	case exact:
		return []string{p}, whole
	case strings.HasSuffix(p, "/"):
		return []string{p}, whole
	}
	return []string{p, p + "/"}, false // not /static-old for /static
}

// expand lists the alternatives of an expression. nil stands for one that is no path.
func expand(re *syntax.Regexp) [][]piece {
	no := [][]piece{nil}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return [][]piece{{}}
	case syntax.OpBeginText:
		return [][]piece{{{what: begin}}}
	case syntax.OpEndText:
		return [][]piece{{{what: end}}}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 && slices.ContainsFunc(re.Rune, unicode.IsLetter) {
			return no
		}
		return [][]piece{{{text: string(re.Rune)}}}
	case syntax.OpAnyCharNotNL, syntax.OpAnyChar:
		return [][]piece{{{text: ".", loose: true}}} // people write .ico and mean it
	case syntax.OpCharClass:
		return oneEach(re)
	case syntax.OpCapture:
		return expand(re.Sub[0])
	case syntax.OpQuest:
		return append([][]piece{{}}, expand(re.Sub[0])...)
	case syntax.OpStar, syntax.OpPlus:
		sub := re.Sub[0]
		switch {
		case re.Op == syntax.OpStar && (sub.Op == syntax.OpAnyCharNotNL || sub.Op == syntax.OpAnyChar):
			return [][]piece{{{what: rest}}}
		case re.Op == syntax.OpPlus && sub.Op == syntax.OpCharClass && slices.Equal(sub.Rune, []rune{0, '/' - 1, '/' + 1, unicode.MaxRune}):
			return [][]piece{{{what: segment}}}
		}
	case syntax.OpAlternate:
		var all [][]piece
		for _, sub := range re.Sub {
			if all = append(all, expand(sub)...); len(all) > most {
				return no
			}
		}
		return all
	case syntax.OpConcat:
		all := [][]piece{{}}
		for _, sub := range re.Sub {
			var longer [][]piece
			tails := expand(sub)
			for _, head := range all {
				for _, tail := range tails {
					if head == nil || tail == nil {
						longer = append(longer, nil)
						continue
					}
					longer = append(longer, slices.Concat([]piece{}, head, tail))
				}
			}
			if all = longer; len(all) > most {
				return no
			}
		}
		return all
	}
	return no
}

// oneEach lists the letters of a small class.
func oneEach(re *syntax.Regexp) (all [][]piece) {
	for i := 0; i+1 < len(re.Rune); i += 2 {
		for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
			if all = append(all, []piece{{text: string(r)}}); len(all) > 10 {
				return [][]piece{nil}
			}
		}
	}
	return all
}
