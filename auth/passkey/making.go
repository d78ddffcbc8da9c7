package passkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
)

// Offer implements auth.Passkeys. A user gets their handle here, before there is a passkey: the
// authenticator keeps it, and may have finished where the browser never came back.
func (k *Keeper) Offer(ctx context.Context, user, name string, verify bool) ([]byte, *auth.Ceremony, error) {
	r, err := k.handled(ctx, user)
	if err != nil {
		return nil, nil, err
	}
	if len(r.Passkeys) >= auth.MaxPasskeys {
		return nil, nil, auth.ErrManyPasskeys
	}
	h, err := holderOf(r, name)
	if err != nil {
		return nil, nil, credential.Away(err)
	}
	creation, s, err := k.party.BeginRegistration(h,
		webauthn.WithCredentialParameters(algorithms),
		webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: verification(verify)}))
	if err != nil {
		return nil, nil, fmt.Errorf("begin to make a passkey: %w", err)
	}
	options, err := json.Marshal(creation.Response)
	if err != nil {
		return nil, nil, fmt.Errorf("begin to make a passkey: %w", err)
	}
	return options, &auth.Ceremony{Challenge: s.Challenge, Make: true, User: user, Verify: verify, Begun: k.cfg.Now()}, nil
}

// handled is the record of a user who has a handle, whom the handle leads to.
func (k *Keeper) handled(ctx context.Context, user string) (*credential.Record, error) {
	r, err := k.cfg.Book.Load(ctx, user)
	if err != nil {
		return nil, credential.Away(err)
	}
	if len(r.Handle) == 0 {
		drawn := make([]byte, handleSize)
		_, _ = rand.Read(drawn) // never fails (crypto/rand)
		err := k.cfg.Book.Edit(ctx, user, func(now *credential.Record) error {
			if len(now.Handle) == 0 {
				now.Handle = drawn
			}
			r = now
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	// It is put there again each time: whoever drew the handle may have died in between.
	if err := k.cfg.Book.PutNote(ctx, credential.HandleKind, string(r.Handle), []byte(user), 0); err != nil {
		return nil, credential.Away(err)
	}
	return r, nil
}

// Add implements auth.Passkeys.
func (k *Keeper) Add(ctx context.Context, c *auth.Ceremony, name string, answer []byte) (auth.Proof, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return auth.Proof{}, refused(err)
	}
	if err := k.fromHere(&parsed.Response.CollectedClientData); err != nil {
		return auth.Proof{}, err
	}
	var made *webauthn.Credential
	err = k.cfg.Book.Edit(ctx, c.User, func(r *credential.Record) error {
		if len(r.Passkeys) >= auth.MaxPasskeys {
			return auth.ErrManyPasskeys
		}
		if len(r.Handle) == 0 { // all that they had was taken away meanwhile
			return &auth.Refused{Reason: "the user has no handle any more"}
		}
		h := &holder{handle: r.Handle, name: c.User}
		made, err = k.party.CreateCredential(h, webauthn.SessionData{Challenge: c.Challenge, UserID: r.Handle,
			UserVerification: verification(c.Verify), CredParams: algorithms}, parsed)
		if err != nil {
			return refused(err)
		}
		if slices.ContainsFunc(r.Passkeys, func(p credential.Passkey) bool { return bytes.Equal(p.ID, made.ID) }) {
			return &auth.Refused{Reason: "the passkey is the user's already"}
		}
		// What proved the make of a device is of no use to anybody, and most of the bytes.
		made.Attestation = webauthn.CredentialAttestation{}
		data, err := json.Marshal(made)
		if err != nil {
			return fmt.Errorf("write down a passkey: %w", err)
		}
		r.Passkeys = append(r.Passkeys, credential.Passkey{ID: made.ID, Name: name, Created: k.cfg.Now(), Data: data})
		return nil
	})
	if err != nil {
		return auth.Proof{}, err
	}
	return proofOf(made, parsed.Response.AttestationObject.AuthData.Flags), nil
}
