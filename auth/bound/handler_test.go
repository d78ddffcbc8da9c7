package bound_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergate/evergate/auth/bound"
)

// TestOffer: what is to be bound is offered once, over https alone.
func TestOffer(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		path, _ := d.offer()
		if path != bound.RegisterPath {
			t.Errorf("it is to register at %q, want %q", path, bound.RegisterPath)
		}
		offer := d.send("GET", "/.evergate/landed").Header.Get("Secure-Session-Registration")
		if strings.Contains(offer, "authorization=") || strings.Contains(offer, "none") {
			t.Errorf("offered: %q", offer)
		}
		d.bind()
		if again := d.send("GET", "/.evergate/landed").Header.Get("Secure-Session-Registration"); again != "" {
			t.Errorf("a session that is bound is offered %q", again)
		}
		nobody := &device{h: h}
		if offer := nobody.send("GET", "/.evergate/landed").Header.Get("Secure-Session-Registration"); offer != "" {
			t.Errorf("nobody is offered %q", offer)
		}
		plain := h.signIn()
		r := plain.request("GET", "/.evergate/landed")
		r.TLS = nil
		if offer := plain.answerTo(r).Header.Get("Secure-Session-Registration"); offer != "" {
			t.Errorf("over plain http %q is offered", offer)
		}
	})
}

// TestRegistration is the draft's section 9.10: what a browser needs to go on, or it drops the key.
func TestRegistration(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		path, challenge := d.offer()
		a := d.send("POST", path, "Secure-Session-Response", d.registration(challenge))
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("got %d of %q", a.StatusCode, a.Header.Get("Content-Type"))
		}
		a.ours(t)
		var is struct {
			ID         string `json:"session_identifier"`
			RefreshURL string `json:"refresh_url"`
			Continue   *bool  `json:"continue"`
			Scope      struct {
				Origin      string `json:"origin"`
				IncludeSite *bool  `json:"include_site"`
			} `json:"scope"`
			Credentials []struct{ Type, Name, Attributes string } `json:"credentials"`
			Initiators  []string                                  `json:"allowed_refresh_initiators"`
		}
		dec := json.NewDecoder(strings.NewReader(a.body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&is); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		if is.ID == "" || is.RefreshURL != bound.RefreshPath || is.Continue != nil || is.Scope.Origin != "https://gw.test" || is.Scope.IncludeSite == nil || *is.Scope.IncludeSite || len(is.Credentials) != 1 || is.Initiators != nil {
			t.Fatalf("got %s", a.body)
		}
		if next := a.next(t); next.id != is.ID {
			t.Errorf("the next challenge is for %q, want %q", next.id, is.ID)
		}
		// The browser takes a cookie for the one that is bound if name and attributes are the same,
		// its lifetime apart: with others it would refresh for ever.
		set := a.Header.Values("Set-Cookie")
		if len(set) != 1 {
			t.Fatalf("got the cookies %q, want one", set)
		}
		line := strings.Split(set[0], "; ")
		name, _, _ := strings.Cut(line[0], "=")
		attributes := slices.DeleteFunc(line[1:], func(s string) bool { return strings.HasPrefix(s, "Max-Age=") || strings.HasPrefix(s, "Expires=") })
		told := strings.Split(is.Credentials[0].Attributes, "; ")
		slices.Sort(attributes)
		slices.Sort(told)
		if is.Credentials[0].Type != "cookie" || name != is.Credentials[0].Name || name != boundSID || !slices.Equal(attributes, told) {
			t.Errorf("the cookie is %q with %q, and the browser is told %+v", name, attributes, is.Credentials[0])
		}
		if c := a.Cookies()[0]; c.MaxAge != int(boundFor/time.Second) || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.Partitioned || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("the bound cookie is %q", strings.Replace(set[0], c.Value, "…", 1))
		}
	})
}

// TestRegistrationRefused: nothing is bound, nothing is given, nobody is sent anywhere.
func TestRegistrationRefused(t *testing.T) {
	run(t, func(h *house) {
		d, other := h.signIn(), h.signIn()
		_, challenge := d.offer()
		_, theirs := other.offer()
		good := d.registration(challenge)
		for _, c := range []struct {
			name   string
			status int
			header []string
		}{
			{"no proof", 400, nil},
			{"an empty one", 400, []string{"Secure-Session-Response", `""`}},
			{"two", 400, []string{"Secure-Session-Response", good, "Secure-Session-Response", good}},
			{"two in a line", 400, []string{"Secure-Session-Response", good + ", " + good}},
			{"one without its key", 400, []string{"Secure-Session-Response", d.proof(challenge)}},
			{"one that is not signed", 400, []string{"Secure-Session-Response", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"jwk": d.jwk}, jwt.MapClaims{"jti": challenge})}},
			{"one by a header of before May 2025", 400, []string{"Sec-Session-Response", good}},
			{"a challenge of another session", 403, []string{"Secure-Session-Response", d.registration(theirs)}},
			{"a challenge of nobody's", 403, []string{"Secure-Session-Response", d.registration("abc")}},
			{"the session's cookie as challenge", 403, []string{"Secure-Session-Response", d.registration(d.cookies[sid])}},
		} {
			d.sendOnce("POST", bound.RegisterPath, c.header...).refuses(named{t, c.name}, c.status)
		}
		other.sendOnce("POST", bound.RegisterPath, "Secure-Session-Response", other.registration(challenge)).refuses(t, 403) // and it is good still
		nobody := &device{h: h}
		nobody.sendOnce("POST", bound.RegisterPath, "Secure-Session-Response", good).refuses(t, 403)
		d.bind() // after all of that it can be
		_, theirs = other.offer()
		d.sendOnce("POST", bound.RefreshPath, "Sec-Secure-Session-Id", d.id, "Secure-Session-Response", d.proof(theirs)).asks(t, d.id)
		a := other.send("POST", bound.RegisterPath, "Secure-Session-Response", other.registration(theirs))
		if a.StatusCode != 200 {
			t.Errorf("a challenge that somebody else has signed: got %d %s, want its owner bound", a.StatusCode, a.body)
		}
		late := h.signIn()
		_, challenge = late.offer()
		time.Sleep(time.Minute)
		late.sendOnce("POST", bound.RegisterPath, "Secure-Session-Response", late.registration(challenge)).refuses(t, 403)
		if offer := late.send("GET", "/.evergate/landed").Header.Get("Secure-Session-Registration"); offer != "" {
			t.Errorf("a minute after the sign-in %q is offered", offer)
		}
	})
}

// TestSecondRegistration is DB-05: what a session is bound to stays.
func TestSecondRegistration(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		path, challenge := d.offer()
		_, second := d.offer()
		good := d.registration(challenge)
		first := d.sendOnce("POST", path, "Secure-Session-Response", good) // and the answer is lost
		d.id = first.next(t).id
		thief := d.copy()
		for _, c := range []string{challenge, second} {
			thief.sendOnce("POST", path, "Secure-Session-Response", thief.registration(c)).refuses(t, 403)
			d.sendOnce("POST", path, "Secure-Session-Response", d.registration(c)).refuses(t, 403) // another proof by the same key
		}
		time.Sleep(9 * time.Second)
		again := d.send("POST", path, "Secure-Session-Response", good)
		if again.StatusCode != 200 || again.body != first.body || len(again.Cookies()) != 1 {
			t.Errorf("the proof once more, as after an answer that was lost: got %d %s, want %s", again.StatusCode, again.body, first.body)
		}
		// A proof does not say what it is for.
		d.refresh(good).asks(t, d.id)
		time.Sleep(time.Second)
		d.sendOnce("POST", path, "Secure-Session-Response", good).refuses(t, 403)
		d.refresh(good).asks(t, d.id)
		d.refresh(d.proof(again.next(t).challenge)).proves(t, d.id)
	})
}

// TestForeignSenders is DB-14.
func TestForeignSenders(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		path, challenge := d.offer()
		good := d.registration(challenge)
		for _, from := range [][]string{
			{"Origin", "https://evil.test"}, {"Origin", "null"}, {"Origin", "http://gw.test"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
			{"Origin", "https://gw.test", "Sec-Fetch-Site", "cross-site"},
		} {
			for _, to := range []string{path, bound.RefreshPath} {
				a := d.sendOnce("POST", to, append(from, "Secure-Session-Response", good, "Sec-Secure-Session-Id", "x")...)
				if a.StatusCode != 403 || len(a.Cookies()) != 0 || a.Header.Get("Secure-Session-Challenge") != "" || a.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" || a.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s from %q: got %d with %v", to, from, a.StatusCode, a.Header)
				}
			}
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
			for _, to := range []string{path, bound.RefreshPath} {
				a := d.sendOnce(method, to, "Secure-Session-Response", good, "Sec-Secure-Session-Id", "x", "Origin", "https://evil.test", "Access-Control-Request-Method", "POST")
				if a.StatusCode != 405 || a.Header.Get("Allow") != "POST" || len(a.Cookies()) != 0 || a.Header.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("%s %s: got %d with %v", method, to, a.StatusCode, a.Header)
				}
			}
		}
		d.bind() // nothing was used up
		// What Chromium sends itself says nothing of where it comes from; a page of our own may.
		d.refresh("").asks(t, d.id)
		a := d.send("POST", bound.RefreshPath, "Sec-Secure-Session-Id", d.id, "Origin", "https://gw.test", "Sec-Fetch-Site", "same-origin")
		a.asks(t, d.id)
		d.send("POST", bound.RefreshPath).refuses(t, 403) // and which binding has to be said
	})
}
