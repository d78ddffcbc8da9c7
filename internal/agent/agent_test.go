package agent_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/agent"
)

func TestOf(t *testing.T) {
	for _, c := range []struct{ name, header, browser, system string }{
		{"Firefox on Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Linux"},
		{"Firefox on Ubuntu", "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Linux"},
		{"Firefox on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Windows"},
		{"Firefox on a phone", "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox", "Android"},
		{"Firefox on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/140.0 Mobile/15E148 Safari/605.1.15", "Firefox", "iPhone"},
		{"Chrome on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "Chrome", "Windows"},
		{"Chrome on Android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome", "Android"},
		{"Chrome on an iPad", "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1", "Chrome", "iPad"},
		{"Chrome on ChromeOS", "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "Chrome", "ChromeOS"},
		{"Chrome without a head", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", "Chrome", "Linux"},
		{"Edge on macOS", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge", "macOS"},
		{"Opera", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 OPR/120.0.0.0", "Opera", "Linux"},
		{"Samsung Internet", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet", "Android"},
		{"Safari on macOS", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15", "Safari", "macOS"},
		{"Safari on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "Safari", "iPhone"},
		{"curl", "curl/8.14.1", "curl", ""},
		{"an app of its own", "Acme/1.0 (Windows NT 10.0)", "", "Windows"},
		{"nothing", "", "", ""},
		{"a product in a comment is none", "Mozilla/5.0 (X11; Linux x86_64; Firefox/140.0)", "", "Linux"},
		{"a product without a version is none", "Mozilla/5.0 (X11; Linux x86_64) Firefox", "", "Linux"},
		{"a system in the middle of a part is none", "Mozilla/5.0 (not Windows) Firefox/140.0", "Firefox", ""},
		{"markup", "<script>alert(1)</script>", "", ""},
		{"a control character", "Mozilla/5.0 (X11; Linux x86_64)\x1b[2J Firefox/140.0", "", ""},
		{"letters that no browser sends", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0 \u202e", "", ""},
		{"comments that do not end", strings.Repeat("(", 5000), "", ""},
		{"ends that begin nothing", strings.Repeat(")", 5000), "", ""},
		{"what comes after half a kilobyte", strings.Repeat("x", 600) + " Firefox/140.0", "", ""},
	} {
		if got, want := agent.Of(c.header), (agent.Words{Browser: c.browser, System: c.system}); got != want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, want)
		}
	}
}

func TestMayBe(t *testing.T) {
	w := func(browser, system string) agent.Words { return agent.Words{Browser: browser, System: system} }
	for _, c := range []struct {
		name string
		a, b agent.Words
		want bool
	}{
		{"the same", w("Firefox", "Linux"), w("Firefox", "Linux"), true},
		{"another browser", w("Firefox", "Linux"), w("Chrome", "Linux"), false},
		{"another system", w("Firefox", "Linux"), w("Firefox", "Windows"), false},
		{"a header that says nothing", w("Firefox", "Linux"), w("", ""), true},
		{"a film player, which names another system", w("Safari", "macOS"), w("", "Windows"), true},
		{"no system", w("Firefox", "Linux"), w("Firefox", ""), true},
		{"a phone as a desktop", w("Chrome", "Android"), w("Chrome", "Linux"), true},
		{"an iPhone as a desktop", w("Safari", "iPhone"), w("Safari", "macOS"), true},
		{"an iPad as an iPhone", w("Safari", "iPad"), w("Safari", "iPhone"), true},
		{"a phone of another kin", w("Chrome", "Android"), w("Chrome", "iPhone"), false},
		{"a phone as another desktop", w("Chrome", "Android"), w("Chrome", "Windows"), false},
	} {
		if c.a.MayBe(c.b) != c.want || c.b.MayBe(c.a) != c.want {
			t.Errorf("%s: got %v and %v, want %v", c.name, c.a.MayBe(c.b), c.b.MayBe(c.a), c.want)
		}
	}
}

func TestString(t *testing.T) {
	for want, w := range map[string]agent.Words{"Firefox on Linux": {Browser: "Firefox", System: "Linux"}, "curl": {Browser: "curl"},
		"Unknown browser on iPad": {System: "iPad"}, "Unknown browser": {}} {
		if got := w.String(); got != want {
			t.Errorf("%+v: got %q, want %q", w, got, want)
		}
	}
}

// FuzzOf: whatever comes, the words are ours.
func FuzzOf(f *testing.F) {
	for _, s := range []string{"", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "((((", "a/1 (b;c) d/2", "\xff\x00", "Version/1 Safari/1 AppleWebKit/1"} {
		f.Add(s)
	}
	known := map[string]bool{"": true}
	for _, w := range strings.Split("Edge,Opera,Vivaldi,Samsung Internet,Yandex Browser,DuckDuckGo,Firefox,Chrome,Chromium,curl,Wget,Safari,"+
		"iPhone,iPad,Android,ChromeOS,Windows,macOS,FreeBSD,OpenBSD,Linux", ",") {
		known[w] = true
	}
	f.Fuzz(func(t *testing.T, header string) {
		if w := agent.Of(header); !known[w.Browser] || !known[w.System] {
			t.Errorf("%q: got %+v", header, w)
		}
	})
}
