package proxy

import (
	"net/http"
	"testing"

	"github.com/evergate/evergate/internal/inject"
)

// TestUsualNamesAreFree: what is let through without a closer look belongs to nobody, and is
// spelled as net/http spells it.
func TestUsualNamesAreFree(t *testing.T) {
	for name := range usual {
		if inject.IsProtected(name, nil) || http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s: it is protected, or is never met in that spelling", name)
		}
	}
	if free := freeOf(map[string]bool{"cookie": true, "x-app-user": true}); free["Cookie"] || !free["Accept"] || len(free) != len(usual)-1 {
		t.Errorf("got %v, want the usual names but Cookie", free)
	}
}
