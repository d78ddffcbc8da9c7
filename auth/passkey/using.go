package passkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/internal/event"
)

// usedEvery is how exactly it is known when a passkey was used last: most have no counter, and
// each sign-in would otherwise write.
const usedEvery = time.Minute

// Ask implements auth.Passkeys.
func (k *Keeper) Ask(ctx context.Context, user string, verify bool) (options []byte, c *auth.Ceremony, err error) {
	verify = verify || user == ""
	var assertion *protocol.CredentialAssertion
	var s *webauthn.SessionData
	if user == "" {
		assertion, s, err = k.party.BeginDiscoverableLogin(webauthn.WithUserVerification(verification(verify)))
	} else {
		var r *credential.Record
		if r, err = k.cfg.Book.Load(ctx, user); err != nil {
			return nil, nil, credential.Away(err)
		}
		if len(r.Passkeys) == 0 {
			return nil, nil, &auth.Refused{Reason: "there is no passkey to ask for"}
		}
		var h *holder
		if h, err = holderOf(r, user); err != nil {
			return nil, nil, credential.Away(err)
		}
		assertion, s, err = k.party.BeginLogin(h, webauthn.WithUserVerification(verification(verify)))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	if options, err = json.Marshal(assertion.Response); err != nil {
		return nil, nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	return options, &auth.Ceremony{Challenge: s.Challenge, User: user, Verify: verify, Begun: k.cfg.Now()}, nil
}

// Assert implements auth.Passkeys.
func (k *Keeper) Assert(ctx context.Context, c *auth.Ceremony, answer []byte) (subject string, p auth.Proof, err error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return c.User, p, refused(err)
	}
	if err := k.fromHere(&parsed.Response.CollectedClientData); err != nil {
		return c.User, p, err
	}
	if subject = c.User; subject == "" {
		owner, err := k.cfg.Book.Note(ctx, credential.HandleKind, string(parsed.Response.UserHandle))
		if err != nil {
			return "", p, credential.Away(err)
		}
		if subject = string(owner); subject == "" {
			return "", p, &auth.Refused{Reason: "the passkey is nobody's here"}
		}
	}
	var used *webauthn.Credential
	err = k.cfg.Book.Edit(ctx, subject, func(r *credential.Record) error {
		if used, err = k.verify(c, r, parsed); err != nil {
			return err
		}
		return k.note(r, used)
	})
	if clone, ok := errors.AsType[*cloned](err); ok {
		event.Tell(ctx, k.cfg.Log, k.cfg.Heard, slog.LevelWarn, "a passkey counts backwards: there may be a copy of it", event.Event{Name: event.CloneSuspected,
			User: k.cfg.Prefix + subject, Provider: k.cfg.Provider, Subject: subject, Part: clone.name})
		err = &auth.Refused{Reason: "its counter went back: there may be a copy of it"}
	}
	if err != nil {
		return subject, p, err
	}
	return subject, proofOf(used, parsed.Response.AuthenticatorData.Flags), nil
}

// verify checks what was signed against the passkeys of a record.
func (k *Keeper) verify(c *auth.Ceremony, r *credential.Record, answer *protocol.ParsedCredentialAssertionData) (*webauthn.Credential, error) {
	h, err := holderOf(r, "")
	if err != nil {
		return nil, credential.Away(err)
	}
	if len(h.handle) == 0 {
		return nil, &auth.Refused{Reason: "there is no passkey any more"}
	}
	s := webauthn.SessionData{Challenge: c.Challenge, UserVerification: verification(c.Verify)}
	var used *webauthn.Credential
	if c.User == "" {
		_, used, err = k.party.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return h, nil }, s, answer)
	} else {
		s.UserID, s.AllowedCredentialIDs = h.handle, h.ids()
		used, err = k.party.ValidateLogin(h, s, answer)
	}
	if err != nil {
		return nil, refused(err)
	}
	return used, nil
}

// cloned reports a counter that went back (WebAuthn section 7.2, step 22).
type cloned struct{ name string }

func (*cloned) Error() string { return "the counter of the passkey went back" }

// note writes down in r that a passkey was used. The error is a *cloned, or credential.ErrAsItIs where
// there is nothing to be written.
func (k *Keeper) note(r *credential.Record, used *webauthn.Credential) error {
	i := slices.IndexFunc(r.Passkeys, func(p credential.Passkey) bool { return bytes.Equal(p.ID, used.ID) })
	p := &r.Passkeys[i]
	if used.Authenticator.CloneWarning {
		return &cloned{p.Name}
	}
	data, err := json.Marshal(used)
	if err != nil {
		return fmt.Errorf("write down a passkey: %w", err)
	}
	now := k.cfg.Now()
	if bytes.Equal(data, p.Data) && now.Sub(p.Used) < usedEvery {
		return credential.ErrAsItIs
	}
	p.Data, p.Used = data, now
	return nil
}

// proofOf is what a passkey proves (RFC 8176). One that can be copied to other devices is said to be
// in software, whatever it lies in. Both may follow a password, so that either is two factors: what
// is known or who holds it, and what is held.
func proofOf(c *webauthn.Credential, flags protocol.AuthenticatorFlags) auth.Proof {
	kind := "hwk"
	if c.Flags.BackupEligible {
		kind = "swk"
	}
	amr := []string{"pop", kind, "user"}
	if flags.HasUserVerified() {
		amr = append(amr, auth.AMRVerified)
	}
	return auth.Proof{AMR: append(amr, "mfa"), ACR: auth.ACRResistant}
}

// fromHere refuses what was signed on another page than one of the gateway's own: the browser says
// where that was, and what was signed covers it.
func (k *Keeper) fromHere(d *protocol.CollectedClientData) error {
	if d.Origin != k.origin {
		return &auth.Refused{Reason: fmt.Sprintf("the passkey was used at %.200q, and people sign in at %s (public_url)", d.Origin, k.origin)}
	}
	return nil
}

// refused is what the library refuses. Its own texts name what was wrong; what it adds for developers
// repeats what browsers sent.
func refused(err error) error {
	return &auth.Refused{Reason: fmt.Sprintf("the passkey cannot be verified: %.200s", err)}
}
