package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/internal/event"
)

const (
	// patience is how long a browser waits for its person. The ceremony lasts a little longer.
	patience = 4 * time.Minute
	// handleSize is how long a user handle is, in bytes: enough that nobody guesses one, and less
	// than what an authenticator has to take.
	handleSize = 32
)

// Config is what a Keeper is made of.
type Config struct {
	// PublicURL is where people sign in: its host is the relying party. It is required.
	PublicURL *url.URL
	// Book keeps the passkeys. It is required.
	Book *credential.Book
	// Provider and Prefix are those of the users' logins, for events: see local.Method.
	Provider, Prefix string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log takes events; nil discards them. Heard hears of them; nil is nobody.
	Log   *slog.Logger
	Heard event.Func
}

// Keeper makes and checks passkeys. It is safe for concurrent use.
type Keeper struct {
	cfg    Config
	origin string
	party  *webauthn.WebAuthn
}

var _ auth.Passkeys = (*Keeper)(nil)

// Possible reports whether browsers use passkeys at a URL: it needs a host with a name, and https
// or a loopback name (WebAuthn section 5.1.3, "effective domain"; W3C Secure Contexts).
func Possible(at *url.URL) bool {
	host := hostOf(at)
	loopback := host == "localhost" || strings.HasSuffix(host, ".localhost")
	return host != "" && net.ParseIP(host) == nil && (at.Scheme == "https" || loopback)
}

func hostOf(at *url.URL) string { return strings.TrimSuffix(strings.ToLower(at.Hostname()), ".") }

// originOf is what browsers say of a page at a URL (HTML, "serialization of an origin").
func originOf(at *url.URL) string {
	port := at.Port()
	if at.Scheme == "https" && port == "443" || at.Scheme == "http" && port == "80" {
		port = ""
	}
	if port != "" {
		port = ":" + port
	}
	return at.Scheme + "://" + strings.ToLower(at.Hostname()) + port
}

// New returns a Keeper.
func New(cfg Config) (*Keeper, error) {
	if cfg.Book == nil || cfg.PublicURL == nil || !Possible(cfg.PublicURL) {
		return nil, errors.New("make passkeys possible: they need a Book and a public URL whose host is a name")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Keeper{cfg: cfg, origin: originOf(cfg.PublicURL)}
	timeout := webauthn.TimeoutConfig{Timeout: patience, TimeoutUVD: patience}
	var err error
	k.party, err = webauthn.New(&webauthn.Config{
		RPID: hostOf(cfg.PublicURL), RPDisplayName: hostOf(cfg.PublicURL), RPOrigins: []string{k.origin},
		AttestationPreference: protocol.PreferNoAttestation,
		Timeouts:              webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		// What nobody asked for is no reason to turn somebody away: some password managers tell it.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("make passkeys possible: %w", err)
	}
	return k, nil
}

// algorithms are what a passkey may sign by: every authenticator has one of them.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// verification is what an authenticator is asked.
func verification(required bool) protocol.UserVerificationRequirement {
	if required {
		return protocol.VerificationRequired
	}
	return protocol.VerificationPreferred
}

// holder is a user as the library asks for them.
type holder struct {
	handle []byte
	name   string
	keys   []webauthn.Credential
}

func (h *holder) WebAuthnID() []byte                         { return h.handle }
func (h *holder) WebAuthnName() string                       { return h.name }
func (h *holder) WebAuthnDisplayName() string                { return h.name }
func (h *holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// ids are those of the passkeys.
func (h *holder) ids() [][]byte {
	ids := make([][]byte, len(h.keys))
	for i := range h.keys {
		ids[i] = h.keys[i].ID
	}
	return ids
}

// holderOf is the user of a record.
func holderOf(r *credential.Record, name string) (*holder, error) {
	h := &holder{handle: r.Handle, name: name}
	for i := range r.Passkeys {
		var c webauthn.Credential
		if err := json.Unmarshal(r.Passkeys[i].Data, &c); err != nil {
			return nil, fmt.Errorf("read a passkey: %w", err)
		}
		h.keys = append(h.keys, c)
	}
	return h, nil
}

// Rename implements auth.Passkeys.
func (k *Keeper) Rename(ctx context.Context, user, id, name string) error {
	return k.cfg.Book.Edit(ctx, user, func(r *credential.Record) error {
		i := indexOf(r, id)
		if i < 0 {
			return auth.ErrNoPasskey
		}
		r.Passkeys[i].Name = name
		return nil
	})
}

// Remove implements auth.Passkeys. What its user calls themselves to authenticators stays: other
// passkeys of theirs say it, and the next one will.
func (k *Keeper) Remove(ctx context.Context, user, id string, last bool) (name string, err error) {
	err = k.cfg.Book.Edit(ctx, user, func(r *credential.Record) error {
		i := indexOf(r, id)
		if i < 0 {
			return auth.ErrNoPasskey
		}
		if !last && len(r.Passkeys) == 1 && r.Authenticator == nil {
			return auth.ErrLastFactor
		}
		name = r.Passkeys[i].Name
		r.Passkeys = slices.Delete(r.Passkeys, i, i+1)
		return nil
	})
	return name, err
}

// indexOf finds a passkey by what names it in forms.
func indexOf(r *credential.Record, id string) int {
	return slices.IndexFunc(r.Passkeys, func(p credential.Passkey) bool { return credential.PasskeyID(p.ID) == id })
}
