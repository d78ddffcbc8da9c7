package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const (
	ceremonyKind    = "-passkey-"
	ceremonyPurpose = "passkey"
	// ceremonyTTL is how long somebody may take from the question to the answer.
	ceremonyTTL = 5 * time.Minute
	// maxCeremonies is how many may be under way in one browser: each tab with a sign-in page has
	// one, and the cookies go along with every request.
	maxCeremonies = 6
	// connectPolicy lets the script of a page ask for options.
	connectPolicy = "; connect-src 'self'"
)

// passkeys are those of the gateway for a request, or nil where they are not possible: they belong
// to the host of PublicURL, and browsers use them nowhere else (WebAuthn section 5.1.4.1).
func (h *Handler) passkeys(r *http.Request) Passkeys {
	if h.cfg.Factors == nil || hostOf(r) != h.publicHost() {
		return nil
	}
	return h.cfg.Factors.Passkeys
}

// askPasskey begins a sign-in by passkey: as the second factor of the sign-in that is halfway, or
// by the passkey alone.
func (h *Handler) askPasskey(w http.ResponseWriter, r *http.Request) error {
	keys, user, verify := h.passkeys(r), "", true
	if keys == nil {
		return noPasskeysHere()
	}
	if step := one(r.URL.Query(), "step"); step != "" {
		half, err := h.halfwayOf(r, step)
		if err != nil {
			return err
		}
		user, verify = half.Subject, half.Goal.Demand.verifiedAlone()
	}
	options, c, err := keys.Ask(r.Context(), user, verify)
	if err != nil {
		return noOptions(err)
	}
	web.NoteOf(r.Context()).Decision = "passkey"
	return h.putQuestion(w, r, options, c)
}

// putQuestion answers with options, and has the browser keep the ceremony.
func (h *Handler) putQuestion(w http.ResponseWriter, r *http.Request, options []byte, c *Ceremony) error {
	value, err := h.seal(ceremonyPurpose, hostOf(r), c, ceremonyTTL)
	if err != nil {
		return fmt.Errorf("begin with a passkey: %w", err)
	}
	h.dropCeremonies(w, r)
	h.setHelper(w, ceremonyKind, ceremonyID(c.Challenge), value, ceremonyTTL)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(options)
	return nil
}

// dropCeremonies makes room for one more in the browser: what cannot be read goes, and the one
// that began first.
func (h *Handler) dropCeremonies(w http.ResponseWriter, r *http.Request) {
	oldest, begun, n := "", time.Time{}, 0
	for _, cookie := range r.Cookies() {
		id, ok := strings.CutPrefix(cookie.Name, h.helperName(ceremonyKind, ""))
		if !ok || !isHelperID(id) {
			continue
		}
		c := h.openCeremony(r, cookie.Value)
		if c == nil {
			h.clearHelper(w, ceremonyKind, id)
			continue
		}
		if n++; oldest == "" || c.Begun.Before(begun) {
			oldest, begun = id, c.Begun
		}
	}
	if n >= maxCeremonies {
		h.clearHelper(w, ceremonyKind, oldest)
	}
}

// ceremonyOf is the ceremony that an answer belongs to, which the browser has to have begun
// itself; it is over then. Make and user are what it must have been for. The error is a *Refused or
// a *Unavailable.
func (h *Handler) ceremonyOf(w http.ResponseWriter, r *http.Request, answer string, make bool, user string) (*Ceremony, error) {
	challenge := challengeOf(answer)
	id := ceremonyID(challenge)
	value, ok := h.helperValue(r, ceremonyKind, id)
	if challenge == "" || !ok {
		return nil, &Refused{Reason: "this browser did not ask for that passkey within the last minutes"}
	}
	c := h.openCeremony(r, value)
	if c == nil || c.Challenge != challenge || c.Make != make || c.User != user {
		return nil, &Refused{Reason: "the passkey answers another question than was put to this browser"}
	}
	first, err := h.cfg.Once(r.Context(), "passkey "+c.Challenge, c.Begun.Add(ceremonyTTL))
	if err != nil {
		return nil, err
	}
	h.clearHelper(w, ceremonyKind, id)
	if !first {
		return nil, &Refused{Reason: "the answer of the passkey was used before"}
	}
	return c, nil
}

// openCeremony reads a cookie; nil is none that is good.
func (h *Handler) openCeremony(r *http.Request, value string) *Ceremony {
	c := new(Ceremony)
	if h.open(ceremonyPurpose, hostOf(r), value, c) != nil || h.cfg.Now().Sub(c.Begun) > ceremonyTTL {
		return nil
	}
	return c
}

// ceremonyID names the cookie of a challenge, so that an answer finds its own among those of
// several tabs.
func ceremonyID(challenge string) string {
	sum := sha256.Sum256([]byte(challenge))
	return hex.EncodeToString(sum[:helperID/2])
}

// challengeOf is the challenge that an answer says it is for, or "". Nothing of it has been
// checked yet.
func challengeOf(answer string) string {
	var a struct {
		Response struct {
			ClientDataJSON string `json:"clientDataJSON"`
		} `json:"response"`
	}
	if json.Unmarshal([]byte(answer), &a) != nil {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(a.Response.ClientDataJSON)
	if err != nil {
		return ""
	}
	var data struct {
		Challenge string `json:"challenge"`
	}
	if json.Unmarshal(raw, &data) != nil {
		return ""
	}
	return data.Challenge
}

func noPasskeysHere() error {
	return &web.Error{Status: http.StatusNotFound, Code: "no_passkeys", Title: "There are no passkeys here",
		Detail: "This gateway takes no passkeys at this address. Sign in in another way."}
}

// noOptions is the answer where a ceremony cannot begin.
func noOptions(err error) error {
	if _, ok := errors.AsType[*Refused](err); ok {
		return &web.Error{Status: http.StatusConflict, Code: "no_passkey", Title: "There is no passkey to use", Detail: "Sign in in another way.", Err: err}
	}
	return err
}
