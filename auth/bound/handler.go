package bound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

const (
	// RegisterPath and RefreshPath are where browsers send their proofs, on every host.
	RegisterPath = "/.evergate/dbsc/register"
	RefreshPath  = "/.evergate/dbsc/refresh"

	// challengeTime is at least as long as a challenge is good for.
	challengeTime = 10 * time.Minute
	// resendTime is for how long a proof that was believed is believed once more: a browser
	// that did not get the answer sends the same one again.
	resendTime = 10 * time.Second
	// maxResent bounds the proofs that are remembered for that.
	maxResent = 4096
)

// Handler answers the browsers. Its fields are set before the first request; those are required
// that do not say otherwise.
type Handler struct {
	Bindings auth.Bindings
	// Hosts are those of the gateway, where *.example.com is all below. Pages of one have the
	// browser prove the key of another if both are of one site.
	Hosts []string
	// Once reports whether name is used for the first time before until, on any replica.
	Once func(ctx context.Context, name string, until time.Time) (bool, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log takes what fails without anybody seeing it.
	Log *slog.Logger

	resent resent
}

// Offer implements auth.DeviceKeys. It is for answers to requests that bring the session's
// cookie: the registration comes with it too.
func (h *Handler) Offer(header http.Header, r *http.Request) (offered bool) {
	if web.NoteOf(r.Context()).Scheme != "https" {
		return false // browsers bind nothing there
	}
	challenge, err := h.Bindings.Offer(r)
	if err != nil && !errors.Is(err, auth.ErrAnonymous) {
		h.Log.WarnContext(r.Context(), "a browser is not offered to bind its session", "err", err)
	}
	if err != nil || challenge == "" {
		return false
	}
	header.Set(registrationHeader, offer(RegisterPath, challenge))
	return true
}

// Register is a browser that has made a key.
func (h *Handler) Register(w http.ResponseWriter, r *http.Request) error {
	web.SecurityHeaders(w.Header())
	proof := only(r.Header, responseHeader)
	if proof == "" {
		return bad("There is no proof of a key with this request.", nil)
	}
	key, challenge, err := Registers(proof)
	if err != nil {
		return bad("The proof of a key is not one that is taken here: ES256 or RS256, over the challenge that was given.", err)
	}
	b, err := h.bind(w.Header(), r, key.String(), challenge, proof)
	if err != nil {
		return refusal(err)
	}
	h.challenge(w.Header(), r, b.ID) // which saves the browser a round trip
	return h.config(w, r, b)
}

// bind binds the session behind r. That uses up the challenge: a proof does not say what it is
// for, so that of a registration would be one for a refresh. A browser that did not get the
// answer sends the same proof again, and is given the same binding.
func (h *Handler) bind(header http.Header, r *http.Request, key, challenge, proof string) (auth.Binding, error) {
	digest := digestOf(toRegister, proof)
	if h.resent.knows(digest, h.now()) {
		b, err := h.Bindings.Binding(r)
		if err != nil {
			return auth.Binding{}, err
		}
		if b.Key == key {
			return b, h.Bindings.Prove(header, r, challenge)
		}
	}
	b, err := h.Bindings.Bind(header, r, key, challenge)
	if err != nil {
		return auth.Binding{}, err
	}
	if _, err := h.fresh(r.Context(), challenge, digest); err != nil {
		// The key is bound, and a browser that is not told would lose it.
		h.Log.WarnContext(r.Context(), "the challenge of a registration could not be noted as used: until it is over its proof does for a refresh", "err", err)
	}
	return b, nil
}

// Refresh is a browser whose bound cookie is over, or soon will be. What it answers when is
// the draft's matter: a browser drops the binding at most errors that it could be answered with.
func (h *Handler) Refresh(w http.ResponseWriter, r *http.Request) error {
	web.SecurityHeaders(w.Header())
	id := only(r.Header, idHeader)
	if id == "" {
		return &web.Error{Status: http.StatusForbidden, Code: "no_binding", Detail: "This address is for browsers that prove a key, and they say which."}
	}
	b, err := h.Bindings.Binding(r)
	if errors.Is(err, auth.ErrAnonymous) || err == nil && b.ID != id {
		return over(w, id) // signed out, or signed in anew: this binding is nobody's any more
	}
	if err != nil {
		return refusal(err)
	}
	proof := only(r.Header, responseHeader)
	if proof == "" {
		return h.ask(w, r, id)
	}
	key, err := ParseKey(b.Key)
	if err != nil {
		return err
	}
	challenge, err := key.Signed(proof)
	if err != nil {
		h.Log.InfoContext(r.Context(), "a proof of a device key is not believed", "err", err)
		return h.ask(w, r, id)
	}
	// Whether it is a challenge of this session comes first: nobody uses up what is another's.
	proven := http.Header{}
	err = h.Bindings.Prove(proven, r, challenge)
	if _, refused := errors.AsType[*auth.Refused](err); refused {
		return h.ask(w, r, id)
	}
	if err != nil {
		return refusal(err)
	}
	if fresh, err := h.fresh(r.Context(), challenge, digestOf(toRefresh, proof)); err != nil {
		return refusal(err)
	} else if !fresh {
		return h.ask(w, r, id)
	}
	for _, cookie := range proven["Set-Cookie"] {
		w.Header().Add("Set-Cookie", cookie)
	}
	h.challenge(w.Header(), r, id)
	w.WriteHeader(http.StatusOK) // with nothing in it: all stays as it was
	return nil
}

// What a proof was sent for.
const (
	toRegister = "register"
	toRefresh  = "refresh"
)

// digestOf is what is remembered of a proof.
func digestOf(sentTo, proof string) [32]byte { return sha256.Sum256([]byte(sentTo + " " + proof)) }

// fresh reports whether a challenge may be used, which it may once, and for a moment again by
// the same proof that was sent for the same.
func (h *Handler) fresh(ctx context.Context, challenge string, proof [32]byte) (bool, error) {
	now := h.now()
	if h.resent.knows(proof, now) {
		return true, nil
	}
	sum := sha256.Sum256([]byte(challenge))
	first, err := h.Once(ctx, "dbsc "+hex.EncodeToString(sum[:]), now.Add(challengeTime))
	if first {
		h.resent.keep(proof, now)
	}
	return first, err
}

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

// ask has the browser sign another challenge.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request, id string) error {
	challenge, err := h.Bindings.Challenge(r)
	if err != nil {
		return refusal(err)
	}
	return &web.Error{Status: http.StatusForbidden, Code: "prove_key", Detail: "The browser has to sign the challenge first.",
		Header: http.Header{challengeHeader: {challengeFor(id, challenge)}}}
}

// challenge gives the browser what to sign next time.
func (h *Handler) challenge(header http.Header, r *http.Request, id string) {
	if challenge, err := h.Bindings.Challenge(r); err == nil {
		header.Set(challengeHeader, challengeFor(id, challenge))
	}
}

// sessionConfig is what the draft calls the session instructions.
type sessionConfig struct {
	ID          string       `json:"session_identifier"`
	RefreshURL  string       `json:"refresh_url"`
	Scope       scope        `json:"scope"`
	Credentials []credential `json:"credentials"`
	// Initiators are the hosts whose pages have the key proven besides those of the origin.
	Initiators []string `json:"allowed_refresh_initiators,omitempty"`
}

type scope struct {
	Origin string `json:"origin"`
	Site   bool   `json:"include_site"`
}

type credential struct {
	Type       string `json:"type"`
	Name       string `json:"name"`
	Attributes string `json:"attributes"`
}

func (h *Handler) config(w http.ResponseWriter, r *http.Request, b auth.Binding) error {
	return respond(w, sessionConfig{
		ID: b.ID, RefreshURL: RefreshPath, Scope: scope{Origin: "https://" + r.Host},
		Credentials: []credential{{"cookie", b.Cookie, b.Attributes}}, Initiators: sisters(r.Host, h.Hosts),
	})
}

// sisters are those of hosts that are of one site with host. A page of another site must not
// have a key proven: its request to do so would come without the session's cookie, which is
// SameSite=Lax, and whoever comes without it is told that the session is over.
func sisters(host string, hosts []string) (same []string) {
	host = nameOf(host)
	site, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil || net.ParseIP(host) != nil {
		return nil
	}
	for _, other := range hosts {
		name := nameOf(other)
		if of, err := publicsuffix.EffectiveTLDPlusOne(strings.TrimPrefix(name, "*.")); err == nil && of == site && name != host {
			same = append(same, name)
		}
	}
	return same
}

// nameOf is a host without its port, as browsers write it.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// over tells the browser that there is nothing to prove any more. Without the name of the binding
// Chromium takes the answer for a mistake.
func over(w http.ResponseWriter, id string) error {
	return respond(w, struct {
		ID       string `json:"session_identifier"`
		Continue bool   `json:"continue"`
	}{id, false})
}

func respond(w http.ResponseWriter, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(text)
	return err
}

func bad(detail web.Message, err error) error {
	return &web.Error{Status: http.StatusBadRequest, Code: "bad_proof", Detail: detail, Err: err}
}

// refusal is the answer to errors of auth.Bindings. An outage has to be 503: at anything else
// a browser gives the binding up.
func refusal(err error) error {
	if errors.Is(err, auth.ErrAnonymous) {
		return &web.Error{Status: http.StatusForbidden, Code: "no_session", Detail: "Nobody is signed in whose session could be bound.", Err: err}
	}
	if no, ok := errors.AsType[*auth.Refused](err); ok {
		return &web.Error{Status: http.StatusForbidden, Code: "not_bound", Detail: "This session is not bound to this key.", Err: no}
	}
	return err
}
