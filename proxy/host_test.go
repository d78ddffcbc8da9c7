package proxy

import (
	"regexp"
	"strings"
	"testing"
)

// hostName is what cleanHost takes of names that stand in no brackets, with the port behind.
var hostName = regexp.MustCompile(`^((?:[A-Za-z0-9_-]+\.)*(?:[A-Za-z0-9_-]+\.?)?)(?::([0-9]{0,5}))?$`)

// TestCleanHost: of everything of six characters or less that could be written in a Host header,
// it takes what hostName does.
func TestCleanHost(t *testing.T) {
	var try func(host string, more int)
	try = func(host string, more int) {
		name, port, ok := cleanHost(host)
		want := hostName.FindStringSubmatch(host)
		switch {
		case ok != (want != nil):
			t.Errorf("%q: got %v, want %v", host, ok, want != nil)
		case ok && (name != strings.ToLower(strings.TrimSuffix(want[1], ".")) || port != want[2]):
			t.Errorf("%q: got %q and %q", host, name, port)
		}
		for _, c := range []string{"a", "B", "0", ".", ":", "_", "~", "\x7f"} {
			if more > 0 {
				try(host+c, more-1)
			}
		}
	}
	try("", 6)
	for host, want := range map[string]string{"[::1]": "[::1]", "[2001:DB8::1]:443": "[2001:db8::1]", "[::ffff:192.0.2.1]": "[::ffff:192.0.2.1]",
		"[app.example.com]": "", "[::1": "", "[::1]x": "", "[192.0.2.1]": "", "a]": "", "a:123456": ""} {
		if name, _, ok := cleanHost(host); ok != (want != "") || name != want && ok {
			t.Errorf("%q: got %q and %v, want %q", host, name, ok, want)
		}
	}
}
