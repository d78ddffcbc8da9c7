package snippet

import (
	"slices"
	"strings"
)

// isProof reports whether a family of headers is what browsers say of the keys that their
// sessions are bound to. The gateway reads it, at its own pages and when it is asked, and no
// app does: so it is taken away from requests after the question, where the others go before.
func isProof(family string) bool {
	return strings.HasPrefix(family, "secure-session-") || strings.HasPrefix(family, "sec-secure-session-")
}

// unasked are the families that neither the gateway nor an app is told.
func (f *Front) unasked() []string {
	return slices.DeleteFunc(slices.Clone(f.Families), isProof)
}

// proofs are the families that the gateway is told, and no app.
func proofs(f *Front) []string {
	return slices.DeleteFunc(slices.Clone(f.Families), func(family string) bool { return !isProof(family) })
}
