// Package inject has the words of headers that a route sets: which names it may
// use, and what may stand in a value. The file is checked by it, and requests are
// served by it.
package inject

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a part of a value stands for.
type Kind int

// Text stands for itself, the others for what a request turns out to be.
const (
	Text Kind = iota
	User
	Email
	Groups
	Claim
	SessionID
	RequestID
	RouteName
)

var kinds = map[string]Kind{"user": User, "email": Email, "groups": Groups,
	"session.id": SessionID, "request.id": RequestID, "route.name": RouteName}

// Words are what may stand in braces.
var Words = []string{"user", "email", "groups", "session.id", "request.id", "route.name", "claims.NAME"}

// Part is a piece of a value.
type Part struct {
	Kind Kind
	// Text is the text itself, or the dotted path of a claim.
	Text string
}

// UnknownError reports a word in braces that stands for nothing.
type UnknownError struct{ Word string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("{%s} stands for nothing; want {%s}", e.Word, strings.Join(Words, "}, {"))
}

// Parse reads a value. {{ and }} are the braces themselves.
func Parse(s string) (parts []Part, err error) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) {
		return nil, errors.New("it holds a control character or is not UTF-8, so it cannot be a header")
	}
	if strings.TrimSpace(s) != s || s == "" {
		return nil, errors.New("it is empty, or begins or ends with space, which headers lose on their way")
	}
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, Part{Text, text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '{' && s[i] != '}':
			text.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == s[i]:
			text.WriteByte(s[i])
			i++
		case s[i] == '}':
			return nil, errors.New("a } without its {; write }} for the character itself")
		default:
			word, _, closed := strings.Cut(s[i+1:], "}")
			if !closed {
				return nil, errors.New("a { without its }; write {{ for the character itself")
			}
			part, err := placeholder(word)
			if err != nil {
				return nil, err
			}
			flush()
			parts = append(parts, part)
			i += len(word) + 1
		}
	}
	flush()
	return parts, nil
}

func placeholder(word string) (Part, error) {
	if path, ok := strings.CutPrefix(word, "claims."); ok && path != "" && !strings.Contains(path, "{") {
		return Part{Claim, path}, nil
	}
	if kind, ok := kinds[word]; ok {
		return Part{Kind: kind}, nil
	}
	return Part{}, &UnknownError{word}
}
