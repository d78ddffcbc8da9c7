package pathrule

import "regexp/syntax"

// Cost is about how many instructions an expression comes to: what it costs to compile,
// and the most that a byte of a path costs to match. Zero is for what is no expression.
func Cost(pattern string) int {
	if len(pattern) > maxPattern {
		return 0 // it is refused
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	return cost(re)
}

func cost(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, part := range re.Sub {
		n += cost(part)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(1, re.Min, re.Max)
	}
	return n
}
