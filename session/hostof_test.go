package session

import (
	"net/http"
	"testing"
)

// TestHostOf: the short way by which most Host headers are read says what the long one does, for
// everything of five characters or less that could be written there.
func TestHostOf(t *testing.T) {
	for host, want := range map[string]string{"app.example.com": "app.example.com", "App.Example.com.": "app.example.com", "localhost:8080": "localhost", "[::1]:80": "::1"} {
		if got := hostOf(&http.Request{Host: host}); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
	var try func(host string, more int)
	try = func(host string, more int) {
		if got, want := hostOf(&http.Request{Host: host}), hostIn(host); got != want {
			t.Fatalf("%q: got %q, the long way has %q", host, got, want)
		}
		for _, c := range []string{"a", "B", "0", ".", ":", "[", "]", "\u212a"} { // the last is the sign for kelvin, whose lower case is k
			if more > 0 {
				try(host+c, more-1)
			}
		}
	}
	try("", 5)
}
