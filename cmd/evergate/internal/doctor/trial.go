package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/config"
)

// trial tries out what a sign-in gave.
type trial struct {
	m      *oidc.Method
	about  string
	latest *auth.Login // what to give back
	over   bool        // nothing of it is good any more
	found  []Finding
}

func (t *trial) add(status Status, probe, text, mend string) {
	t.found = append(t.found, Finding{status, probe, t.about, text, mend})
}

func (t *trial) run(ctx context.Context, o *config.OIDC) {
	first := t.latest
	if first.RefreshToken.IsZero() {
		status, mend := Fail, "ask for offline_access in scopes, and allow refresh tokens for this client there"
		if o.WithoutRefreshToken == "id_token" {
			status = Warn // it was expected
		}
		t.add(status, "provider.refresh", "the sign-in gave no refresh token: sessions end after "+round(life(first)), mend)
		return
	}
	second, err := t.m.Refresh(ctx, first, "")
	if err != nil {
		t.add(Fail, "provider.refresh", "the sign-in gave a refresh token, and a refresh does not work: "+err.Error(), "allow the grant refresh_token for this client there")
		return
	}
	t.latest = second
	t.add(OK, "provider.refresh", "a refresh works; access tokens live "+round(life(second)), "")
	t.rotation(ctx, first, second)
	t.revocation(ctx)
}

func life(l *auth.Login) time.Duration {
	return l.AccessToken.Expires.Sub(l.AccessToken.Issued).Round(time.Second)
}

// rotation presents a refresh token that is spent, as whoever stole it would.
func (t *trial) rotation(ctx context.Context, first, second *auth.Login) {
	const probe = "provider.rotation"
	if first.RefreshToken.Reveal() == second.RefreshToken.Reveal() {
		t.add(OK, probe, "refresh tokens stay the same, which is enough for a client that authenticates (RFC 9700 section 2.2.2)", "")
		return
	}
	again, err := t.m.Refresh(ctx, first, "")
	if err == nil {
		t.latest = again
		t.add(OK, probe, "a refresh replaces the refresh token, and the old one is taken for a while longer", "")
		return
	}
	if refused, ok := errors.AsType[*auth.Refused](err); !ok {
		t.add(Warn, probe, "a refresh replaces the refresh token, and the old one gets no clear no: "+err.Error(),
			"have it answer invalid_grant (RFC 6749 section 5.2): without that word a session whose grant is over goes on until session.max_stale")
		return
	} else if refused.Code == "" {
		t.add(Skip, probe, "it cannot be told: "+refused.Error(), "")
		return
	}
	third, err := t.m.Refresh(ctx, second, "")
	if err == nil {
		t.latest = third
		t.add(OK, probe, "a refresh replaces the refresh token, the old one is refused, and its reuse leaves the grant as it is", "")
		return
	}
	if _, ok := errors.AsType[*auth.Refused](err); !ok {
		t.add(Skip, probe, "the old refresh token is refused; what its reuse does to the grant cannot be told: "+err.Error(), "")
		return
	}
	t.over = true
	t.add(OK, probe, "a refresh replaces the refresh token, the old one is refused, and its reuse ends the whole grant", "")
}

// revocation gives the tokens back, and looks whether that was heard.
func (t *trial) revocation(ctx context.Context) {
	const probe = "provider.revocation"
	err := t.m.Revoke(ctx, t.latest)
	if err != nil {
		t.add(Warn, probe, "the tokens could not be given back: "+err.Error(), "let this client use the revocation endpoint there")
		return
	}
	was := t.over
	t.over = true
	if was {
		t.add(OK, probe, "the reuse has ended the grant, and the revocation endpoint takes what was of it", "")
		return
	}
	switch again, err := t.m.Refresh(ctx, t.latest, ""); {
	case err == nil:
		t.latest, t.over = again, false
		t.add(Warn, probe, "a refresh still works after the tokens were given back, or there is nowhere to give them back to",
			"end this session there by hand; keep refresh tokens short there")
	default:
		t.add(OK, probe, "the tokens were given back, and are good for nothing", "")
	}
}

// giveBack leaves nothing behind, whatever became of the trial.
func (t *trial) giveBack(ctx context.Context) {
	if t.over {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := t.m.Revoke(ctx, t.latest); err != nil {
		t.add(Warn, "provider.revocation", fmt.Sprintf("the tokens of this sign-in could not be given back: %v", err), "end this session at the provider by hand")
	}
}
