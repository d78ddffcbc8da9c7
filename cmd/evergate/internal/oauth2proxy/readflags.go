package oauth2proxy

import "strings"

// readFlags reads flags as they stand on a command line, in a file of arguments or in
// the args of a container: one or more a line, quoted or not.
func (s *source) readFlags() error {
	var words []word
	for i, l := range s.lines {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "#") {
			continue
		}
		l = strings.TrimSuffix(l, "\\")
		if rest, item := strings.CutPrefix(l, "- "); item {
			l = rest
		}
		more, err := split(l)
		if err != nil {
			return s.wrong(i+1, "%w", err)
		}
		for _, w := range more {
			words = append(words, word{strings.TrimRight(w, ","), i + 1})
		}
	}
	return s.addFlags(words)
}

// word is one argument, and the line it is on.
type word struct {
	text string
	line int
}

// addFlags reads arguments. A flag without "=" has the next argument for its value,
// unless it is a boolean.
func (s *source) addFlags(words []word) error {
	for i := 0; i < len(words); i++ {
		w := words[i]
		name, dashed := strings.CutPrefix(w.text, "--")
		if !dashed {
			name, dashed = strings.CutPrefix(w.text, "-")
		}
		if !dashed || name == "" {
			continue // the program's own name, or what is no flag
		}
		name, value, given := strings.Cut(name, "=")
		o := lookup(name)
		switch {
		case given:
		case o != nil && o.kind == boolean:
			value = "true"
		case i+1 < len(words) && !strings.HasPrefix(words[i+1].text, "--"):
			i++
			value = words[i].text
		case o != nil:
			return s.wrong(w.line, "--%s: %w", name, errNoValue)
		}
		s.add(name, value, w.line, fromFlags)
	}
	return nil
}

// readEnv reads variables, one a line, as a shell, Docker or systemd takes them.
func (s *source) readEnv() error {
	for i, l := range s.lines {
		l = strings.TrimSpace(l)
		if rest, item := strings.CutPrefix(l, "- "); item {
			l = strings.TrimSpace(rest)
			if len(l) > 1 && l[0] == '"' && l[len(l)-1] == '"' {
				l = l[1 : len(l)-1]
			}
		}
		l = strings.TrimSpace(strings.TrimPrefix(l, "export "))
		name, value, ok := strings.Cut(l, "=")
		if l == "" || l[0] == '#' {
			continue
		}
		if !ok {
			return s.wrong(i+1, "want a line such as OAUTH2_PROXY_CLIENT_ID=evergate")
		}
		s.addVariable(strings.TrimSpace(name), value, i+1)
	}
	return nil
}

// addVariable adds a variable of the environment, if it is one of oauth2-proxy.
func (s *source) addVariable(name, value string, line int) {
	name, ours := strings.CutPrefix(name, "OAUTH2_PROXY_")
	if !ours {
		return
	}
	value = strings.TrimSpace(value)
	if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	s.add(strings.ToLower(name), value, line, fromEnv)
}

// split tells the words of a line apart, as a shell does.
func split(line string) (words []string, err error) {
	var b strings.Builder
	inside, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '"' && c == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\'):
			i++
			b.WriteByte(line[i])
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inside = c, true
		case c == ' ' || c == '\t':
			if inside || b.Len() > 0 {
				words = append(words, b.String())
			}
			b.Reset()
			inside = false
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, errOpenQuote
	}
	if inside || b.Len() > 0 {
		words = append(words, b.String())
	}
	return words, nil
}
