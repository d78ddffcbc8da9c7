package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/secureheaders"
)

// SecureHeaders are headers by which browsers guard a page, for answers of apps that
// lack them. What the app says itself stays, whole: a policy is neither merged nor
// weakened.
type SecureHeaders struct {
	// Level is basic or strict; see package secureheaders.
	Level string
	// Overwrite replaces what the app says.
	Overwrite bool
	// Except are names of the level that are left to the app.
	Except []string
	// Set has other values for names of the level.
	Set map[string]string

	lines []secureLine
}

type secureLine struct {
	name  string   // canonical
	value []string // one; shared by answers, and never edited
	// unframed is the value where the app has said by X-Frame-Options who may frame it: browsers
	// would obey frame-ancestors in its place. Nil is none.
	unframed []string
	https    bool
}

func (s *SecureHeaders) prepare(fault func(key, format string, args ...any)) {
	if s == nil {
		return
	}
	lines := secureheaders.Of(s.Level)
	if lines == nil {
		fault("secure_headers.level", "want %s, got %q", strings.Join(secureheaders.Levels, " or "), s.Level)
		return
	}
	named := func(name string) func(secureheaders.Line) bool {
		return func(l secureheaders.Line) bool { return strings.EqualFold(l.Name, name) }
	}
	for i, name := range s.Except {
		if !slices.ContainsFunc(lines, named(name)) {
			fault(fmt.Sprintf("secure_headers.except[%d]", i), "%s has no header %s", s.Level, name)
		}
		lines = slices.DeleteFunc(lines, named(name))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Set)) {
		at := slices.IndexFunc(lines, named(name))
		switch value := s.Set[name]; {
		case at < 0:
			fault("secure_headers.set", "%s has no header %s, or it is left out", s.Level, name)
		case strings.TrimSpace(value) == "" || !inject.IsPlain(value):
			fault("secure_headers.set", "%s: %q cannot be a header", name, value)
		default:
			lines[at].Value = value
		}
	}
	s.lines = nil
	for _, l := range lines {
		line := secureLine{name: http.CanonicalHeaderKey(l.Name), value: []string{l.Value}, https: l.HTTPS}
		if line.unframed = line.value; l.Name == secureheaders.ContentPolicy {
			if line.unframed = nil; withoutFrames(l.Value) != "" {
				line.unframed = []string{withoutFrames(l.Value)}
			}
		}
		s.lines = append(s.lines, line)
	}
}

// withoutFrames is a policy without its frame-ancestors.
func withoutFrames(policy string) string {
	var kept []string
	for directive := range strings.SplitSeq(policy, ";") {
		directive = strings.TrimSpace(directive)
		if name, _, _ := strings.Cut(directive, " "); directive != "" && !strings.EqualFold(name, "frame-ancestors") {
			kept = append(kept, directive)
		}
	}
	return strings.Join(kept, "; ")
}

// apply puts the headers into h, of an answer that is about to go out.
func (s *SecureHeaders) apply(h http.Header, status int, scheme string) {
	switch {
	case s == nil, status == http.StatusSwitchingProtocols:
		return
	case status == http.StatusNotModified && !s.Overwrite:
		// Its header replaces that of the answer which the browser has (RFC 9111 section
		// 3.2), and many servers leave theirs out of a 304: ours would take the place of a
		// policy that the app has sent with the page.
		return
	}
	_, framed := h[secureheaders.FrameOptions]
	for i := range s.lines {
		l := &s.lines[i]
		if _, said := h[l.name]; said && !s.Overwrite || l.https && scheme != "https" {
			continue
		}
		value := l.value
		if framed && !s.Overwrite {
			value = l.unframed
		}
		if value != nil {
			h[l.name] = value
		}
	}
}
