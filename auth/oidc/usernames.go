package oidc

import (
	"context"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
)

// isHeader reports whether apps get the name of a user in X-Forwarded-User: what cannot be a
// header, and what has an end that does not show, is left out there.
func (m *Method) isHeader(id *auth.Identity) bool {
	return inject.IsPlain(id.User) && inject.IsPlain(strings.TrimPrefix(id.User, m.cfg.Prefix))
}

// tellOfUser tells the operator of a name that apps do not get, while their token has the
// claim that it is made of. An app that goes by the header sees nobody in particular.
func (m *Method) tellOfUser(ctx context.Context, id *auth.Identity) {
	if !m.isHeader(id) {
		m.cfg.Log.WarnContext(ctx, "the name of the user cannot be a header: it has a control character, or at an end what does not show, or is too long. "+
			"Apps get no X-Forwarded-User for them, while the token has the claim as it is. Have the provider mend it, or name a claim in claims.user that people cannot choose",
			"event", "provider.user_unfit", "subject", id.Subject, "user", id.User[:min(len(id.User), maxTold)])
	}
}

// maxTold bounds what a log line has of a name, in bytes.
const maxTold = 128
