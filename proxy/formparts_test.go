package proxy

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestFindForm(t *testing.T) {
	values := func(s string) url.Values { v, _ := url.ParseQuery(s); return v }
	for name, tt := range map[string]struct {
		page           string
		user, password string // names of fields that are configured
		noUser         bool
		want           *pageForm
	}{
		"plain": {page: `<form action="/login" method="post"><input type="hidden" name="csrf" value="a&amp;b"><input name="u"><input type="password" name="p"></form>`,
			want: &pageForm{action: "/login", method: "post", values: values("csrf=a%26b&u="), user: "u", password: "p", passwords: 1}},
		"the search form before it is not it": {page: `<form action="/s"><input name=q></form><form method=POST><input name=u><input type=PASSWORD name=p></form>`,
			want: &pageForm{method: "post", values: values("u="), user: "u", password: "p", passwords: 1}},
		"a new password has two fields": {page: `<form><input name=u><input type=password name=a><input type=password name=b></form>`},
		"unless one is named": {page: `<form><input name=u><input type=password name=a><input type=password name=b></form>`, password: "b",
			want: &pageForm{values: values("u=&a="), user: "u", password: "b", passwords: 2}},
		"no user": {page: `<form><input type=password name=p></form>`},
		"none wanted": {page: `<form><input type=password name=p></form>`, noUser: true,
			want: &pageForm{values: values(""), password: "p", passwords: 1}},
		"a field that is not there": {page: `<form><input name=u><input type=password name=p></form>`, user: "login"},
		"a named field": {page: `<form><input name=login><input name=domain value=corp><input type=password name=p></form>`, user: "login",
			want: &pageForm{values: values("login=&domain=corp"), user: "login", password: "p", passwords: 1}},
		"what a browser sends": {page: `<form enctype="multipart/form-data"><input name=u><input type=password name=p>
			<input type=checkbox name=c1><input type=checkbox name=c2 checked><input type=radio name=r value=1><input type=radio name=r value=2 checked>
			<input name=gone value=x disabled><input type=file name=f><input type=button name=b value=1><input type=submit name=s1 value=A><input type=submit name=s2 value=B>
			<select name=l><option>none<option value=1><option value=2 selected><option value=3></select></form>`,
			want: &pageForm{multipart: true, values: values("u=&c2=on&r=2&s1=A&l=2"), user: "u", password: "p", passwords: 1, button: true}},
		"a comment and a script are no form": {page: `<!-- <form><input name=u><input type=password name=p></form> --><script>"<form><input name=u><input type=password name=p></form>"</script>`},
		"never closed": {page: `<base href="/app/"><form action=in><input name=u><input type=password name=p>`,
			want: &pageForm{action: "in", base: "/app/", values: values("u="), user: "u", password: "p", passwords: 1}},
		"an odd encoding": {page: `<form enctype=text/plain><input name=u><input type=password name=p></form>`,
			want: &pageForm{odd: "text/plain", values: values("u="), user: "u", password: "p", passwords: 1}},
	} {
		got, ok := findForm([]byte(tt.page), tt.user, tt.password, !tt.noUser)
		switch {
		case tt.want == nil && ok:
			t.Errorf("%s: got %+v, want none", name, got)
		case tt.want != nil && (!ok || !reflect.DeepEqual(got, tt.want)):
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

func FuzzFindForm(f *testing.F) {
	f.Add([]byte(`<form method=post><input name=u><input type=password name=p><select name=s><option value=1></select><button>go</button></form>`))
	f.Add([]byte("<form><form><input type=password name=p></select><option><base href=x>"))
	f.Fuzz(func(t *testing.T, page []byte) {
		form, ok := findForm(page, "", "", true)
		if !ok {
			return
		}
		if form.user == "" || form.password == "" {
			t.Fatalf("%q: found %+v", page, form)
		}
		form.values.Set(form.password, "secret")
		if _, _, err := form.encode(form.values); err != nil {
			t.Fatalf("%q: %v", page, err)
		}
	})
}

func reader(path string, full *int) *setting {
	return &setting{now: time.Unix(1_000_000, 0), path: path, real: func(p string) string { return p },
		own:  func(domain string) bool { return domain == "app.test" || domain == "test" },
		full: func(string) { *full++ }}
}

func TestJar(t *testing.T) {
	full := 0
	s := reader("/app/login", &full)
	lines := []string{
		"sid=1; HttpOnly", "root=2; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "other=3; Path=/other",
		"foreign=4; Domain=evil.test", "own=5; Domain=.App.test; Path=/", "gone=6; Max-Age=0; Path=/", "past=7; expires=Wed, 01-Jan-1969 00:00:00 GMT",
		`quoted="a b"; Path=/app/`, "=nameless", "nothing", "bad=\x01", "long=" + strings.Repeat("x", maxCookie),
	}
	j, changed := (&jar{Made: "x", User: "u"}).with(lines, s)
	if !changed || !j.usable("u", s.now) || j.usable("somebody else", s.now) {
		t.Errorf("got changed %v and %+v, want a jar for u alone", changed, j)
	}
	for path, want := range map[string]string{
		"/app/page": `quoted="a b"; sid=1; root=2; own=5`, "/app": "sid=1; root=2; own=5", "/apple": "root=2; own=5", "/other/x": "other=3; root=2; own=5", "/": "root=2; own=5",
	} {
		got := strings.Join(j.header(path, s.now, nil), "|")
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := j.header("/", s.now.Add(time.Minute), []string{"a=1; ROOT=evil; b=2", "own=evil"}); len(got) != 1 || got[0] != "own=5; a=1; b=2" {
		t.Errorf("beside the browser's, and after a minute: got %q", got)
	}
	// What merely moves on is not worth a write; what changes or goes is.
	for line, want := range map[string]bool{"sid=1; Path=/app": false, "sid=2; Path=/app": true, "root=2; Path=/; Max-Age=62": false,
		"root=2; Path=/; Max-Age=90": true, "root=; Path=/; Max-Age=0": true, "never=; Max-Age=0": false, "sid=1; Path=/app; Max-Age=9": true} {
		if _, changed := j.with([]string{line}, s); changed != want {
			t.Errorf("%s: changed %v, want %v", line, changed, want)
		}
	}
	// A jar is bounded, in number and in bytes.
	var many, large []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("c%d=1", i))
		large = append(large, fmt.Sprintf("c%d=%s", i, strings.Repeat("x", 2000)))
	}
	for _, lines := range [][]string{many, large} {
		full = 0
		b, _ := (&jar{}).with(lines, s)
		if len(b.Cookies) > maxCookies || b.size() > maxJar || len(b.Cookies) < 4 || full == 0 {
			t.Errorf("got %d cookies of %d bytes, told %d times", len(b.Cookies), b.size(), full)
		}
	}
}

func FuzzJar(f *testing.F) {
	f.Add("sid=1; Path=/; Max-Age=1", "/app/x")
	f.Fuzz(func(t *testing.T, line, path string) {
		if !strings.HasPrefix(path, "/") {
			return
		}
		full := 0
		j, _ := (&jar{}).with([]string{line, line}, reader(path, &full))
		for _, h := range j.header(path, time.Unix(1_000_000, 0), nil) {
			if strings.ContainsAny(h, "\r\n\x00") {
				t.Fatalf("%q makes the header %q", line, h)
			}
		}
	})
}

// TestPaceAndPauses: what is counted comes back with time, and is not kept for ever.
func TestPaceAndPauses(t *testing.T) {
	f := &Form{paces: map[string]*pace{}, failures: map[string]*pause{}}
	now := time.Unix(1_000_000, 0)
	for i, want := range []bool{true, true, true, false, false} {
		if got := f.mayTry("s", now); got != want {
			t.Errorf("try %d: got %v", i, got)
		}
	}
	if !f.mayTry("other", now) || !f.mayTry("s", now.Add(paceEvery)) || f.mayTry("s", now.Add(paceEvery)) {
		t.Error("one try comes back after paceEvery, and each session has its own")
	}
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		if got := f.failed("ann", now); got != want || f.pausedFor("ann", now.Add(time.Second)) != want-time.Second {
			t.Errorf("failure %d: got %v, want %v", i, got, want)
		}
	}
	if f.pausedFor("ann", now.Add(time.Hour)) > 0 || f.pausedFor("bob", now) > 0 {
		t.Error("the pause has no end, or is everybody's")
	}
	f.succeeded("ann")
	if f.failed("ann", now) != 30*time.Second {
		t.Error("a success is not remembered")
	}
	for i := range 3 * maxPaces {
		then := now.Add(time.Duration(i) * time.Second)
		f.mayTry(fmt.Sprint(i), then)
		f.failed(fmt.Sprint(i), then)
	}
	if len(f.paces) > maxPaces+1 || len(f.failures) > maxPaces+1 {
		t.Errorf("%d and %d are remembered, want %d at most", len(f.paces), len(f.failures), maxPaces)
	}
}
