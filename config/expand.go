package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?$`)

// expand fills in ${VAR}, ${VAR:-default} and ${VAR:?why}. It works on a value
// after parsing, so what comes in is never read as YAML, and a lone $ (as in a
// password hash) stays. $${ stands for ${ itself.
func expand(s string, getenv func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		out.WriteString(s[:i])
		inside, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return "", errors.New("${ without a closing }; write $${ for the two characters themselves")
		}
		value, err := lookup(inside, getenv)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		s = rest
	}
}

func lookup(inside string, getenv func(string) (string, bool)) (string, error) {
	m := variable.FindStringSubmatch(inside)
	if m == nil {
		return "", fmt.Errorf("${%s} is not ${VAR}, ${VAR:-default} or ${VAR:?why}", inside)
	}
	value, set := getenv(m[1])
	switch {
	case m[2] == "" && !set:
		return "", fmt.Errorf("the environment variable %s is not set, and ${%s} has no default", m[1], m[1])
	case m[2] == ":-" && value == "":
		return m[3], nil
	case m[2] == ":?" && value == "":
		return "", fmt.Errorf("the environment variable %s is needed: %s", m[1], m[3])
	}
	return value, nil
}
