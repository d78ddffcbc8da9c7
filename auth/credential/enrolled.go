package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/evergate/evergate/auth"
)

var _ auth.Credentials = (*Book)(nil)

// Enrolled implements auth.Credentials.
func (b *Book) Enrolled(ctx context.Context, user string) (auth.Enrolled, error) {
	r, err := b.Load(ctx, user)
	if err != nil {
		return auth.Enrolled{}, Away(err)
	}
	e := auth.Enrolled{Codes: len(r.Recovery)}
	if r.Authenticator != nil {
		e.Authenticator = r.Authenticator.Created
	}
	for i := range r.Passkeys {
		p := &r.Passkeys[i]
		e.Passkeys = append(e.Passkeys, auth.Passkey{ID: PasskeyID(p.ID), Name: p.Name, Created: p.Created, Used: p.Used, Synced: p.synced()})
	}
	return e, nil
}

// PasskeyID is how a credential is named in forms.
func PasskeyID(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

// synced reports whether a passkey can be on several devices (WebAuthn section 6.1.3, "BE").
func (p *Passkey) synced() bool {
	var data struct {
		Flags struct {
			BackupEligible bool `json:"backupEligible"`
		} `json:"flags"`
	}
	return json.Unmarshal(p.Data, &data) == nil && data.Flags.BackupEligible
}

// Away is what a Book's outage is to people.
func Away(err error) error {
	return &auth.Unavailable{What: "what keeps passkeys and codes", RetryAfter: time.Second, Err: err}
}
