package attacks

import (
	"encoding/base32"
	"maps"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/totp"
)

func init() { sections = append(sections, secondFactor) }

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	secondFactor.try(t, newLab(t, setup{identity: guessingIdentity, files: map[string]string{"cheap.yaml": guessingUsers}}))
}

// phone is a user's browser, and the app on their phone.
type phone struct {
	*jar
	t    *testing.T
	user string
	key  []byte
	last int64
}

var (
	phoneStep = regexp.MustCompile(`[?&]step=([0-9a-f]{8})`)
	phoneKey  = regexp.MustCompile(`id="key">([A-Z2-7 ]+)</code>`)
)

// newPhone has a user set up an app. It is no part of what a case leaves behind.
func newPhone(t *testing.T, l *lab, user string) *phone {
	t.Helper()
	p := &phone{jar: l.newJar(user + "'s browser"), t: t, user: user}
	p.send("/.evergate/login", url.Values{"username": {user}, "password": {password}, "rd": {"/"}}).status(t, 303)
	m := phoneKey.FindStringSubmatch(p.get("/.evergate/account/app").body)
	if m == nil {
		t.Fatal("there is no key on the page")
	}
	l.secrets.add("the key of an app", strings.ReplaceAll(m[1], " ", ""))
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(m[1], " ", ""))
	p.key = must(t, key, err)
	p.send("/.evergate/account/app", url.Values{"code": {p.code()}}).status(t, 200)
	p.signOut().status(t, 200)
	l.eventually("the audit log has the sign-out", func() bool { // it is written beside
		all := l.events()
		return all[len(all)-1]["reason"] == "signed_out"
	})
	l.before = l.marks()
	return p
}

// send sends a form of the gateway's own.
func (p *phone) send(target string, form url.Values, more ...string) *reply {
	p.t.Helper()
	return p.keep(p.l.post(target, form.Encode(), p.lines(append(more, "Origin: https://"+p.l.host)...)...))
}

// code is one that was not used yet, and will be taken as long as an answer may take.
func (p *phone) code() string {
	step := max(p.last+1, totp.Step(time.Now().Add(patience))-1)
	for ; step > totp.Step(time.Now())+1; time.Sleep(50 * time.Millisecond) {
	}
	p.last = step
	return totp.Code(p.key, step)
}

// halfway gives the password, and returns the id of the sign-in under way.
func (p *phone) halfway() string {
	p.t.Helper()
	r := p.send("/.evergate/login", url.Values{"username": {p.user}, "password": {password}, "rd": {"/"}})
	m := phoneStep.FindStringSubmatch(r.Header.Get("Location"))
	if m == nil || p.sid() != "" {
		p.t.Fatalf("after the password: got %d to %q, want to be asked for a code", r.StatusCode, r.Header.Get("Location"))
	}
	return m[1]
}

func (p *phone) prove(step, code string) *reply {
	p.t.Helper()
	return p.send("/.evergate/second", url.Values{"step": {step}, "code": {code}})
}

// secondFactor is what somebody does who knows a password, or has what belongs to a sign-in under way.
var secondFactor = &section{name: "Between the password and the second factor", test: "TestSecondFactor", attacks: []attack{
	{"N-01", "critical", "the page of the second factor without its cookie, with that of another browser under another id, twice, of another host, changed, made up, and as a session's",
		"400, or the sign-in page: nobody is signed in, by a right code neither, which is not used up", func(t *testing.T, l *lab) {
			p := newPhone(t, l, "alice")
			step := p.halfway()
			name := sessionCookie + "-half-" + step
			value := p.all[name]
			if value == "" {
				t.Fatalf("there is no cookie %s", name)
			}
			code := p.code()
			form := url.Values{"step": {step}, "code": {code}}.Encode()
			forged, flipped := "Cookie: "+name+"=", []byte(value)
			flipped[len(flipped)/2] ^= 1
			for what, lines := range map[string][]string{
				"none": {}, "made up": {forged + "AAAA"}, "changed": {forged + string(flipped)}, "empty": {forged},
				"twice": {forged + value + "; " + name + "=" + value}, "under another id": {"Cookie: " + sessionCookie + "-half-00000000=" + value},
			} {
				r := l.post("/.evergate/second", form, append(lines, "Origin: https://"+l.host)...)
				if r.StatusCode != 400 || strings.Contains(strings.Join(r.Header.Values("Set-Cookie"), " "), sessionCookie+"=") {
					t.Errorf("%s: got %d with %q, want 400", what, r.StatusCode, r.Header.Values("Set-Cookie"))
				}
				l.get("/.evergate/account/app?step="+step, lines...).status(t, 400)
			}
			other := strings.Replace(l.request("POST", "/.evergate/second", forged+value, "Content-Type: application/x-www-form-urlencoded", "Content-Length: "+strconv.Itoa(len(form))), "Host: "+l.host, "Host: "+strings.Replace(l.host, gatewayHost, otherHost, 1), 1) + form
			l.one(other).status(t, 400, 403, 404, 421)
			l.denied(l.get("/", "Cookie: "+sessionCookie+"="+value))
			l.denied(l.get("/", p.lines()...))
			p.prove(step, code).status(t, 303)
			l.saw(traces{sessions: 1, any: true})
		}},
	{"N-02", "critical", "a code once more: at the same sign-in, at another one, from eight browsers at once; and the cookie of a sign-in that is complete, with no code, an old one and that of another account",
		"one session for each right code, and none for anything else", func(t *testing.T, l *lab) {
			other := newPhone(t, l, "carol")
			p := newPhone(t, l, "bob")
			step := p.halfway()
			before := maps.Clone(p.all)
			code := p.code()
			p.prove(step, code).status(t, 303)
			thief := &phone{jar: &jar{l, "a thief", before}, t: t, user: "bob"}
			for _, c := range []string{code, "", "000000", strings.Repeat("9", 60)} {
				thief.prove(step, c).status(t, 401)
			}
			thief.prove(step, other.code()).status(t, 401)
			again := &phone{jar: l.newJar("another browser"), t: t, user: "bob"}
			again.prove(again.halfway(), code).status(t, 401)
			fresh := p.code()
			got := map[int]int{}
			answers := make(chan int, 8)
			for range 8 {
				mine := &phone{jar: &jar{l, "one of eight", maps.Clone(before)}, t: t, user: "bob"}
				go func() { answers <- mine.prove(step, fresh).StatusCode }()
			}
			for range 8 {
				got[<-answers]++
			}
			if got[303] != 1 || got[401] != 7 {
				t.Errorf("one code from eight browsers at once: got %v, want it taken once", got)
			}
			l.saw(traces{sessions: 2, any: true})
		}},
	{"N-03", "high", "guessing: 30 codes at a sign-in under way, then the right one; a code in the address",
		"ten are looked at, the others get 429 with Retry-After, the right one too; what is in the address is not a code", func(t *testing.T, l *lab) {
			p := newPhone(t, l, "dave")
			step := p.halfway()
			p.send("/.evergate/second?step="+step+"&code="+p.code(), url.Values{}).status(t, 400)
			p.get("/.evergate/second?step="+step+"&code="+p.code()).status(t, 200)
			began := time.Now()
			looked, throttled := guessed(t, 30, func(int) *reply { return p.prove(step, "000000") })
			// The wait is a second after ten, and twice as long after each that it lets through.
			if most := 10 + int(math.Log2(1+time.Since(began).Seconds())) + 1; looked < 10 || looked > most || looked+throttled != 30 {
				t.Errorf("%d guesses were looked at, want ten, and %d at most", looked, most)
			}
			right := p.code() // which may take until the next one is there
			for range 300 {   // until the wait is so long that the next line is within it, on a busy machine too
				if wait, _ := strconv.Atoi(p.prove(step, "000000").Header.Get("Retry-After")); wait >= 4 {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if r := p.prove(step, right); r.StatusCode != 429 {
				t.Errorf("the right one afterwards: got %d, want 429", r.StatusCode)
			}
			l.saw(traces{any: true})
		}},
	{"N-04", "high", "POST by a page of another site: a code, an app to be set up, one to be removed, recovery codes to be made", "403, and nothing changes", func(t *testing.T, l *lab) {
		p := newPhone(t, l, "erin")
		p.prove(p.halfway(), p.code()).status(t, 303)
		l.settled("session.started")
		l.before = l.marks()
		for _, path := range []string{"/.evergate/second", "/.evergate/account/app", "/.evergate/account/app/remove", "/.evergate/account/codes"} {
			for _, from := range crossSiteSenders {
				r := l.post(path, "code=123456", p.lines(from...)...)
				if r.StatusCode != 403 {
					t.Errorf("%s from %v: got %d, want 403", path, from, r.StatusCode)
				}
			}
		}
		if body := p.get("/.evergate/account").body; !strings.Contains(body, "10 recovery codes are left") {
			t.Errorf("the account page says something else than before: %s", body)
		}
		l.saw(traces{})
	}},
	{"N-05", "critical", "by somebody halfway, who knows a password alone: an app of their own in the place of the owner's; the account page, recovery codes and the removal of the app with the cookies of a sign-in under way",
		"the code of the owner's app is asked for first, and the owner's goes on to be good", func(t *testing.T, l *lab) {
			p := newPhone(t, l, "frank")
			step := p.halfway()
			for _, path := range []string{"/.evergate/account/app?step=" + step, "/.evergate/account/app", "/.evergate/account/codes?step=" + step, "/.evergate/account"} {
				r := p.get(path)
				if r.StatusCode != 303 || strings.Contains(r.body, "otpauth") {
					t.Errorf("%s: got %d to %q, want to prove more first", path, r.StatusCode, r.Header.Get("Location"))
				}
			}
			for _, path := range []string{"/.evergate/account/app", "/.evergate/account/app/remove", "/.evergate/account/codes"} {
				for _, form := range []url.Values{{"step": {step}, "code": {"123456"}}, {"code": {"123456"}}} {
					r := p.send(path, form)
					if r.StatusCode != 303 || strings.Contains(r.Header.Get("Location"), "done=") {
						t.Errorf("%s with %v: got %d to %q", path, form, r.StatusCode, r.Header.Get("Location"))
					}
				}
			}
			p.prove(step, p.code()).status(t, 303)
			l.saw(traces{sessions: 1, any: true})
		}},
}}
