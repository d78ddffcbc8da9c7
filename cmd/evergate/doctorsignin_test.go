package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// visit is a doctor who waits for somebody to sign in.
type visit struct {
	*clinic
	paste     *io.PipeWriter
	out, talk lockedBuffer
	code      chan int

	mu    sync.Mutex // guards given
	given []string   // the tokens that the provider gave
}

func (c *clinic) awaitSignIn(args ...string) *visit {
	c.Helper()
	in, paste := io.Pipe()
	v := &visit{clinic: c, paste: paste, code: make(chan int, 1)}
	c.op.Turn(func(k *idp.Knobs) {
		k.RewriteTokenAnswer = func(b []byte) []byte {
			var answer map[string]any
			if json.Unmarshal(b, &answer) == nil {
				v.mu.Lock()
				defer v.mu.Unlock()
				for _, name := range []string{"access_token", "refresh_token", "id_token"} {
					if token, ok := answer[name].(string); ok {
						v.given = append(v.given, token)
					}
				}
			}
			return b
		}
	})
	go func() { v.code <- run(append([]string{"doctor", "--config", c.file}, args...), in, &v.out, &v.talk) }()
	c.Cleanup(func() { _ = paste.Close() })
	return v
}

// address is where the doctor sends the person.
func (v *visit) address() string {
	v.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if m := regexp.MustCompile(`(?m)^http\S+/authorize\?\S+$`).FindString(v.talk.String()); m != "" && (strings.Contains(v.talk.String(), "waits") || strings.Contains(v.talk.String(), "paste")) {
			return m
		}
	}
	v.Fatalf("nobody is asked to sign in:\n%s%s", &v.talk, &v.out)
	return ""
}

// end waits for the doctor. No token is told, and every one that was given is dead.
func (v *visit) end(least int) (code int, out string) {
	v.Helper()
	select {
	case code = <-v.code:
	case <-time.After(20 * time.Second):
		v.Fatalf("the doctor does not come to an end:\n%s%s", &v.talk, &v.out)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.given) < least {
		v.Errorf("got %d tokens, want some to look for", len(v.given))
	}
	for _, token := range v.given {
		if strings.Contains(v.out.String()+v.talk.String(), token) {
			v.Errorf("a token is told:\n%s%s", &v.out, &v.talk)
		}
	}
	return code, regexp.MustCompile(` {2,}`).ReplaceAllString(v.out.String(), " ")
}

// TestDoctorSignsInByItself: it listens where the redirect URI leads to.
func TestDoctorSignsInByItself(t *testing.T) {
	for _, row := range []struct {
		name  string
		harm  func(*clinic)
		lines []string
		code  int
		live  int // grants that nobody can end
		given int // tokens at least
	}{
		{"one-time refresh tokens", nil, []string{
			"ok provider.refresh corp a refresh works; access tokens live 5m0s\n",
			"ok provider.rotation corp a refresh replaces the refresh token, the old one is refused, and its reuse ends the whole grant\n",
			"ok provider.revocation corp the reuse has ended the grant"}, 0, 0, 3},
		{"refresh tokens that stay", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.NoRotation = true }) }, []string{
			"ok provider.rotation corp refresh tokens stay the same", "ok provider.revocation corp the tokens were given back, and are good for nothing\n"}, 0, 0, 3},
		{"reuse that costs nothing", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.NoReuseDetection = true }) }, []string{
			"ok provider.rotation corp a refresh replaces the refresh token, the old one is refused, and its reuse leaves the grant as it is\n",
			"ok provider.revocation corp the tokens were given back"}, 0, 0, 3},
		{"a grace time", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.ReuseGrace = time.Minute }) }, []string{
			"and the old one is taken for a while longer\n", "ok provider.revocation corp the tokens were given back"}, 0, 0, 3},
		{"no word that Evergate knows", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.ReuseError = "token_reused" }) }, []string{
			"warn provider.rotation corp a refresh replaces the refresh token, and the old one gets no clear no: the provider answered 400 token_reused\n mend: have it answer invalid_grant"}, 0, 0, 3},
		{"no refresh token", func(c *clinic) { c.op.Turn(func(k *idp.Knobs) { k.NoRefreshTokens = true }) }, []string{
			"FAIL provider.refresh corp the sign-in gave no refresh token: sessions end after 5m0s\n mend: ask for offline_access"}, 1, 1, 2},
		{"a refresh that does not work", func(c *clinic) {
			c.op.Turn(func(k *idp.Knobs) { k.OnlyRefresh, k.TokenError = true, "unauthorized_client" })
		}, []string{
			"FAIL provider.refresh corp the sign-in gave a refresh token, and a refresh does not work:", "mend: allow the grant refresh_token"}, 1, 0, 0},
		{"no revocation", func(c *clinic) {
			c.op.Turn(func(k *idp.Knobs) { k.NoRevocation, k.NoRotation = true, true })
		}, []string{"warn provider.revocation corp a refresh still works", "mend: end this session there by hand"}, 0, 1, 3},
		{"an account that may not sign in here", func(c *clinic) {
			c.edit("client_secret_file: corp.secret", "client_secret_file: corp.secret\n      allow: [{ users: [nobody] }]")
		},
			[]string{"ok provider.refresh corp a refresh works"}, 0, 0, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t)
			if row.harm != nil {
				row.harm(c)
			}
			v := c.awaitSignIn("--sign-in")
			back := c.op.SignIn(t, nil, v.address(), "alice", oidctest.Alice.Password)
			res, body := fetch(t, "GET", back.String())
			if res.StatusCode != http.StatusOK || !strings.Contains(body, "Go back to the terminal") {
				t.Errorf("the browser got %d %s", res.StatusCode, body)
			}
			code, out := v.end(row.given)
			if code != row.code {
				t.Errorf("got exit code %d, want %d", code, row.code)
			}
			for _, line := range row.lines {
				if !strings.Contains(out, line) {
					t.Errorf("want %q in\n%s", line, out)
				}
			}
			if strings.Contains(out, "skip provider.refresh") {
				t.Errorf("it still says that it was not tried:\n%s", out)
			}
			if got := c.op.LiveGrants(oidctest.Alice.Subject); got != row.live {
				t.Errorf("%d grants live, want %d", got, row.live)
			}
		})
	}
}

// TestDoctorTakesAPastedAddress: where the redirect URI leads to a gateway that runs, the
// code is in the address bar, and the gateway leaves it alone.
func TestDoctorTakesAPastedAddress(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	p := c.serve()
	v := c.awaitSignIn("--sign-in=corp")
	back := c.op.SignIn(t, nil, v.address(), "alice", oidctest.Alice.Password)
	res, body := fetch(t, "GET", back.String())
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "not begun here") {
		t.Errorf("the gateway answers %d to the doctor's state, want 400\n%s", res.StatusCode, body)
	}
	other := *back
	other.RawQuery = url.Values{"code": {"c"}, "state": {"of another sign-in"}}.Encode()
	for _, line := range []string{"", "hello", other.String(), back.String()} {
		if _, err := io.WriteString(v.paste, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	code, out := v.end(3)
	if code != exitOK || !strings.Contains(out, "ok provider.rotation corp") || !strings.Contains(out, "ok gateway.config what the file says is in force") {
		t.Errorf("got exit code %d\n%s%s", code, out, &p.out)
	}
	if n := strings.Count(v.talk.String(), "That is not the address"); n != 2 {
		t.Errorf("got %d remarks about what was pasted, want 2:\n%s", n, &v.talk)
	}
	if got := c.op.LiveGrants(oidctest.Alice.Subject); got != 0 {
		t.Errorf("%d grants live, want none", got)
	}
}

// TestDoctorTakesNoOtherCallback: an answer to something else is none.
func TestDoctorTakesNoOtherCallback(t *testing.T) {
	c := newClinic(t)
	v := c.awaitSignIn("--sign-in")
	to := v.address()
	for _, path := range []string{"/", "/.evergate/callback/corp?code=c&state=s", "/.evergate/callback/corp"} {
		if res, body := fetch(t, "GET", c.public+path); res.StatusCode != http.StatusNotFound || !strings.Contains(body, "another address") {
			t.Errorf("%s: got %d %s", path, res.StatusCode, body)
		}
	}
	fetch(t, "GET", c.op.SignIn(t, nil, to, "bob", oidctest.Bob.Password).String())
	if code, out := v.end(3); code != exitOK {
		t.Errorf("got exit code %d\n%s", code, out)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:"+c.port); err != nil {
		t.Errorf("the address is not given back: %v", err)
	} else {
		_ = l.Close()
	}
}

// TestDoctorIsNotToldOfASignIn: nobody pastes anything.
func TestDoctorIsNotToldOfASignIn(t *testing.T) {
	c := newClinic(t)
	c.edit("public_url: "+c.public, "public_url: https://apps.example.com\ntrusted_proxies: [127.0.0.1]")
	c.op.ChangeClient(func(i *idp.Client) { i.RedirectURIs = []string{"https://apps.example.com/.evergate/callback/corp"} })
	code, out, talk := c.doctor("--sign-in")
	if code != exitFailed || !strings.Contains(out, "no address was pasted") || !strings.Contains(talk, "paste it here") {
		t.Errorf("got exit code %d\n%s%s", code, out, talk)
	}
	for args, want := range map[string]string{"--sign-in=other": `no provider "other"`} {
		if code, _, talk := c.doctor(args); code != exitMisuse || !strings.Contains(talk, want) || !strings.Contains(talk, "--sign-in=corp") {
			t.Errorf("%s: got exit code %d, %s", args, code, talk)
		}
	}
}
