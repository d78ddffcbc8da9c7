package attacks

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/passkey/passkeytest"
)

// theftPasskey is the drill of a password that its owner told somebody, where that is not enough.
var theftPasskey = attack{"TD-9", "critical", "a password that its owner typed into a page that looks like the gateway's, with `second_factor: required` and a passkey: by the thief alone, and by a proxy on another host that hands the gateway's questions on to the owner",
	"the thief gets to the question for the passkey and no further: nothing is served, no passkey or app can be set up, and what the owner's browser signs for another host is refused. An answer that was overheard is worth nothing in another browser, and nothing a second time",
	func(t *testing.T, l *lab) {
		device := passkeytest.NewDevice(t, "https://"+l.host, gatewayHost)
		owner := l.newJar("the owner's browser")
		step := owner.password(t)
		challenge, handle := owner.question(t, "/.evergate/account/passkeys/options?step="+step)
		device.Handle = handle
		owner.send("/.evergate/account/passkeys", url.Values{"do": {"add"}, "step": {step}, "name": {"Key"}, "passkey": {string(device.Make(challenge))}}).status(t, http.StatusOK) // the recovery codes
		owner.get("/").status(t, 200)
		l.hears("passkey.added")

		thief := l.newJar("the thief's browser")
		step = thief.password(t)
		l.denied(thief.get("/"))
		thief.get("/.evergate/account/passkeys?step="+step).status(t, http.StatusSeeOther)
		thief.send("/.evergate/account/passkeys/options?step="+step, nil).status(t, http.StatusSeeOther)
		thief.send("/.evergate/second", url.Values{"step": {step}, "code": {"000000"}}).status(t, http.StatusUnauthorized)

		// The owner is at the thief's page, and touches the key: browsers sign for where they are.
		relayed := *device
		for _, at := range []struct{ origin, party string }{
			{"https://" + gatewayHost + ".evil.test", gatewayHost + ".evil.test"},
			{"https://evil.test", "evil.test"},
			{"https://evil.test", gatewayHost}, // no browser does
		} {
			relayed.Origin, relayed.Party = at.origin, at.party
			challenge, _ := thief.question(t, "/.evergate/passkey/options?step="+step)
			thief.send("/.evergate/second", url.Values{"step": {step}, "passkey": {string(relayed.Sign(challenge))}}).status(t, http.StatusUnauthorized)
			challenge, _ = thief.question(t, "/.evergate/passkey/options")
			thief.send("/.evergate/login", url.Values{"passkey": {string(relayed.Sign(challenge))}, "rd": {"/"}}).status(t, http.StatusUnauthorized)
		}
		l.denied(thief.get("/"))
		if e := l.hears("login.failed"); e["reason"] != "second_factor" {
			t.Errorf("the audit log has %v, want that the second factor was wrong", e)
		}

		again := l.newJar("the owner's other browser")
		challenge, _ = again.question(t, "/.evergate/passkey/options")
		overheard := url.Values{"passkey": {string(device.Sign(challenge))}, "rd": {"/"}}
		thief.send("/.evergate/login", overheard).status(t, http.StatusUnauthorized)
		before := again.copy("the same browser")
		again.send("/.evergate/login", overheard).status(t, http.StatusSeeOther)
		again.get("/").status(t, 200)
		before.send("/.evergate/login", overheard).status(t, http.StatusUnauthorized)
		for _, g := range l.saw(traces{app: 2, sessions: 2, any: true}) {
			if user := g.Header.Get("X-Forwarded-User"); user != "alice" {
				t.Errorf("the app was asked by %q", user)
			}
		}
	}}

// send posts a form from the jar, as a page of the gateway's own does.
func (j *jar) send(target string, form url.Values) *reply {
	j.l.t.Helper()
	return j.keep(j.l.post(target, form.Encode(), j.lines("Origin: https://"+j.l.host)...))
}

// password types alice's into the sign-in page, and returns the step that asks for more.
func (j *jar) password(t *testing.T) (step string) {
	t.Helper()
	r := j.send("/.evergate/login", url.Values{"username": {"alice"}, "password": {password}, "rd": {"/"}})
	r.status(t, http.StatusSeeOther)
	_, step, ok := strings.Cut(r.Header.Get("Location"), "/.evergate/second?step=")
	if !ok {
		t.Fatalf("the password leads to %q, want to the second factor", r.Header.Get("Location"))
	}
	return step
}

// question asks for a passkey, and returns the challenge and the user handle in the options.
func (j *jar) question(t *testing.T, target string) (challenge string, handle []byte) {
	t.Helper()
	r := j.send(target, nil)
	r.status(t, 200)
	var o struct {
		Challenge string
		User      struct{ ID string }
	}
	if err := json.Unmarshal([]byte(r.body), &o); err != nil || o.Challenge == "" {
		t.Fatalf("got %v of %.300q", err, r.body)
	}
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	return o.Challenge, must(t, handle, err)
}
