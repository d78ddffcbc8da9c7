package auth

// Bearer is the value of the Authorization header that carries t (RFC 6750 section 2.1). It is
// not ok where t is empty, or holds what cannot stand there.
func (t Token) Bearer() (value string, ok bool) {
	if t.bearer != nil {
		return *t.bearer, true
	}
	text := t.Value.Reveal()
	if text == "" || !isToken68(text) {
		return "", false
	}
	return "Bearer " + text, true
}

// Ready is t with the value of Bearer made: it goes up with every request for as long as t
// is good.
func (t Token) Ready() Token {
	if value, ok := t.Bearer(); ok {
		t.bearer = &value
	}
	return t
}

// isToken68 reports whether s can stand behind "Bearer " (b64token there).
func isToken68(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=':
		default:
			return false
		}
	}
	return true
}
