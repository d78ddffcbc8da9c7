package auth

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ClaimKind is what a claim is, in words that hold nothing of it.
func ClaimKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case bool:
		return "a truth value"
	case []any, []string:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

// Unreachable says why Claim may find nothing at path although there is something: because what
// the path leads through is no object, or because the provider keeps the claim elsewhere (OIDC
// Core section 5.6.2). It is "" where neither is so.
func Unreachable(claims map[string]any, path string) string {
	sources, _ := claims["_claim_names"].(map[string]any)
	at := claims
	for rest := path; ; {
		// As in Claim, names may have dots in them.
		name, inner, more := strings.Cut(rest, ".")
		for ; ; name, inner, more = cutNext(name, inner) {
			if _, elsewhere := sources[name]; elsewhere {
				return fmt.Sprintf("the provider keeps the claim %s elsewhere, where it is not asked for", path)
			}
			if !more || at[name] != nil {
				break
			}
		}
		if sources = nil; !more {
			return ""
		}
		next, isObject := at[name].(map[string]any)
		if !isObject {
			return fmt.Sprintf("the claim %s lies in what is no object, but %s", path, ClaimKind(at[name]))
		}
		at, rest = next, inner
	}
}

// doubt says why the claim may be what c asks for although it does not meet c, or is "". It
// tells the claim's kind, and nothing of its value.
func (c *ClaimRule) doubt(claims map[string]any) string {
	v := Claim(claims, c.Path)
	switch v := v.(type) {
	case nil:
		if c.Exists == nil || *c.Exists {
			return Unreachable(claims, c.Path)
		}
		return ""
	case []any:
		for _, one := range v {
			if _, isText := one.(string); !isText && (one == nil || ClaimKind(one) == "a list" || ClaimKind(one) == "an object") {
				return c.told("%s in a list", ClaimKind(one), "a value")
			}
			if why := c.doubtOf(one); why != "" {
				return why
			}
		}
		return ""
	case []string:
		for _, one := range v {
			if why := c.doubtOf(one); why != "" {
				return why
			}
		}
		return ""
	}
	return c.doubtOf(v)
}

// told is "" where c asks no more than whether the claim is there.
func (c *ClaimRule) told(form, is, asks string) string {
	if c.Exists != nil {
		return ""
	}
	return fmt.Sprintf("the claim %s is %s, and the rule asks for %s", c.Path, fmt.Sprintf(form, is), asks)
}

// doubtOf is doubt about one value that does not meet c.
func (c *ClaimRule) doubtOf(v any) string {
	if c.Exists != nil {
		return ""
	}
	truths, numbers := 0, 0
	for _, want := range c.AnyOf {
		if _, ok := decimal(want); ok {
			numbers++
		} else if want == "true" || want == "false" {
			truths++
		}
	}
	asks := "a text"
	switch {
	case truths > 0 && truths == len(c.AnyOf):
		asks = "true or false"
	case numbers > 0 && numbers == len(c.AnyOf):
		asks = "a number"
	}
	switch kind := ClaimKind(v); kind {
	case "a text":
		return c.doubtOfText(v.(string), truths, asks)
	case "a truth value":
		if c.AnyOf != nil && truths == 0 {
			return c.told("%s", kind, asks)
		}
	case "a number":
		if c.AnyOf != nil && numbers == 0 {
			return c.told("%s", kind, asks)
		}
		if f, ok := v.(float64); ok && math.Abs(f) >= exactly && slices.ContainsFunc(c.AnyOf, func(want string) bool { return isFloat(want, f) }) {
			return fmt.Sprintf("the claim %s is a number with more digits than are kept", c.Path)
		}
	default:
		return c.told("%s", kind, "a value")
	}
	return ""
}

func (c *ClaimRule) doubtOfText(s string, truths int, asks string) string {
	for _, part := range nameParts(s, false) {
		if c.isValue(part) {
			return fmt.Sprintf("the claim %s has blanks or control characters in it", c.Path)
		}
		if f, err := strconv.ParseFloat(part, 64); err == nil && slices.ContainsFunc(c.AnyOf, func(want string) bool { return isFloat(want, f) }) {
			return fmt.Sprintf("the claim %s is another text for a number that the rule names", c.Path)
		}
	}
	isTruth := s == "true" || s == "false"
	if truths > 0 && !isTruth && (asks == "true or false" || strings.EqualFold(s, "true") || strings.EqualFold(s, "false")) {
		return c.told("%s", "a text", "true or false")
	}
	return ""
}

// isFloat reports whether s is a number, about as large as f.
func isFloat(s string, f float64) bool {
	w, err := strconv.ParseFloat(s, 64)
	_, isNumber := decimal(s)
	return err == nil && isNumber && w == f
}
