package attacks

import (
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func init() { sections = append(sections, invites) }

func TestInvites(t *testing.T) {
	t.Parallel()
	invites.try(t, newLab(t, setup{}))
}

var inviteCode = regexp.MustCompile(`(?m)^code:\s+(\S+)$`)

// user runs a subcommand of `evergate user`.
func (l *lab) user(args ...string) (string, error) {
	cmd := exec.CommandContext(l.t.Context(), binary, append([]string{"user", args[0], "--config", l.config}, args[1:]...)...)
	cmd.Dir = l.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// invite has a code made for somebody.
func (l *lab) invite(user string) string {
	l.t.Helper()
	out, err := l.user("invite", user)
	m := inviteCode.FindStringSubmatch(out)
	if err != nil || m == nil {
		l.t.Fatalf("user invite %s: %v\n%s", user, err, out)
	}
	return m[1]
}

const newPassword = "other words in a row"

// accept sends a code with a new password.
func (l *lab) accept(code string, lines ...string) *reply {
	l.t.Helper()
	form := url.Values{"code": {code}, "new": {newPassword}, "again": {newPassword}}.Encode()
	return l.line().post("/.evergate/invite", form, append([]string{"Origin: https://" + l.host}, lines...)...)
}

// signsIn reports whether a password is alice's.
func (l *lab) signsIn(pass string) bool {
	l.t.Helper()
	form := url.Values{"username": {"alice"}, "password": {pass}, "rd": {"/"}}.Encode()
	return l.line().post("/.evergate/login", form, "Origin: https://"+l.host).StatusCode == http.StatusSeeOther
}

// invites is what is done with one-time codes by which people set their passwords.
var invites = &section{name: "Invitations", test: "TestInvites", attacks: []attack{
	{"I-01", "critical", "500 codes that were never made while one is out, among them that one with a letter changed, cut off, doubled, or with something behind it",
		"one page for all, which names nobody and sets no cookie; the password stays", func(t *testing.T, l *lab) {
			code := l.invite("alice")
			guesses := []string{"", "-", code[:len(code)-1], code + "A", code + code, "A" + code[1:] + "2", strings.Repeat("A", 60<<10), code + "\x00A", "\xff" + code[1:]}
			for len(guesses) < 500 {
				guesses = append(guesses, strings.Map(func(r rune) rune { return rune("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(int(r)*31+len(guesses)*7)%32]) }, code))
			}
			page := ""
			for _, guess := range guesses {
				r := l.accept(guess)
				if r.status(t, 403); len(r.Cookies()) != 0 || strings.Contains(r.body, "alice") {
					t.Fatalf("%.40q: got %d cookies and %.2000s", guess, len(r.Cookies()), r.body)
				}
				if page == "" {
					page = r.body
				}
				if len(r.body) != len(page) {
					t.Errorf("%.40q: got another page than for others:\n%.2000s", guess, r.body)
				}
			}
			if !l.signsIn(password) {
				t.Error("the password was changed")
			}
			l.saw(traces{sessions: 1, any: true})
		}},
	{"I-02", "critical", "a code that was used, one that another took the place of, and one that is used by twenty at once", "each is good once, for one of them; a session of before is ended by it", func(t *testing.T, l *lab) {
		first := l.invite("bob")
		second := l.invite("bob")
		l.accept(first).status(t, 403)
		codes := make(chan int, 20)
		for range cap(codes) {
			go func() { codes <- l.accept(second).StatusCode }()
		}
		good := 0
		for range cap(codes) {
			switch status := <-codes; status {
			case http.StatusSeeOther:
				good++
			case http.StatusForbidden, http.StatusServiceUnavailable: // there are only so many hashes at once
			default:
				t.Errorf("got %d", status)
			}
		}
		if good != 1 {
			t.Errorf("the code was good for %d, want 1", good)
		}
		l.accept(second).status(t, 403)
		l.saw(traces{sessions: 1, any: true})
	}},
	{"I-03", "high", "a code in the query of the page, by GET and by POST, and as a header or a cookie", "it is not looked at, is good still, and is in no line of the log", func(t *testing.T, l *lab) {
		code := l.invite("alice")
		query := "/.evergate/invite?" + url.Values{"code": {code}, "new": {newPassword}, "again": {newPassword}}.Encode()
		if r := l.get(query); r.StatusCode != 200 || strings.Contains(r.body, "alice") || strings.Contains(r.body, code) {
			t.Errorf("by GET: got %d %.2000s", r.StatusCode, r.body)
		}
		l.line().post(query, "", "Origin: https://"+l.host, "X-Code: "+code, "Cookie: code="+code).status(t, 403)
		if !l.signsIn(password) {
			t.Error("the password was changed")
		}
		l.line().post("/.evergate/invite", url.Values{"code": {code}}.Encode(), "Origin: https://"+l.host).status(t, 200)
		if said := l.out.from(0); strings.Contains(said, code) {
			t.Error("the code is in the log")
		}
		l.saw(traces{sessions: 1, any: true})
	}},
	{"I-04", "high", "a good code with a new password, sent by a page of another site, of another scheme, and with no origin that can be told", "403, and the code is good still", func(t *testing.T, l *lab) {
		code := l.invite("alice")
		form := url.Values{"code": {code}, "new": {newPassword}, "again": {newPassword}}.Encode()
		for _, from := range []string{"Origin: https://evil.example", "Origin: null", "Origin: http://" + l.host, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"} {
			l.line().post("/.evergate/invite", form, from).status(t, 403)
		}
		if !l.signsIn(password) {
			t.Error("the password was changed")
		}
		l.line().post("/.evergate/invite", url.Values{"code": {code}}.Encode(), "Origin: https://"+l.host).status(t, 200)
		l.saw(traces{sessions: 1, any: true})
	}},
	{"I-05", "high", "the invitation of somebody who is disabled, and a code of somebody who was disabled after it was made", "none is made, and none is good", func(t *testing.T, l *lab) {
		code := l.invite("root")
		if out, err := l.user("disable", "root"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if out, err := l.user("invite", "root"); err == nil {
			t.Errorf("one was made: %s", out)
		}
		l.accept(code).status(t, 403)
		if out, err := l.user("disable", "--undo", "root"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		l.saw(traces{any: true})
	}},
}}
