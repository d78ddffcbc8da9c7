package proxy

import "net/http"

// values has room for the values of the headers that every request gets, so that they are
// not allocated one by one. It lives with its request, and longer: a transport may still be
// writing. The nil values allocates.
type values struct {
	room [14]string
	used int
}

// of returns a list of s alone.
func (v *values) of(s string) []string {
	if v == nil || v.used == len(v.room) {
		return []string{s}
	}
	i := v.used
	v.used++
	v.room[i] = s
	return v.room[i : i+1 : i+1] // whoever appends gets a list of their own
}

// set sets a header, whose name is canonical.
func (v *values) set(h http.Header, name, value string) { h[name] = v.of(value) }
