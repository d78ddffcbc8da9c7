package session

import (
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/dpop"
	"github.com/evergate/evergate/internal/secret"
)

// boundLogin has a key, a token that is bound to it, and two for resources, one of which
// is from before it had a key.
func boundLogin(t *testing.T) *auth.Login {
	t.Helper()
	key, err := dpop.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0).UTC()
	token := func(value string, key *dpop.Key) auth.Token {
		return auth.Token{Value: secret.New(value), Issued: now, Expires: now.Add(time.Hour), Key: key}
	}
	return &auth.Login{Identity: auth.Identity{Provider: "corp", Subject: "alice"}, Key: key, AccessToken: token("access", key),
		RefreshToken: secret.New("refresh"), Resources: map[string]auth.Token{"bound": token("bound", key), "before": token("before", nil)}}
}

// TestKeyInARecord: what is bound to the key of a session is so after it was sealed and
// opened, and nothing else is.
func TestKeyInARecord(t *testing.T) {
	login, dk, place := boundLogin(t), DataKey{1}, Key{2}
	data, err := state{Created: time.Unix(1, 0), Login: storeLogin(login)}.seal(dk, place, 7)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openState(data, dk, place, 7)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]*auth.Login{"before": login, "after": s.Login.login()} {
		private := login.Key.Reveal()
		if got.Key.Reveal() != private || got.AccessToken.Key.Reveal() != private || got.Resources["bound"].Key.Reveal() != private || got.Resources["before"].Key != nil {
			t.Errorf("%s: the key is another one, or what is bound to it", name)
		}
	}
	if s.Login.of("bound").token().Key.Reveal() != login.Key.Reveal() || s.Login.of("before").token().Key != nil {
		t.Error("a token for a resource is bound to something else")
	}
	if strings.Contains(string(data), login.Key.Reveal()) {
		t.Error("the record shows the key")
	}
}

// TestKeyInACookie: it is all that makes a session's next tokens worth something, so it goes
// where the refresh token goes, and takes little room.
func TestKeyInACookie(t *testing.T) {
	login := boundLogin(t)
	sizes := map[bool]int{}
	for _, with := range []bool{true, false} {
		stored := storeLogin(login)
		if !with {
			stored.Key, stored.key = "", nil
		}
		data, err := payload{Created: time.Unix(1, 0), Login: stored}.carried(true).pack()
		if err != nil {
			t.Fatal(err)
		}
		p, err := unpack(data)
		if err != nil {
			t.Fatal(err)
		}
		sizes[with] = len(data)
		if got := p.Login.login(); with && got.Key.Reveal() != login.Key.Reveal() || !with && got.Key != nil || !got.AccessToken.Value.IsZero() {
			t.Errorf("with a key %v: got another one, or an access token", with)
		}
	}
	if more := sizes[true] - sizes[false]; more > 64 {
		t.Errorf("the key takes %d bytes, want 64 at most", more)
	}
}

// TestKeyThatCannotBeRead is no reason to go on without it: tokens would go up that nobody
// can prove.
func TestKeyThatCannotBeRead(t *testing.T) {
	stored := storeLogin(boundLogin(t))
	stored.Key = "nonsense"
	data, err := state{Created: time.Unix(1, 0), Login: stored}.seal(DataKey{1}, Key{2}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openState(data, DataKey{1}, Key{2}, 7); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v, want an error that does not quote it", err)
	}
	packed, err := payload{Created: time.Unix(1, 0), Login: stored}.pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unpack(packed); err == nil {
		t.Error("a cookie with such a key is taken")
	}
}
