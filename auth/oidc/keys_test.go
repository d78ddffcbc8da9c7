package oidc_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestKeysRotate is signing-key-rotation and -just-before-signing: no sign-in
// fails by it.
func TestKeysRotate(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.signIn(m)
	for i, alg := range []string{"ES256", "second", "EdDSA", "ES384"} {
		p.set(func() {
			method := jwt.GetSigningMethod(alg)
			if method == nil {
				method = jwt.SigningMethodRS256
			}
			p.signer = &opKey{id: alg, method: method, signer: testKeys()[alg]}
			p.keys = []*opKey{p.signer}
			p.claims = func(c map[string]any) { delete(c, "at_hash") }
		})
		if _, err := p.complete(m); err != nil {
			t.Errorf("rotation %d: got %v", i, err)
		}
		p.advance(time.Minute)
	}
}

// TestUnknownKidsAreLimited: whoever makes tokens up does not have the provider
// asked for each (T-12).
func TestUnknownKidsAreLimited(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.signIn(m)
	before := p.count(pathKeys)
	p.set(func() { p.header = func(h map[string]any) { h["kid"] = "made-up" } })
	for range 100 {
		_, err := p.complete(m)
		refusedWith(t, "an unknown kid", err)
	}
	if n := p.count(pathKeys) - before; n < 1 || n > 3 {
		t.Errorf("got %d fetches, want 1 to 3", n)
	}
	p.advance(10 * time.Second)
	p.set(func() {
		p.signer = &opKey{id: "made-up", method: jwt.SigningMethodRS256, signer: testKeys()["RS256"]}
		p.keys = append(p.keys, p.signer)
	})
	p.signIn(m) // ten seconds later a genuine rotation is seen again
}

// TestKeysThatCannotBeHad (T-36): the old ones stay.
func TestKeysThatCannotBeHad(t *testing.T) {
	many := `{"keys":[` + strings.Repeat(`{"kty":"oct","k":"YQ"},`, 9_999) + `{}]}`
	for name, h := range map[string]http.HandlerFunc{
		"500":         says(500, ""),
		"a page":      says(200, "<html>", "Content-Type", "text/html"),
		"10 MiB":      says(200, `{"keys":["`+strings.Repeat("k", 10<<20)+`"]}`),
		"10,000":      says(200, many),
		"none":        says(200, `{"keys":[]}`),
		"no list":     says(200, `{"keys":{}}`),
		"a redirect":  says(302, "", "Location", "https://evil.example/"),
		"it hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		p := newOP(t)
		m := p.method()
		p.signIn(m)
		p.handle(pathKeys, h)
		p.advance(25 * time.Hour)
		for range 3 {
			if _, err := p.complete(m); err != nil {
				t.Errorf("%s: got %v, want the old keys to do", name, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		p.set(func() { p.header = func(h map[string]any) { h["kid"] = "unknown" } })
		_, err := p.complete(m)
		unavailable(t, name+": a key that may be among those of now", err)
	}
	p := newOP(t)
	p.handle(pathKeys, says(500, ""))
	_, err := p.complete(p.method())
	unavailable(t, "no keys ever", err)
}

// T-37: a key that is not published any more is not believed for ever.
func TestWithdrawnKey(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.signIn(m)
	old := p.signer
	p.set(func() { p.keys = []*opKey{{id: "new", method: jwt.SigningMethodES256, signer: testKeys()["ES256"]}} })
	p.advance(25 * time.Hour)
	eventually(t, "the withdrawn key", func() bool {
		p.set(func() { p.signer = old })
		_, err := p.complete(m)
		return err != nil
	})
	_, err := p.complete(m)
	refusedWith(t, "a withdrawn key", err)
}

// TestKeysRotateUnderLoad: everybody who signs in at the moment of a rotation
// gets in, at the price of one fetch.
func TestKeysRotateUnderLoad(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.signIn(m)
	before := p.count(pathKeys)
	p.set(func() {
		p.signer = &opKey{id: "new", method: jwt.SigningMethodRS256, signer: testKeys()["second"]}
		p.keys = []*opKey{p.signer}
	})
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := p.complete(m); err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := p.count(pathKeys) - before; n != 1 {
		t.Errorf("got %d fetches, want one for all", n)
	}
}

// TestExpiredKeysAreNotBelievedFirst: after a long night the first sign-in is
// checked with the keys of today, unless they cannot be had.
func TestExpiredKeysAreNotBelievedFirst(t *testing.T) {
	p := newOP(t)
	m := p.method()
	p.signIn(m)
	p.set(func() { p.keys = []*opKey{{id: "new", method: jwt.SigningMethodES256, signer: testKeys()["ES256"]}} })
	p.advance(25 * time.Hour)
	_, err := p.complete(m)
	refusedWith(t, "a key that was withdrawn in the night", err)
}
