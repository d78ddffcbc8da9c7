package auth

import "strings"

// Claim finds a claim by its name, which may have dots and slashes in it, or
// else by a dotted path. Nil is none.
func Claim(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	name, rest, ok := strings.Cut(path, ".")
	for ; ok; name, rest, ok = cutNext(name, rest) {
		if inner, isMap := claims[name].(map[string]any); isMap {
			if v := Claim(inner, rest); v != nil {
				return v
			}
		}
	}
	return nil
}

// cutNext moves the cut to the next dot: "https://a.b/roles.x" has its name
// before the last one.
func cutNext(name, rest string) (string, string, bool) {
	more, after, ok := strings.Cut(rest, ".")
	return name + "." + more, after, ok
}
