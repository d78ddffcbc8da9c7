package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// ClaimRule is a condition about one claim. Of a claim that is a list, one element that
// meets it is enough. Exactly one of AnyOf, Glob and Exists is set.
type ClaimRule struct {
	// Path is the claim's name, or a path with dots into it. See Claim.
	Path string
	// AnyOf are the values that it may have, as text: "true" is the truth value too, and a
	// number is all its spellings, so that 3 is 3.0 and 3e0.
	AnyOf []string
	// Glob is a pattern in which "*" stands for any text and "?" for any character.
	Glob string
	// Exists wants the claim to be there, with a value that is not null, or not to be.
	Exists *bool
}

func (r *Rule) claimsMatch(q *Question) bool {
	for i := range r.Claims {
		if !r.Claims[i].matches(q.Identity.Claims) {
			return false
		}
	}
	return true
}

func (c *ClaimRule) matches(claims map[string]any) bool {
	v := Claim(claims, c.Path)
	if c.Exists != nil {
		return (v != nil) == *c.Exists
	}
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, c.isValue)
	}
	if list, ok := v.([]string); ok {
		return slices.ContainsFunc(list, func(s string) bool { return c.isValue(s) })
	}
	return c.isValue(v)
}

func (c *ClaimRule) isValue(v any) bool {
	s, ok := scalarText(v)
	if !ok {
		return false
	}
	if c.AnyOf != nil {
		return slices.Contains(c.AnyOf, s) || c.isNumber(v)
	}
	return c.Glob != "" && Glob(c.Glob, s)
}

// isNumber reports whether v is a number that c names, in whatever spelling.
func (c *ClaimRule) isNumber(v any) bool {
	n, ok := number(v)
	return ok && slices.ContainsFunc(c.AnyOf, func(want string) bool { w, ok := decimal(want); return ok && w == n })
}

// scalarText is a claim as it would be written in a file. Objects and null are none.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64, json.Number:
		return numberText(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}

// Glob reports whether all of s is matched by pattern, in which "*" stands for any text,
// the empty one too, and "?" for any one character. Everything else is itself.
func Glob(pattern, s string) bool {
	// After the last "*" so far it is enough to try later and later: an earlier one
	// could do nothing that this one cannot.
	p, text := []rune(pattern), []rune(s)
	i, j, star, from := 0, 0, -1, 0
	for j < len(text) {
		switch {
		case i < len(p) && p[i] == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == text[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// wantsClaims names claims, in the order of the file, without what they should be: that
// may say more of other people than this one should know.
func wantsClaims(rules []ClaimRule) web.Text {
	if len(rules) == 0 {
		return web.T("a claim of an empty list")
	}
	all := make([]web.Text, len(rules))
	for i := range rules {
		all[i] = web.T("the right {claim}", "claim", rules[i].Path)
	}
	return web.Join("{a} and {b}", all...)
}

// String is the condition in short, for explanations to the operator.
func (c *ClaimRule) String() string {
	switch {
	case c.Exists != nil && *c.Exists:
		return c.Path + " exists"
	case c.Exists != nil:
		return c.Path + " does not exist"
	case c.AnyOf != nil:
		return fmt.Sprintf("%s is %s", c.Path, strings.Join(c.AnyOf, " or "))
	}
	return c.Path + " is like " + c.Glob
}
