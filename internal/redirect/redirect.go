// Package redirect reads where a route sends browsers: an address with
// placeholders for what they asked for. The file is checked by it, and requests are
// answered by it.
package redirect

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Words are what may stand in braces. {path} is the whole path, with its slash,
// and {rest} is what follows the path of the route, without one.
var Words = []string{"path", "rest"}

// UnknownError reports a word in braces that stands for nothing.
type UnknownError struct{ Word string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("{%s} stands for nothing; want {%s}", e.Word, strings.Join(Words, "} or {"))
}

// Target is an address that can be used. Its scheme and host are the file's own
// words: nothing that a browser sends gets into them.
type Target struct {
	// Origin is scheme and host, or "" for the host that was asked.
	Origin string

	path, query, fragment []part
	hasFragment           bool
}

type part struct {
	text string
	word string // "" is text
}

// Parse reads an address: a path, or http:// or https:// with a host.
func Parse(to string) (*Target, error) {
	switch {
	case to == "":
		return nil, errors.New("there is no address")
	case strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, errors.New("it holds a character that no address has as it is: write %20 for a space, %C3%BC for ü")
	case strings.Contains(to, `\`):
		return nil, errors.New("it holds a backslash, which browsers read as a slash: write %5C")
	}
	t := &Target{}
	rest := to
	if !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "{path}") {
		var err error
		if t.Origin, rest, err = origin(to); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(rest, "//") {
		return nil, errors.New("it begins with two slashes, which names a host; write https:// in front")
	}
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		path = "/"
	}
	t.hasFragment = hasFragment
	for _, piece := range []struct {
		to   *[]part
		text string
	}{{&t.path, path}, {&t.query, query}, {&t.fragment, fragment}} {
		parts, err := parse(piece.text)
		if err != nil {
			return nil, err
		}
		*piece.to = parts
	}
	return t, nil
}

// origin splits off scheme and host. What follows them is a path that begins with
// a slash, or nothing: {rest} behind a host would go on with its name.
func origin(to string) (origin, rest string, err error) {
	scheme, after, ok := strings.Cut(to, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return "", "", fmt.Errorf("want a path such as /new/, or https:// and a host, got %q", to)
	}
	end := strings.IndexAny(after, "/?#{")
	if end < 0 {
		end = len(after)
	}
	host, rest := after[:end], after[end:]
	if strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, "{path}") {
		return "", "", errors.New("between the host and what stands in braces there is no slash, so it would go on with the host's name")
	}
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(host, "@%") {
		return "", "", fmt.Errorf("%q is no host name", host)
	}
	return scheme + "://" + strings.ToLower(host), rest, nil
}

// parse splits a text at its placeholders.
func parse(s string) (parts []part, err error) {
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			return append(parts, part{text: s}), nil
		}
		if i > 0 {
			parts = append(parts, part{text: s[:i]})
		}
		word, rest, closed := strings.Cut(s[i+1:], "}")
		if s[i] == '}' || !closed {
			return nil, errors.New("a brace without its other half; write %7B or %7D for the character itself")
		}
		if word != "path" && word != "rest" {
			return nil, &UnknownError{word}
		}
		parts, s = append(parts, part{word: word}), rest
	}
	return parts, nil
}

// Path is the path for a request, as yet unexamined: path and rest are those of
// the request, in canonical form.
func (t *Target) Path(path, rest string) string {
	return fill(t.path, path, rest, func(s string) string { return s })
}

// Tail is the query and the fragment. In a query, what stands in braces is a value.
// A query that is kept comes behind the one that is written.
func (t *Target) Tail(path, rest, kept string) string {
	query, fragment := fill(t.query, path, rest, url.QueryEscape), ""
	switch {
	case query == "":
		query = kept
	case kept != "":
		query += "&" + kept
	}
	if query != "" {
		query = "?" + query
	}
	if t.hasFragment {
		fragment = "#" + fill(t.fragment, path, rest, func(s string) string { return s })
	}
	return query + fragment
}

// Head is the text in front of the first placeholder of the path.
func (t *Target) Head() string {
	if len(t.path) == 0 {
		return ""
	}
	return t.path[0].text
}

func fill(parts []part, path, rest string, escape func(string) string) string {
	var b strings.Builder
	for _, p := range parts {
		switch p.word {
		case "":
			b.WriteString(p.text)
		case "path":
			b.WriteString(escape(path))
		case "rest":
			b.WriteString(escape(rest))
		}
	}
	return b.String()
}
