package config_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

const mebibyte = 1 << 20

// adversaries write files that are meant to keep a reader busy, of about a size.
var adversaries = map[string]func(size int) string{
	"routes that say nothing":          lines(head0+"routes:\n", func(int) string { return "- {}\n" }),
	"routes that tie":                  lines(head0+"routes:\n", func(int) string { return "- upstream: http://127.0.0.1:1\n" }),
	"routes that tie by their methods": lines(head0+"routes:\n", func(int) string { return "- { match: { methods: [GET, GET, POST] }, redirect: /x }\n" }),
	"routes on hosts of their own":     lines(head0+"routes:\n", func(i int) string { return fmt.Sprintf("- { match: { host: h%d.example }, redirect: /x }\n", i) }),
	"routes of folders that are guarded": lines(head0+"routes:\n", func(i int) string {
		return fmt.Sprintf("- { match: { path: /%d/ }, allow: [ users: [a] ], redirect: /x }\n", i)
	}),
	"routes on one line":                 flow(head0+"routes: [", "{}, ", "]"),
	"unknown keys":                       lines(head0, func(i int) string { return fmt.Sprintf("a%d:\n", i) }),
	"unknown keys that are nearly known": lines(head0, func(i int) string { return fmt.Sprintf("forwarded_heade%d:\n", i) }),
	"one key again and again":            lines(head0, func(int) string { return "listen: :80\n" }),
	"a key without end":                  func(size int) string { return head0 + strings.Repeat("k", size) + ": 1\n" },
	"a value without end":                func(size int) string { return head0 + "listen: " + strings.Repeat("v", size) + "\n" },
	"long keys over long lists": func(size int) string {
		return head0 + strings.Repeat("k", size/2) + ": [" + strings.Repeat("!a 1,", size/10) + "]\n"
	},
	"long names of rules": func(size int) string {
		return head0 + "rules: { " + strings.Repeat("k", 200) + ": { allow: [" + strings.Repeat("{},", size/3) + "] } }\n"
	},
	"lists in lists": func(size int) string { return head0 + "x: " + strings.Repeat("[", size) },
	"lists in lists that are closed": func(size int) string {
		return head0 + "x: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "\n"
	},
	"mappings in mappings":         func(size int) string { return head0 + strings.Repeat("{a: ", size/4) },
	"anchors":                      flow(head0+"x: [", "&a 1, ", "]"),
	"aliases":                      flow(head0+"x: [ &a 1, ", "*a, ", "]"),
	"tags":                         flow(head0+"x: [", "!t 1, ", "]"),
	"comments":                     lines(head0, func(int) string { return "#\n" }),
	"indented comments":            lines(head0+"routes:\n", func(int) string { return "  #\n- upstream: http://127.0.0.1:1\n" }),
	"documents":                    lines(head0, func(int) string { return "---\na: b\n" }),
	"quotes":                       func(size int) string { return head0 + "listen: \"" + strings.Repeat("\\x41", size/4) + "\"\n" },
	"a quote that is open":         func(size int) string { return head0 + "listen: \"" + strings.Repeat("a\n", size/2) },
	"variables":                    func(size int) string { return head0 + "listen: " + strings.Repeat("${A:-b}", size/7) + "\n" },
	"statuses":                     flow(head0+"routes: [ { upstream: 'http://127.0.0.1:1', replace_errors: [", "7, ", "] } ]"),
	"targets that are the same":    flow(head0+"routes: [ { upstream: { targets: [", "'http://a:1', ", "] } } ]"),
	"providers that are not there": flow(head0+"routes: [ { redirect: /x, providers: [", "nobody, ", "] } ]"),
	"ways to sign in":              lines("public_url: https://a.example\nroutes: [ redirect: /x ]\nidentity:\n", func(i int) string { return fmt.Sprintf("- oidc: { name: p%d }\n", i) }),
	"users of several providers":   flow("public_url: https://a.example\nidentity: [ {oidc: {name: a}}, {oidc: {name: b}} ]\nroutes: [ { redirect: /x, allow: [ users: [", "bob, ", "] ] } ]"),
	"headers to pass and to set": func(size int) string {
		return head0 + "routes: [ { upstream: 'http://127.0.0.1:1', pass_headers: [" + numbered("X-A", size/2) + "], request_headers: { remove: [" + numbered("X-B", size/2) + "] } } ]\n"
	},
	"sets of rules and their uses": func(size int) string {
		var sets strings.Builder
		for i := 0; sets.Len() < size/2; i++ {
			fmt.Fprintf(&sets, "  s%d: { deny: [ users: [a] ] }\n", i)
		}
		return head0 + "rules:\n" + sets.String() + "routes: [ { redirect: /x, rules: [" + numbered("t", size/2) + "] } ]\n"
	},
	"rules for all routes": func(size int) string {
		return head0 + "default: { deny: [" + strings.Repeat("{users: [a]}, ", size/30) + "] }\nroutes:\n" + lines("", func(i int) string {
			return fmt.Sprintf("- { match: { path: /%d }, redirect: /x, allow: [ users: [b] ] }\n", i)
		})(size/2)
	},
	"ways to one app": lines(head0+"routes:\n", func(i int) string {
		return fmt.Sprintf("- { match: { path: /%d/ }, upstream: 'http://127.0.0.1:1', strip_prefix: /%d, allow: [ groups: [g%d] ] }\n", i, i, i)
	}),
	"paths guarded alone": lines(head0+"default: { deny: ["+strings.Repeat("{users: [a]}, ", 1000)+"] }\nroutes:\n- { match: { path: / }, upstream: 'http://127.0.0.1:1' }\n", func(i int) string {
		return fmt.Sprintf("- { match: { path: /%d }, upstream: 'http://127.0.0.1:1', allow: [ groups: [g] ] }\n", i)
	}),
	"tests": lines(head0+"routes: [ redirect: /x ]\ntests:\n", func(i int) string { return "- { request: GET /, expect: alowed }\n" }),
	"expressions": lines(head0+"routes:\n", func(i int) string {
		return fmt.Sprintf("- { match: { path: /%d }, upstream: 'http://127.0.0.1:1', rewrite: { path: '^/((a{9}){9}){9}$', to: /b } }\n", i)
	}),
}

const head0 = "public_url: https://apps.example.com\nidentity: [ local: { users_file: users.yaml } ]\n"

func lines(begin string, line func(i int) string) func(int) string {
	return func(size int) string {
		var b strings.Builder
		b.WriteString(begin)
		for i := 0; b.Len() < size-100; i++ {
			b.WriteString(line(i))
		}
		return b.String()
	}
}

func flow(begin, one, end string) func(int) string {
	return func(size int) string {
		return begin + strings.Repeat(one, (size-200)/len(one)) + end + "\n"
	}
}

func numbered(word string, size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-100; i++ {
		fmt.Fprintf(&b, "%s%d, ", word, i)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// digest does with a file all that check does.
func digest(t testing.TB, text string) {
	t.Helper()
	c, err := config.Parse("adversary", []byte(text), noEnv)
	if err == nil {
		_ = c.Warnings()
		_ = c.OnlyForTrying()
		_ = c.Files()
		_ = c.Hosts()
		if len(text) < 64<<10 { // writing is not loading
			if err := c.WriteEffective(&strings.Builder{}); err != nil {
				t.Error(err)
			}
		}
		return
	}
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || len(faults) == 0 || len(faults) > 201 {
		t.Errorf("got %d faults, want 1 to 201: %.200v", len(faults), err)
	}
	var drawn strings.Builder
	faults.Draw(&drawn, false)
	if drawn.Len() > mebibyte { // of a line 240 letters are drawn, of a message 600 bytes
		t.Errorf("got %d bytes drawn, want fewer than the file has", drawn.Len())
	}
}

// TestAdversaries loads a file of each kind, of a mebibyte. How long that takes is shown
// by: go test ./config -run xxx -bench Adversaries
//
// Loading is done by one goroutine, and the race detector has it take ten times as long. With
// it the files are smaller here, and TestWorkGrowsWithTheFile loads the large ones without it.
func TestAdversaries(t *testing.T) {
	t.Parallel()
	one, size := os.Getenv("EVERGATE_ADVERSARY"), mebibyte
	if raced {
		size = mebibyte / 16
	}
	if s, err := strconv.Atoi(os.Getenv("EVERGATE_ADVERSARY_SIZE")); err == nil {
		size = s
	}
	for name, write := range adversaries {
		if one != "" && one != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			text := write(size)
			digest(t, text[:min(len(text), mebibyte)])
		})
	}
}

func BenchmarkAdversaries(b *testing.B) {
	for name, write := range adversaries {
		text := write(mebibyte)
		text = text[:min(len(text), mebibyte)]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				digest(b, text)
			}
		})
	}
}

// BenchmarkRoutes loads 10,000 routes.
func BenchmarkRoutes(b *testing.B) {
	var text strings.Builder
	text.WriteString(head0 + "routes:\n")
	for i := range 10000 {
		fmt.Fprintf(&text, "- { match: { host: a%d.example.com, path: /%d/ }, allow: [ groups: [g] ], upstream: http://127.0.0.1:1 }\n", i%100, i)
	}
	for b.Loop() {
		if _, err := config.Parse("routes", []byte(text.String()), noEnv); err != nil {
			b.Fatal(err)
		}
	}
}
