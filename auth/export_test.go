package auth

import (
	"net/netip"
	"testing"
)

// KeepForm keeps a form for addr.
func KeepForm(t *testing.T, f *Forms, addr string) {
	t.Helper()
	if _, _, err := f.keep(netip.MustParseAddr(addr), form{target: "/", body: []byte("a=1")}); err != nil {
		t.Fatal(err)
	}
}

// KeptForms counts what is in memory, and checks that the books agree.
func KeptForms(f *Forms) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var from, bytes int
	for _, theirs := range f.from {
		from += len(theirs)
	}
	for _, k := range f.byID {
		bytes += k.size()
	}
	if from != len(f.byID) || f.order.Len() != len(f.byID) || bytes != f.bytes {
		return -1
	}
	return len(f.byID)
}
