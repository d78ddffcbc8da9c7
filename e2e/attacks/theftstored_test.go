package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// theftDump is the drill of the session file.
var theftDump = attack{"TD-2", "critical", "a copy of the session file of a gateway that runs, read byte by byte and put under a gateway of the thief's; then the same with the cookies",
	"nothing in it can be read, not even who is signed in, and a gateway on it that has not the key ring opens no session and signs nothing. With a cookie it is worth what the cookie is worth, at the gateway that it is of",
	func(t *testing.T, l *lab) {
		cookie := l.signIn("alice")
		l.get("/", cookie).status(t, 200)
		token, _ := renewalToken(t, l.saw(traces{app: 1})[0])
		value := sidIn(t, cookie)
		handle, err := l.ring().Open("handle", gatewayHost, value)
		if err != nil {
			t.Fatal(err)
		}
		dump := guessingFile(t, filepath.Join(l.dir, "data", "sessions.db"))
		for what, word := range map[string]string{"the cookie": value, "the handle": string(handle), "the session's id": string(handle[1:17]), "its key": string(handle[41:]),
			"the access token": token, "the token's signature": token[len(token)-20:], "who is signed in": "alice", "an address": "example.com", "a host": gatewayHost} {
			if strings.Contains(dump, word) {
				t.Errorf("the file has %s in the clear", what)
			}
		}
		dir := theftDir(t, dump, nil)
		if code, said := evergate(t, dir, nil, "session", "list", "--config", "evergate.yaml"); strings.Contains(said, "alice") {
			t.Errorf("session list, without the ring: got exit code %d and %q", code, said)
		}
		thief := newLab(t, setup{files: map[string]string{"data/sessions.db": dump}})
		if r := thief.get("/", cookie); r.StatusCode != 503 {
			t.Errorf("the cookie at the thief's gateway: got %d %.200q, want 503", r.StatusCode, r.body)
		}
		if is := thief.get("/.evergate/jwks.json").body; strings.Contains(is, theftKey(t, token)) {
			t.Errorf("the thief's gateway has the keys %s", is)
		}
		r := thief.post("/.evergate/login", cookiesForm("alice"), "Origin: https://"+thief.host)
		if r.StatusCode != 503 || len(r.Cookies()) != 0 {
			t.Errorf("a sign-in there: got %d, want 503, since nothing can be signed", r.StatusCode)
		}
		// What ends it is what ends the cookie.
		l.get("/", cookie).status(t, 200)
		l.post("/.evergate/logout", "", cookie, "Origin: https://"+l.host)
		l.denied(l.get("/", cookie))
		l.saw(traces{app: 2, sessions: -1, events: []string{"session.ended/signed_out"}})
	}}

// theftRing is the drill of the key ring.
var theftRing = attack{"TD-3", "critical", "the key ring: to make cookies with, and beside a copy of the session file",
	"alone it opens no session: a record is opened by a key in its own cookie. With the file it tells who is signed in, and gives Evergate's signing keys, so access tokens for everybody, until both are replaced; no session of anybody's is opened by both",
	func(t *testing.T, l *lab) {
		cookie := l.signIn("alice")
		ring, host := l.ring(), gatewayHost
		mine, err := ring.Open("handle", host, sidIn(t, l.signIn("bob")))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := ring.Open("handle", host, sidIn(t, cookie))
		if err != nil {
			t.Fatal(err)
		}
		made := func(id, key []byte, generation byte) string {
			h := append([]byte(nil), mine...)
			copy(h[1:17], id)
			h[24] = generation
			copy(h[41:], key)
			sealed, err := ring.Seal("handle", host, h, 0)
			return "Cookie: " + sessionCookie + "=" + must(t, sealed, err)
		}
		// bob is the thief, and has his own cookie besides. Even who knows alice's session by its
		// id, which lies nowhere but in her cookie, has no key to it.
		for _, forged := range []string{made(make([]byte, 16), mine[41:], 1), made(theirs[1:17], mine[41:], 1), made(theirs[1:17], make([]byte, 32), 9), made(mine[1:17], theirs[41:], 1)} {
			l.denied(l.get("/", forged))
		}
		l.get("/", cookie).status(t, 200)

		dump := guessingFile(t, filepath.Join(l.dir, "data", "sessions.db"))
		key := guessingFile(t, filepath.Join(l.dir, "data", "cookie.key"))
		dir := theftDir(t, dump, map[string]string{"data/cookie.key": key})
		if code, said := evergate(t, dir, nil, "session", "list", "--config", "evergate.yaml"); code != 0 || !strings.Contains(said, "alice") {
			t.Errorf("session list, with both: got exit code %d and %q, want who is signed in", code, said)
		}
		thief := newLab(t, setup{files: map[string]string{"data/sessions.db": dump, "data/cookie.key": key}})
		if is, was := thief.get("/.evergate/jwks.json").body, l.get("/.evergate/jwks.json").body; is != was {
			t.Errorf("the thief's gateway has the keys %s, want those of %s", is, was)
		}
		// An alice of the thief's own users file: what her token is signed with, apps believe.
		forged := thief.signIn("alice")
		thief.get("/", forged).status(t, 200)
		seen := thief.app.since(t, 0)
		token, _ := renewalToken(t, seen[len(seen)-1])
		if !theftSigned(t, token, l.get("/.evergate/jwks.json").body) {
			t.Error("the thief's token is not signed as those of the gateway are")
		}
		// Made anew, ring and file have other keys: apps believe them, and not the thief.
		if theftSigned(t, token, newLab(t, setup{}).get("/.evergate/jwks.json").body) {
			t.Error("keys that were made anew are those of before")
		}
		l.get("/", forged).status(t, 401) // their sessions are in different stores by now
		l.saw(traces{app: 1})
	}}

// theftDir is a folder with a gateway's config of the thief's, on a copy of a session file.
func theftDir(t *testing.T, dump string, more map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"evergate.yaml": mistakesBase, "users.yaml": usersFile, "data/sessions.db": dump}
	for name, text := range more {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// theftKey is the name of the key that a token is signed by.
func theftKey(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(b, &header)
	}
	if err != nil || header.Kid == "" {
		t.Fatalf("the token names no key: %v", err)
	}
	return header.Kid
}

// theftSigned reports whether a token is signed by a key of a JWK set, with ES256.
func theftSigned(t *testing.T, token, jwks string) bool {
	t.Helper()
	var set struct {
		Keys []struct{ X, Y string }
	}
	if err := json.Unmarshal([]byte(jwks), &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("the keys %q: %v", jwks, err)
	}
	input, signature, _ := cutLast(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) != 64 {
		t.Fatalf("the token's signature has %d bytes: %v", len(raw), err)
	}
	sum := sha256.Sum256([]byte(input))
	for _, k := range set.Keys {
		x, err1 := base64.RawURLEncoding.DecodeString(k.X)
		y, err2 := base64.RawURLEncoding.DecodeString(k.Y)
		public, err3 := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
			return true
		}
	}
	return false
}
