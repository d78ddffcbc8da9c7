package web

import "strings"

// maxHops bounds how many trusted proxies a request may have come through. No
// real chain has as many; without a bound, a list of 64 KiB would be walked.
const maxHops = 32

// hops are the elements of a list header from its right end, where the nearest
// proxy wrote, to the left, where the client may have written what it likes. Some
// proxies add a line of their own, so that several lines are one list (RFC 9110
// section 5.3). Only what is asked for is looked at: an element further left
// cannot spoil those at its right.
type hops struct {
	lines  []string
	line   string // what is left of the last line
	open   bool   // line has an element yet, which may be empty
	quotes bool   // a comma inside quotes does not separate
	seen   int
}

// next returns the next element to the left. Ok is false at the end of the list,
// or after maxHops elements.
func (h *hops) next() (element string, ok bool) {
	if !h.open {
		if len(h.lines) == 0 {
			return "", false
		}
		last := len(h.lines) - 1
		h.line, h.lines, h.open = h.lines[last], h.lines[:last], true
	}
	if h.seen++; h.seen > maxHops {
		return "", false
	}
	i := lastComma(h.line, h.quotes)
	element = h.line[i+1:]
	if h.open = i >= 0; h.open {
		h.line = h.line[:i]
	}
	return element, true
}

// tooMany reports whether the list went on after maxHops elements.
func (h *hops) tooMany() bool { return h.seen > maxHops }

// lastComma returns the index of the last comma, or -1. With quotes, it passes
// over quoted strings. Read from the right, those of a well-formed element are
// told without a look at what stands before it: an element's text outside of
// quotes has no quote, and inside each has an odd number of backslashes in front.
func lastComma(s string, quotes bool) int {
	if !quotes {
		return strings.LastIndexByte(s, ',')
	}
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"' && (!quoted || !escaped(s[:i])):
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return i
		}
	}
	return -1
}

// escaped reports whether what follows s stands behind an open backslash.
func escaped(s string) bool {
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}
