package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evergate/evergate/proxy"
)

// TestReferenceHeaders: docs/reference/headers.md has every header that clients may not send.
func TestReferenceHeaders(t *testing.T) {
	names, families := proxy.ProtectedHeaders()
	if len(names) < 50 || len(families) < 30 {
		t.Errorf("got %d names and %d families, want more", len(names), len(families))
	}
	var b strings.Builder
	b.WriteString("What clients send under these names is taken away, on every route, public ones too, in headers and trailers. A name is compared in lower case,\n" +
		"with every byte that is no letter and no digit as `-`: `X_Forwarded.User` is `x-forwarded-user`. Besides these it is the names\n" +
		"that any route sets in `request_headers`, or signs in with. `pass_headers` of a route lets a client's own through.\n\n" +
		"Whatever begins with one of these:\n\n")
	list := func(all []string, more string) {
		for _, name := range all {
			fmt.Fprintf(&b, "- `%s%s`\n", name, more)
		}
	}
	list(families, "…")
	b.WriteString("\nAnd these:\n\n")
	list(names, "")
	holdReference(t, "headers.md", "What a client may not say", b.String())
}
