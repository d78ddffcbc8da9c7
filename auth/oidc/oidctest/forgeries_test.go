package oidctest_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// reasons are the words with which the reader may refuse a forgery, by the start
// of its name.
var reasons = map[string][]string{
	"T-01": {"alg"}, "T-02": {"alg"}, "T-03": {"alg"}, "T-04": {"alg"}, "T-05": {"signature"}, "T-06": {"signature"},
	"T-07 jwk in the header": {"kid"}, "T-07 jwk in the header, known kid": {"signature"}, "T-08": {"kid"}, "T-09": {"kid"},
	"T-10": {"crit"}, "T-11": {"crit"}, "T-12": {"kid", "signature"}, "T-15": {"key"}, "T-16": {"key", "alg"}, "T-17": {"signature"},
	"T-18": {"key"}, "T-18 algorithm": {"alg"},
	"T-19": {"iss"}, "T-20": {"aud"}, "T-21": {"azp"}, "T-22": {"azp"}, "T-23": {"sub"}, "T-24": {"exp"}, "T-25": {"iat"}, "T-26": {"nbf"},
	"T-27": {"nonce"}, "T-28": {"typ"}, "T-29": {"at_hash"}, "T-31": {"twice"}, "T-38": {"iat"},
	"encoding:": {"form"}, "encoding: 3 MB": {"size"}, "encoding: 20000": {"form"},
	"L-11": {"events"}, "L-12": {"events"}, "L-13": {"nonce"}, "L-14": {"whom"}, "L-15 jti": {"jti"}, "L-15 iat": {"iat"}, "L-17": {"typ"},
}

func wantReason(t *testing.T, name string, err error) {
	t.Helper()
	longest := ""
	for start := range reasons {
		if strings.HasPrefix(name, start) && len(start) > len(longest) {
			longest = start
		}
	}
	if err == nil || !slices.Contains(reasons[longest], err.Error()) {
		t.Errorf("got %v, want it refused for one of %v", err, reasons[longest])
	}
}

// signedIn are the tokens of a sign-in, and what they have to be for.
type signedIn struct{ id, access, nonce string }

func grant(t *testing.T, p *oidctest.Provider) signedIn {
	t.Helper()
	const nonce = "nonce of this sign-in"
	a := p.Grant(t, nil, "alice", oidctest.Alice.Password, url.Values{"nonce": {nonce}})
	id, _ := a["id_token"].(string)
	access, _ := a["access_token"].(string)
	return signedIn{id, access, nonce}
}

func behave(p *oidctest.Provider) { p.Turn(func(k *idp.Knobs) { *k = idp.Knobs{} }) }

func TestForgeriesAreWhatTheySay(t *testing.T) {
	p := oidctest.Start(t)
	seen := map[string]bool{}
	for _, f := range oidctest.Forgeries(p) {
		if seen[f.Name] || f.What == "" {
			t.Errorf("%s is there twice, or says nothing", f.Name)
		}
		seen[f.Name] = true
		t.Run(f.Name, func(t *testing.T) {
			p.Turn(f.Turn)
			defer behave(p)
			g := grant(t, p)
			wantReason(t, f.Name, newReader(t, p).idToken(g.id, g.nonce, g.access))
		})
	}
	g := grant(t, p)
	if err := newReader(t, p).idToken(g.id, g.nonce, g.access); err != nil {
		t.Errorf("a provider that behaves again: got %v", err)
	}
	for _, number := range []string{"01", "02", "03", "05", "06", "07", "08", "09", "10", "11", "12", "15", "16", "17", "18", "19", "20", "22",
		"24", "25", "26", "28", "29", "31"} {
		if !slices.ContainsFunc(oidctest.Forgeries(p), func(f oidctest.Forgery) bool { return strings.HasPrefix(f.Name, "T-"+number+" ") }) {
			t.Errorf("there is no T-%s", number)
		}
	}
	if p.Lured() != 0 {
		t.Errorf("got lured %d times by nothing", p.Lured())
	}
}

func TestOdditiesAreGood(t *testing.T) {
	p := oidctest.Start(t)
	for _, f := range oidctest.Oddities(p) {
		t.Run(f.Name, func(t *testing.T) {
			p.Turn(f.Turn)
			defer behave(p)
			g := grant(t, p)
			if err := newReader(t, p).idToken(g.id, g.nonce, g.access); err != nil {
				t.Errorf("got %v, want it taken", err)
			}
		})
	}
}

func TestLogoutForgeriesAreWhatTheySay(t *testing.T) {
	p := oidctest.Start(t)
	for _, f := range oidctest.LogoutForgeries(p) {
		t.Run(f.Name, func(t *testing.T) {
			p.Turn(f.Turn)
			defer behave(p)
			wantReason(t, f.Name, newReader(t, p).logoutToken(p.LogoutToken(p.ClientID, oidctest.Alice.Subject, "a session")))
		})
	}
	for _, f := range append(oidctest.LogoutOddities(p), oidctest.Forgery{Name: "a good one", Turn: func(*idp.Knobs) {}}) {
		t.Run(f.Name, func(t *testing.T) {
			p.Turn(f.Turn)
			defer behave(p)
			if err := newReader(t, p).logoutToken(p.LogoutToken(p.ClientID, oidctest.Alice.Subject, "a session")); err != nil {
				t.Errorf("got %v, want it taken", err)
			}
		})
	}
}
