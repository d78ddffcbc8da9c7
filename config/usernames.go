package config

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// SameName reports whether two names of users look the same or differ in the size of letters
// alone: an e with an accent may be written as one character, or as two (Unicode UAX #15).
func SameName(a, b string) bool { return folded(a) == folded(b) }

// folded is what names are told apart by.
func folded(name string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(name))) }

// difference says in what two names differ that are the same.
func difference(a, b string) string {
	if strings.EqualFold(a, b) {
		return "in letters of another size"
	}
	return "in another spelling of the same letters"
}

// badGroupName says what is wrong with the name of a group of a local user, or is "".
func badGroupName(name string) string {
	if strings.ContainsFunc(name, isUnseen) {
		return fmt.Sprintf("the group %+q has a character that does not show, so that it looks like another group; take it out", name)
	}
	if strings.TrimSpace(name) != name {
		return fmt.Sprintf("the group %+q has a blank at an end, so that it looks like another group; take it out", name)
	}
	return ""
}

// isUnseen is for characters that nobody sees in a name: control characters, formatting ones
// such as a space without width, fillers, and what only changes how its neighbour is drawn. Blanks show.
func isUnseen(r rune) bool {
	return r == '\u2800' || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
