package auth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/passkey"
	"github.com/evergate/evergate/auth/passkey/passkeytest"
	"github.com/evergate/evergate/internal/event"
)

// prover knows who is there, and whom somebody disabled.
type prover struct{ disabled bool }

func (p *prover) Proven(_ context.Context, user, _ string, at time.Time, proof auth.Proof) (*auth.Login, error) {
	if p.disabled {
		return nil, &auth.Refused{Reason: "disabled"}
	}
	return &auth.Login{Identity: auth.Identity{Provider: "local", Subject: user, User: user}, AuthTime: at, AMR: proof.AMR, ACR: proof.ACR}, nil
}

// keyHouse is a house with passkeys.
type keyHouse struct {
	*house
	device  *passkeytest.Device
	prover  *prover
	drawer  *passkeytest.Drawer
	onceErr error
	told    []event.Event
}

func openKeys(t *testing.T, edit ...func(*auth.Factors)) *keyHouse {
	t.Helper()
	k := &keyHouse{prover: &prover{}, drawer: &passkeytest.Drawer{}}
	used := map[string]bool{}
	k.house = open(t, func(c *auth.HandlerConfig) {
		at := *c.PublicURL
		at.Host = strings.Replace(at.Host, "127.0.0.1", "localhost", 1)
		c.PublicURL = &at
		book := credential.NewBook(k.drawer)
		keys, err := passkey.New(passkey.Config{PublicURL: &at, Book: book, Provider: "local", Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		c.Factors = &auth.Factors{Credentials: book, Users: k.prover, Passkeys: keys}
		for _, e := range edit {
			e(c.Factors)
		}
		c.Once = func(_ context.Context, name string, _ time.Time) (bool, error) {
			first := !used[name]
			used[name] = true
			return first, k.onceErr
		}
		c.NewDevices = true
		c.Heard = func(_ context.Context, e event.Event) { k.told = append(k.told, e) }
		k.device = passkeytest.NewDevice(t, at.String(), "localhost")
	})
	k.URL = strings.Replace(k.URL, "127.0.0.1", "localhost", 1)
	return k
}

// question asks for options, and returns the challenge and the user handle in them.
func (b *browser) question(t *testing.T, path string) (challenge string, handle []byte) {
	t.Helper()
	p := b.do("POST", path, "", "")
	p.want(t, 200)
	var o struct {
		Challenge string
		User      struct{ ID string }
	}
	if err := json.Unmarshal([]byte(p.body), &o); err != nil || o.Challenge == "" {
		t.Fatalf("got %v of %s", err, p.body)
	}
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	return o.Challenge, handle
}

const (
	askPath    = "/.evergate/passkey/options"
	keysPath   = "/.evergate/account/passkeys"
	notTaken   = "The passkey could not be verified. Try again, or use another way."
	cookieName = sessionCookie + "-passkey-"
)

// enrol signs alice in and makes a passkey.
func (k *keyHouse) enrol() *browser {
	k.t.Helper()
	b := k.browser()
	b.signIn("/", "alice")
	challenge, handle := b.question(k.t, keysPath+"/options")
	k.device.Handle = handle
	b.post(keysPath, url.Values{"do": {"add"}, "name": {"Laptop"}, "passkey": {string(k.device.Make(challenge))}}).
		want(k.t, 200, "Your passkey is made", "Laptop")
	return b
}

// answered sends what the authenticator signed, and more of the form.
func (b *browser) answered(answer []byte, more ...string) page {
	values := url.Values{"passkey": {string(answer)}, "rd": {"/app"}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return b.post("/.evergate/login", values)
}

func TestPasskeyAlone(t *testing.T) {
	k := openKeys(t)
	k.enrol()
	b := k.browser()
	b.get("/app").want(t, 200, `autocomplete="username webauthn"`, "data-passkey", "Sign in with a passkey")
	challenge, _ := b.question(t, askPath)
	answer := k.device.Sign(challenge)
	kept := b.c.Jar.Cookies(mustURL(t, k.URL))

	k.browser().answered(answer).want(t, 401, notTaken) // not the browser that was asked
	looked := 0                                         // whether the device is known
	k.sessions.set(func() {
		k.sessions.begun = func(r *http.Request) {
			if auth.IsMeeting(r.Context()) {
				looked++
			}
		}
	})
	b.answered(answer, "remember", "1").want(t, 200, "the app")
	b.get("/.evergate/account").want(t, 200, "by a passkey", "Proven by</dt><dd>passkey</dd>")
	if looked != 1 {
		t.Errorf("it was looked %d times whether the device is known, want once", looked)
	}
	if left := b.ceremonies(t); left != 0 {
		t.Errorf("%d ceremonies are left after the sign-in", left)
	}
	b.c.Jar.SetCookies(mustURL(t, k.URL), kept)
	b.answered(answer).want(t, 401, notTaken) // the same once more, with the cookie of before
	failed := 0
	for _, e := range k.told {
		if e.Name == event.LoginFailed && e.Reason == event.BadPasskey {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d failures are told, want 2: %+v", failed, k.told)
	}

	challenge, _ = b.question(t, askPath)
	k.advance(5*time.Minute + time.Second)
	b.answered(k.device.Sign(challenge)).want(t, 401, notTaken)
	k.device.Verifies = false
	challenge, _ = b.question(t, askPath)
	b.answered(k.device.Sign(challenge)).want(t, 401, notTaken)
	k.device.Verifies, k.prover.disabled = true, true
	challenge, _ = b.question(t, askPath)
	b.answered(k.device.Sign(challenge)).want(t, 401, notTaken)
	k.prover.disabled = false
	k.onceErr = &auth.Unavailable{What: "the session store", Err: errors.New("internal detail")}
	challenge, _ = b.question(t, askPath)
	b.answered(k.device.Sign(challenge)).want(t, 503, "Nothing is wrong with your passkey")
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// ceremonies is how many are under way in the browser.
func (b *browser) ceremonies(t *testing.T) (n int) {
	for _, c := range b.c.Jar.Cookies(mustURL(t, b.h.URL)) {
		if strings.HasPrefix(c.Name, cookieName) {
			n++
		}
	}
	return n
}

// TestPasskeyQuestionsAreBounded: tabs have a question each, and many tabs do not fill the jar.
func TestPasskeyQuestionsAreBounded(t *testing.T) {
	k := openKeys(t)
	k.enrol()
	b := k.browser()
	var all []string
	for range 9 {
		k.advance(time.Second)
		challenge, _ := b.question(t, askPath)
		all = append(all, challenge)
	}
	if n := b.ceremonies(t); n > 6 {
		t.Errorf("%d are under way, want 6 at the most", n)
	}
	b.answered(k.device.Sign(all[0])).want(t, 401, notTaken)
	b.answered(k.device.Sign(all[5])).want(t, 200, "the app")
}

// TestPasskeyQuestionsAreNotMixedUp: what was signed for one purpose is nothing for another.
func TestPasskeyQuestionsAreNotMixedUp(t *testing.T) {
	k := openKeys(t)
	signedIn := k.enrol()
	b := k.browser()
	second := b.signIn("/app", "alice")
	second.want(t, 200, "Prove that it is you", "data-passkey")
	step := second.Request.URL.Query().Get("step")
	forSecond, _ := b.question(t, askPath+"?step="+step)
	b.answered(k.device.Sign(forSecond)).want(t, 401, notTaken)
	alone, _ := b.question(t, askPath)
	b.post("/.evergate/second", url.Values{"step": {step}, "passkey": {string(k.device.Sign(alone))}}).want(t, 401, notTaken)
	forSecond, _ = b.question(t, askPath+"?step="+step)
	b.post("/.evergate/second", url.Values{"step": {step}, "passkey": {string(k.device.Sign(forSecond))}}).want(t, 200, "the app")

	making, _ := signedIn.question(t, keysPath+"/options")
	signedIn.answered(k.device.Sign(making)).want(t, 401, notTaken)
	alone, _ = signedIn.question(t, askPath)
	fresh := passkeytest.NewDevice(t, k.device.Origin, "localhost")
	signedIn.post(keysPath, url.Values{"do": {"add"}, "name": {"x"}, "passkey": {string(fresh.Make(alone))}}).want(t, 403, "Nothing was changed")
}

func TestPasskeysOfTheAccount(t *testing.T) {
	k := openKeys(t, func(f *auth.Factors) { f.Required = true })
	half := k.browser()
	page := half.signIn("/app", "alice")
	page.want(t, 200, "Set up a second way", "account/passkeys?step=")
	step := page.Request.URL.Query().Get("step")
	half.get(keysPath+"?step="+step).want(t, 200, "Make a passkey", "data-make")
	challenge, handle := half.question(t, keysPath+"/options?step="+step)
	k.device.Handle = handle
	half.post(keysPath, url.Values{"do": {"add"}, "step": {step}, "name": {" "}, "passkey": {string(k.device.Make(challenge))}}).want(t, 422, "of 1 to 60 characters")
	half.post(keysPath, url.Values{"do": {"add"}, "step": {step}, "name": {"Näme"}, "passkey": {string(k.device.Make(challenge))}}).want(t, 200, "the app")

	id := credential.PasskeyID(k.device.ID)
	for _, name := range []string{"", "a\nb", strings.Repeat("x", 61), "\xff", "\u202e"} {
		half.post(keysPath, url.Values{"do": {"rename"}, "id": {id}, "name": {name}}).want(t, 422, "Nothing was changed", "Näme")
	}
	half.post(keysPath, url.Values{"do": {"rename"}, "id": {id}, "name": {strings.Repeat("ä", 60)}}).want(t, 200, strings.Repeat("ä", 60))
	half.post(keysPath, url.Values{"do": {"rename"}, "id": {"other"}, "name": {"x"}}).want(t, 404, "You have no such passkey")
	half.post(keysPath, url.Values{"do": {"remove"}, "id": {id}}).want(t, 409, "Make another one first")
	half.post(keysPath, url.Values{"do": {"burn"}, "id": {id}, "name": {"x"}}).want(t, 400)
	half.get("/.evergate/account").want(t, 200, "Manage your passkeys", "On one device", "Not used yet")

	for _, path := range []string{keysPath + "/options", askPath} {
		half.do("POST", path, "", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test").want(t, 403)
		half.get(path).want(t, 405)
	}
	// Whoever finds the browser open later makes no key to it.
	k.advance(12 * time.Minute)
	half.get(keysPath).want(t, 200, "Confirm that it is you")
	if p := half.do("POST!", keysPath+"/options", "", ""); p.StatusCode != http.StatusSeeOther {
		t.Errorf("got %d, want to be asked to sign in", p.StatusCode)
	}
	k.drawer.SetAway(true)
	half.get("/.evergate/account").want(t, 200, "Your passkeys cannot be shown right now")
}
