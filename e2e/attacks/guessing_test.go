package attacks

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() { sections = append(sections, guessing) }

func TestGuessing(t *testing.T) {
	t.Parallel()
	files := map[string]string{"cheap.yaml": guessingUsers}
	strangers := newLab(t, setup{identity: guessingIdentity, files: files, more: "trusted_proxies: [127.0.0.1]\n"})
	one := newLab(t, setup{identity: guessingIdentity, files: files})
	guessing.tryOn(t, strangers, map[string]*lab{"U-02": one, "U-12": one})
}

const guessingIdentity = "  - local: { users_file: cheap.yaml }\n"

// guessingUsers have hashes of the least cost that a users file may have, since a case of these
// makes dozens. Everybody's password is password, but long's: 72 letters a and an x.
var guessingUsers = func() string {
	const hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$YH6MNGsj8Zp5dpSTggM0jViWta6nZpyEaPVKeQ8l1f0"
	var b strings.Builder
	b.WriteString("users:\n")
	for _, name := range []string{"alice", "bob", "carol", "dave", "erin", "frank"} {
		fmt.Fprintf(&b, "  %s: { password: %q, groups: [staff], email: %s@example.com }\n", name, hash, name)
	}
	fmt.Fprintf(&b, "  gone: { password: %q, disabled: true }\n", hash)
	fmt.Fprintf(&b, "  long: { password: %q }\n", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$NIFm0kbsW6Rk6LDyqfYGTdoxcU4d+w7VH68T0kk9U6k")
	return b.String()
}()

// guess tries a password as the client of an address, which counts where the lab believes it.
func guess(x *line, address, user, pass string) *reply {
	x.l.t.Helper()
	form := url.Values{"username": {user}, "password": {pass}, "rd": {"/"}}.Encode()
	return x.post("/.evergate/login", form, "Origin: https://"+x.l.host, "X-Forwarded-For: "+address, "X-Forwarded-Proto: https")
}

// guessIn is guess by a browser, which keeps what it is given.
func guessIn(j *jar, address, user, pass string) *reply {
	j.l.t.Helper()
	form := url.Values{"username": {user}, "password": {pass}, "rd": {"/"}}.Encode()
	return j.keep(j.l.post("/.evergate/login", form, j.lines("Origin: https://"+j.l.host, "X-Forwarded-For: "+address, "X-Forwarded-Proto: https")...))
}

// guessingFrom is an address that nobody had before.
var guessingFrom = func() func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("198.18.%d.%d", n/250, n%250+1)
	}
}()

// guessed are how many of a number of guesses were looked at, and how many were sent away.
func guessed(t *testing.T, n int, one func(i int) *reply) (looked, throttled int) {
	t.Helper()
	for i := range n {
		switch r := one(i); r.StatusCode {
		case http.StatusUnauthorized:
			looked++
		case http.StatusTooManyRequests:
			throttled++
			if r.Header.Get("Retry-After") == "" || r.Header.Get("Retry-After") == "0" {
				t.Errorf("guess %d: got 429 with Retry-After %q", i, r.Header.Get("Retry-After"))
			}
		default:
			t.Fatalf("guess %d: got %d %.300q", i, r.StatusCode, r.body)
		}
	}
	return looked, throttled
}

// guessing is what somebody without an account does at the sign-in page.
var guessing = &section{name: "Guessing passwords and names", test: "TestGuessing", attacks: []attack{
	{"U-01", "high", "1000 wrong passwords for one account from 1000 addresses, and 1000 for 1000 names from one address; then with cookies by which the gateway is to take a stranger for the owner's browser: made up, changed, somebody else's, of another host, twice, and the owner's own with wrong passwords",
		"ten and forty are looked at, the others get 429 with Retry-After; the owner's browser, which signed in before, still signs in from anywhere while it goes on, and so does the owner from where they signed in before; a cookie that is not good helps nobody, a stolen one gives ten guesses; and nobody is locked out for good", func(t *testing.T, l *lab) {
			x, home, abroad := l.line(), guessingFrom(), guessingFrom()
			owner := l.newJar("the owner's browser")
			again := func(address string) { // the owner signs out, where they are in, and in
				t.Helper()
				if owner.sid() != "" {
					owner.signOut().status(t, 200)
				}
				guessIn(owner, address, "alice", password).status(t, 303)
			}
			again(abroad)
			owner.signOut().status(t, 200)
			l.settled("session.started")
			guess(x, home, "alice", password).status(t, 303)
			l.settled("session.started")
			looked, _ := guessed(t, 1000, func(int) *reply { return guess(x, guessingFrom(), "alice", "wrong") })
			if looked < 8 || looked > 20 {
				t.Errorf("%d guesses at alice were looked at, want about ten", looked)
			}
			guess(x, guessingFrom(), "alice", password).status(t, 429) // even if it is right: a stranger learns nothing
			guess(x, home, "alice", password).status(t, 303)
			// The owner's browser is let in from anywhere while the guesses go on.
			for range 3 {
				guessingKeepOut(t, x)
				again(guessingFrom())
				guess(x, guessingFrom(), "alice", "wrong").status(t, 429)
			}
			// Nobody else is, by whatever cookie. One that is good for an account is for that one alone.
			mallory := l.newJar("mallory's browser")
			guessIn(mallory, guessingFrom(), "carol", password).status(t, 303)
			for name, cookies := range guessingCookies(l, owner, mallory) {
				guessingKeepOut(t, x)
				r := x.post("/.evergate/login", url.Values{"username": {"alice"}, "password": {password}}.Encode(),
					"Origin: https://"+l.host, "X-Forwarded-For: "+guessingFrom(), "X-Forwarded-Proto: https", "Cookie: "+cookies)
				if r.StatusCode != 429 {
					t.Errorf("a cookie that is %s: got %d, want 429", name, r.StatusCode)
				}
			}
			l.denied(x.get("/", "Cookie: "+sessionCookie+"="+owner.all[sessionCookie+"-known"])) // nor does it open anything
			// A stolen one has a count of its own, which holds nobody who signed in since.
			thief := owner.copy("a thief")
			again(guessingFrom())
			looked, _ = guessed(t, 30, func(int) *reply { return guessIn(thief, guessingFrom(), "alice", "wrong") })
			if looked < 8 || looked > 14 {
				t.Errorf("%d guesses with a stolen cookie were looked at, want about ten", looked)
			}
			again(guessingFrom())
			there := guessingFrom()
			looked, _ = guessed(t, 1000, func(i int) *reply { return guess(x, there, fmt.Sprint("nobody", i), "wrong") })
			if looked < 35 || looked > 60 {
				t.Errorf("%d guesses from one address were looked at, want about forty", looked)
			}
			guess(x, there, "bob", password).status(t, 429)
			again(there) // a colleague at the same address
			l.get("/", owner.lines()...).status(t, 200)
			guess(x, guessingFrom(), "bob", password).status(t, 303)
			for _, g := range l.saw(traces{app: 1, sessions: 4, any: true}) {
				if strings.Contains(strings.Join(g.Header["Cookie"], ";"), "evergate") {
					t.Errorf("the app was given the cookies %q", g.Header["Cookie"])
				}
			}
			l.hears("login.failed")
		}},
	{"U-02", "high", "X-Forwarded-For and its kin made up anew for each guess, where no proxy is trusted", "the guesses are counted as those of one address all the same", func(t *testing.T, l *lab) {
		x := l.line()
		looked, _ := guessed(t, 100, func(i int) *reply {
			form := url.Values{"username": {fmt.Sprint("nobody", i)}, "password": {"wrong"}}.Encode()
			a := guessingFrom()
			return x.post("/.evergate/login", form, "Origin: https://"+l.host, "X-Forwarded-For: "+a, "Forwarded: for="+a, "X-Real-IP: "+a, "True-Client-IP: "+a, "CF-Connecting-IP: "+a, "Client-IP: "+a)
		})
		if looked < 35 || looked > 60 {
			t.Errorf("%d were looked at, want about forty", looked)
		}
		l.saw(traces{any: true})
	}},
	{"U-03", "high", "the name as `Carol`, `CAROL`, ` carol `, with a NUL, full-width letters, an address, a tab, a no-break space",
		"what opens the account is counted with it, and what is not counted with it opens nothing", func(t *testing.T, l *lab) {
			x := l.line()
			spellings := []string{"carol", "Carol", "CAROL", " carol", "carol ", "\tcarol\n", "\u00a0carol", "carol\u3000"}
			looked, _ := guessed(t, 40, func(i int) *reply { return guess(x, guessingFrom(), spellings[i%len(spellings)], "wrong") })
			if looked < 8 || looked > 14 {
				t.Errorf("%d guesses by %d spellings were looked at, want about ten", looked, len(spellings))
			}
			for _, other := range []string{"carol\x00", "\x00carol", "carol\x00x", "ｃarol", "carol@example.com", "carol,", "cаrol" /* a Cyrillic a */, "carol\u200b", "local/carol", "*", "c*"} {
				r := guess(x, guessingFrom(), other, password)
				r.status(t, 401)
				if len(r.Cookies()) != 0 {
					t.Errorf("%q got %d cookies", other, len(r.Cookies()))
				}
			}
			// One of them is the account by its own spelling, and is its user in rules.
			j := l.newJar("a browser")
			j.keep(guess(x, guessingFrom(), " dave ", password)).status(t, 303)
			l.get("/", j.lines()...).status(t, 200)
			for _, g := range l.saw(traces{app: 1, sessions: 1, any: true}) {
				if user := g.Header.Get("X-Forwarded-User"); user != "dave" {
					t.Errorf("the app was told of %q, want dave", user)
				}
			}
		}},
	{"U-04", "medium", "a name that there is and one that there is not, with a wrong password: the answers and how long they take",
		"the same status, header and page, and the same work (`TestTimeTellsNobodyWhoExists`)", func(t *testing.T, l *lab) {
			x := l.line()
			var took [2][]time.Duration
			var answers [2]string
			for i := range 7 {
				for k, name := range []string{"erin", "nobody-at-all"} {
					began := time.Now()
					r := guess(x, guessingFrom(), name, "wrong")
					took[k] = append(took[k], time.Since(began))
					if i == 0 {
						answers[k] = guessingSaid(r, name)
					}
				}
			}
			if answers[0] != answers[1] {
				t.Errorf("the answers differ:\n%s\n%s", answers[0], answers[1])
			}
			slices.Sort(took[0])
			slices.Sort(took[1])
			// Without a hash an answer takes a hundredth of this.
			if a, b := took[0][3], took[1][3]; a > 3*b || b > 3*a {
				t.Errorf("a name that there is took %v, another one %v", a, b)
			}
			l.saw(traces{any: true})
		}},
	{"U-05", "medium", "passwords of 1 MB and of 1025 bytes, one that is no UTF-8, and one that is the right one for its first 72 bytes",
		"refused without a hash, or compared as a whole", func(t *testing.T, l *lab) {
			x, a := l.line(), strings.Repeat("a", 72)
			for name, pass := range map[string]string{"1 MB": strings.Repeat("a", 1<<20), "1025 bytes": strings.Repeat("a", 1025), "no UTF-8": "\xff\xfe" + password, "none": "", "the first 72 bytes": a, "another byte behind them": a + "y", "more behind it": a + "xx", "a NUL behind it": a + "x\x00"} {
				r := guess(l.line(), guessingFrom(), "long", pass)
				if r.StatusCode != 400 && r.StatusCode != 401 && r.StatusCode != 413 || len(r.Cookies()) != 0 {
					t.Errorf("%s: got %d and %d cookies, want 400, 401 or 413", name, r.StatusCode, len(r.Cookies()))
				}
			}
			guess(x, guessingFrom(), "long", a+"x").status(t, 303)
			l.saw(traces{sessions: 1, any: true})
		}},
	{"U-06", "medium", "the right password of a disabled user, beside a wrong one of somebody who may", "the same answer", func(t *testing.T, l *lab) {
		x := l.line()
		gone, wrong := guess(x, guessingFrom(), "gone", password), guess(x, guessingFrom(), "frank", "wrong")
		gone.status(t, 401)
		if a, b := guessingSaid(gone, "gone"), guessingSaid(wrong, "frank"); a != b {
			t.Errorf("the answers differ:\n%s\n%s", a, b)
		}
		l.saw(traces{events: []string{"login.failed/credentials", "login.failed/credentials"}})
	}},
	{"U-08", "medium", "500 sign-ins at once, each for another name from another address",
		"a bounded number is hashed, the others are told 503 with Retry-After, and pages of apps are served meanwhile", func(t *testing.T, l *lab) {
			const n = 500
			lines := make([]*line, n)
			for i := range lines {
				lines[i] = l.line()
				lines[i].get("/.evergate/ping") // so that what then comes at once is passwords, and no handshakes
			}
			var all sync.WaitGroup
			var mu sync.Mutex
			count := map[int]int{}
			done := make(chan bool)
			for i, x := range lines {
				from := guessingFrom()
				all.Go(func() {
					r := guess(x, from, fmt.Sprint("crowd", i), "wrong")
					mu.Lock()
					defer mu.Unlock()
					count[r.StatusCode]++
					if r.StatusCode == 503 && r.Header.Get("Retry-After") == "" {
						t.Error("503 without Retry-After")
					}
				})
			}
			go func() { all.Wait(); close(done) }()
			var took []time.Duration
			for x, over := l.line(), false; !over; {
				began := time.Now()
				x.get("/public/x").status(t, 200)
				took = append(took, time.Since(began))
				select {
				case <-done:
					over = true
				case <-time.After(10 * time.Millisecond):
				}
			}
			slices.Sort(took)
			// Behind all of the hashes it would take seconds. A machine that has other things to do gets its time.
			if median := took[len(took)/2]; median > 500*time.Millisecond {
				t.Errorf("meanwhile a page took %v, of %d", median, len(took))
			}
			if count[401]+count[503] != n || count[401] < 1 || count[503] < n/10 {
				t.Errorf("got %v, want 401 for some and 503 for what is too many", count)
			}
			l.saw(traces{app: len(took), any: true})
		}},
	{"U-09", "high", "a users file with a password in the clear, MD5, SHA-512, bcrypt of cost 4, and argon2id that is guessed quickly",
		"the gateway does not start, and `check` names the user", func(t *testing.T, l *lab) {
			for name, hash := range map[string]string{"in the clear": "letmein", "MD5": "$1$salt$qJH7.N4xYta3aEG/dfqo/0", "SHA-512": "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.",
				"bcrypt": "$2a$04$abcdefghijklmnopqrstuuX0X0X0X0X0X0X0X0X0X0X0X0X0X0X0X", "argon2i": "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$YH6MNGsj8Zp5dpSTggM0jViWta6nZpyEaPVKeQ8l1f0",
				"little memory": "$argon2id$v=19$m=1024,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$YH6MNGsj8Zp5dpSTggM0jViWta6nZpyEaPVKeQ8l1f0", "all the memory": "$argon2id$v=19$m=4294967295,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$YH6MNGsj8Zp5dpSTggM0jViWta6nZpyEaPVKeQ8l1f0",
				"no salt": "$argon2id$v=19$m=65536,t=3,p=4$$YH6MNGsj8Zp5dpSTggM0jViWta6nZpyEaPVKeQ8l1f0", "nothing": ""} {
				dir := t.TempDir()
				files := map[string]string{"evergate.yaml": mistakesBase, "users.yaml": fmt.Sprintf("users:\n  mallory: { password: %q }\n", hash)}
				for _, args := range [][]string{{"check", "evergate.yaml"}, {"serve", "--config", "evergate.yaml"}} {
					code, said := evergate(t, dir, files, args...)
					if code != 1 || !strings.Contains(said, "mallory") {
						t.Errorf("%s: %s: got exit code %d, want 1 and the name\n%s", name, args[0], code, said)
					}
				}
			}
			l.saw(traces{})
		}},
	{"U-10", "low", "a name that is markup, script or an attribute's end", "the page shows it as text, or not at all", func(t *testing.T, l *lab) {
		x := l.line()
		for _, name := range []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, `" autofocus onfocus="alert(1)`, "{{.User}}", "${7*7}", "</title><svg onload=alert(1)>", "javascript:alert(1)", "'-alert(1)-'", "\u202eevil"} {
			r := guess(x, guessingFrom(), name, "wrong")
			r.status(t, 401)
			if strings.ContainsAny(name, `<"`) && strings.Contains(r.body, name) {
				t.Errorf("the page has %q as it came", name)
			}
			if strings.Contains(r.body, "onfocus=\"alert") || strings.Contains(r.body, "<svg onload") || strings.Contains(r.body, "<img src=x") {
				t.Errorf("%q has become markup", name)
			}
			if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe-inline") {
				t.Errorf("got the policy %q", policy)
			}
		}
		l.saw(traces{any: true})
	}},
	{"U-12", "medium", "name and password in the address: `GET /.evergate/login?username=alice&password=…`, and by POST with an empty form",
		"nobody is signed in by it, nothing of it is shown again, and no log has it", func(t *testing.T, l *lab) {
			l.secrets.add("the password", password)
			query := url.Values{"username": {"alice"}, "password": {password}}.Encode()
			l.secrets.add("the query", query)
			r := l.get("/.evergate/login?"+query, "Accept: text/html")
			if r.StatusCode != 200 && r.StatusCode != 400 && r.StatusCode != 405 || len(r.Cookies()) != 0 || strings.Contains(r.body, password) || strings.Contains(r.body, "few+words") {
				t.Errorf("got %d, %d cookies and %.300q", r.StatusCode, len(r.Cookies()), r.body)
			}
			r = l.post("/.evergate/login?"+query, "", "Origin: https://"+l.host)
			if r.StatusCode == 303 || len(r.Cookies()) != 0 {
				t.Errorf("by POST: got %d and %d cookies", r.StatusCode, len(r.Cookies()))
			}
			time.Sleep(80 * time.Millisecond) // the log is written beside
			for _, place := range []string{l.out.from(0), guessingFile(t, filepath.Join(l.dir, "audit.jsonl"))} {
				if strings.Contains(place, query) || strings.Contains(place, "few") {
					t.Error("a log has the password")
				}
			}
			l.saw(traces{any: true})
		}},
}}

// guessingKeepOut has strangers guess at alice until one has to wait for longer than what then
// follows takes, on a busy machine too.
func guessingKeepOut(t *testing.T, x *line) {
	t.Helper()
	for range 500 {
		r := guess(x, guessingFrom(), "alice", "wrong")
		if r.StatusCode != http.StatusTooManyRequests {
			continue
		}
		if left, _ := strconv.Atoi(r.Header.Get("Retry-After")); left > 8 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("500 guesses keep no stranger out")
}

// guessingCookies are some that do not make the owner's browser of the one that sends them.
func guessingCookies(l *lab, owner, mallory *jar) map[string]string {
	l.t.Helper()
	const name = sessionCookie + "-known"
	good, hers := owner.all[name], mallory.all[name]
	if good == "" || hers == "" {
		l.t.Errorf("got the cookies %q and %q, want a browser to be given one", good, hers)
	}
	plain, err := l.ring().Open("known", gatewayHost, good)
	elsewhere, err2 := l.ring().Seal("known", "other.test", plain, time.Hour)
	handle, err3 := l.ring().Seal("handle", gatewayHost, plain, time.Hour)
	over, err4 := l.ring().Seal("known", gatewayHost, plain, time.Nanosecond)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		l.t.Fatal(err)
	}
	if bytes.Contains(plain, []byte("alice")) {
		l.t.Error("the cookie has the name in the clear, under its seal")
	}
	return map[string]string{
		"made up": name + "=alice", "empty": name + "=", "changed": name + "=" + good[:len(good)-6] + "AAAAAA", "cut off": name + "=" + good[:len(good)/2],
		"somebody else's": name + "=" + hers, "of another host": name + "=" + elsewhere, "of another purpose": name + "=" + handle, "over": name + "=" + over,
		"there twice": name + "=" + good + "; " + name + "=" + good, "the session's": name + "=" + mallory.sid(), "under another name": strings.ToLower(name) + "=" + good,
	}
}

// guessingSaid is all of an answer that may not tell names apart.
func guessingSaid(r *reply, name string) string {
	h := r.Header.Clone()
	for _, own := range []string{"Date", "X-Request-Id", "Server-Timing"} {
		h.Del(own)
	}
	body := regexp.MustCompile(`[A-Z0-9]{26}`).ReplaceAllString(strings.ReplaceAll(r.body, name, "NAME"), "ID")
	h.Del("Content-Length") // as long as the name
	return fmt.Sprint(r.StatusCode, h, body)
}

func guessingFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	return string(must(t, b, err))
}
