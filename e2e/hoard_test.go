package e2e

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// hoard keeps what must not be found anywhere, by what it is.
type hoard struct {
	mu    sync.Mutex // guards texts
	texts map[string]string
}

// shortest is how long a secret has to be: less could be anything.
const shortest = 12

// add keeps a secret. What is shorter than secrets are is none: a cookie that says "1".
func (h *hoard) add(what, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(text) < shortest {
		return
	}
	if h.texts == nil {
		h.texts = map[string]string{}
	}
	if _, there := h.texts[text]; !there {
		h.texts[text] = what
	}
}

// count is how many secrets there are of a kind.
func (h *hoard) count(what string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.texts {
		if w == what {
			n++
		}
	}
	return n
}

// form is one look that a secret may have.
type form struct{ what, how, text string }

// formsOf are the looks that a secret may have in a log, a page or a file.
func formsOf(what, secret string) (all []form) {
	add := func(how, text string) {
		if len(text) >= shortest {
			all = append(all, form{what, how, text})
		}
	}
	quoted, _ := json.Marshal(secret)
	add("as it is", secret)
	add("in a query", url.QueryEscape(secret))
	add("in a path", url.PathEscape(secret))
	add("in HTML", html.EscapeString(secret))
	add("in JSON", strings.Trim(string(quoted), `"`))
	add("in quotes", strings.Trim(strconv.Quote(secret), `"`))
	add("in hex", hex.EncodeToString([]byte(secret)))
	add("in HEX", strings.ToUpper(hex.EncodeToString([]byte(secret))))
	add("in base32", strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(secret)), "=")[:len(secret)*8/5])
	// In base64 it looks in three ways, by how much stands before it. Where something may
	// stand behind it, the last letters are not its own.
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		drop := []int{0, 3, 2}[len(padded)%3]
		for how, encoding := range map[string]*base64.Encoding{"in base64": base64.StdEncoding, "in base64url": base64.URLEncoding} {
			text := encoding.EncodeToString(padded)
			add(how, text[[]int{0, 2, 3}[before]:len(text)-drop])
		}
	}
	// What is random is often text of bytes, which can lie somewhere as such.
	for _, decode := range []func(string) ([]byte, error){base64.RawURLEncoding.DecodeString, base64.StdEncoding.DecodeString, hex.DecodeString, base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString} {
		if b, err := decode(secret); err == nil {
			add("as bytes", string(b))
		}
	}
	// A part of it is too much as well. The first of the three of a JWT says nothing.
	parts := strings.Split(secret, ".")
	if len(parts) == 3 {
		parts = parts[1:]
	}
	for _, part := range parts {
		if len(part) > 32 {
			add("its beginning", part[:24])
			add("its end", part[len(part)-24:])
		}
	}
	return all
}

// search finds secrets in what lies somewhere, and says which and how.
func (h *hoard) search(where []byte) (found []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	byHead := map[[8]byte][]form{}
	for secret, what := range h.texts {
		for _, f := range formsOf(what, secret) {
			head := [8]byte([]byte(f.text))
			byHead[head] = append(byHead[head], f)
		}
	}
	all := map[string]bool{}
	for i := range max(0, len(where)-7) {
		for _, f := range byHead[[8]byte(where[i:])] {
			if rest := where[i:]; len(rest) >= len(f.text) && string(rest[:len(f.text)]) == f.text {
				all[fmt.Sprintf("%s (%.4s…) %s, in %q", f.what, f.text, f.how, where[max(0, i-80):min(len(where), i+20)])] = true
				break
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// TestHoardFindsWhatIsPlanted: a secret is found in whatever form it lies there, and nothing is
// found where there is none.
func TestHoardFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImF1ZCI6ImV2ZXJnYXRlIn0.c2lnbmF0dXJlIG9mIGEgdG9rZW4sIGluIGl0cyB3aG9sZQ"
	const words = `a "password" with <all> of it/&+`
	h := &hoard{}
	h.add("a token", token)
	h.add("a password", words)
	h.add("too short", "1")
	if len(h.texts) != 2 {
		t.Fatalf("got %d secrets, want 2", len(h.texts))
	}
	if found := h.search([]byte(strings.Repeat(`time=now level=INFO msg="eyJhbGciOiJFUzI1NiJ9" user=alice a "pass`, 10))); len(found) > 0 {
		t.Errorf("got %q where there is nothing", found)
	}
	for _, secret := range []string{token, words} {
		for _, text := range []string{
			secret, url.QueryEscape(secret), url.Values{"a": {secret}}.Encode(), hex.EncodeToString([]byte(secret)), fmt.Sprintf("%X", secret), fmt.Sprintf("%q", secret),
			html.EscapeString(secret), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte("u:" + secret)),
			base64.StdEncoding.EncodeToString([]byte("user:" + secret + ", and more")), base64.StdEncoding.EncodeToString([]byte("user1:" + secret)),
			base32.StdEncoding.EncodeToString([]byte(secret)),
		} {
			if found := h.search([]byte("before it" + text + "after it")); len(found) == 0 {
				t.Errorf("%q is not found as %q", secret, text)
			}
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[2])
	if err != nil {
		t.Fatal(err)
	}
	h.add("a signature", strings.Split(token, ".")[2])
	for _, part := range [][]byte{[]byte(token[:len(token)-3]), []byte(token[len(token)-30:]), signature} {
		if found := h.search(part); len(found) == 0 {
			t.Errorf("a part of the token, %q, is not found", part)
		}
	}
}
