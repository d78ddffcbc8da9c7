package idp

import (
	"fmt"
	"net/http"
	"reflect"
	"time"
)

// slowly is how long the control page has the token endpoint wait.
const slowly = 3 * time.Second

// controlPage is what the control page shows.
type controlPage struct {
	State   string
	KeyID   string
	Actions []action
	Counts  []count
}

type action struct{ Name, Label string }

type count struct {
	Name string
	N    int
}

var actions = []action{
	{"down", "Answer 503"},
	{"slow", "Answer slowly (3 s)"},
	{"rotate", "Rotate keys"},
	{"revoke", "Revoke all grants"},
	{"behave", "Behave again"},
}

// Control is a page with buttons for the commonest troubles and the counters
// below, for whoever shows or tries out what a client makes of them. It asks for
// no sign-in: mount it where only they get to, and not below the issuer.
func (p *Provider) Control() http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			writePage(w, http.StatusOK, "control", p.controlPage())
		case http.MethodPost:
			if !p.act(w, r) {
				return
			}
			// The page's own address, wherever it is mounted.
			w.Header().Set("Location", "?")
			w.WriteHeader(http.StatusSeeOther)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		}
	}))
}

// act does what a button says, or answers why not.
func (p *Provider) act(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	switch r.PostFormValue("do") {
	case "down":
		p.Turn(func(k *Knobs) { k.Down = true })
	case "slow":
		p.Turn(func(k *Knobs) { k.Down, k.Delay = false, slowly })
	case "rotate":
		if err := p.RotateKeys(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return false
		}
	case "revoke":
		p.RevokeAll()
	case "behave":
		p.Turn(func(k *Knobs) { *k = Knobs{} })
	default:
		http.Error(w, "there is no such button", http.StatusBadRequest)
		return false
	}
	return true
}

func (p *Provider) controlPage() controlPage {
	_, kid, _ := p.PublicKey()
	return controlPage{State: p.Knobs().state(), KeyID: kid, Actions: actions, Counts: p.Stats().counts()}
}

// state says in a few words how the provider behaves.
func (k Knobs) state() string {
	switch {
	case k.Down:
		return "answers 503 to everything"
	case k.Delay > 0:
		return fmt.Sprintf("waits %s before it answers at the token endpoint", k.Delay)
	}
	// Functions make Knobs incomparable, except by reflection.
	if !reflect.ValueOf(k).IsZero() {
		return "misbehaves in some way that this page has no button for"
	}
	return "behaves well"
}

// counts are the counters, named for the page.
func (s Stats) counts() []count {
	return []count{
		{"metadata fetched", s.Discoveries}, {"keys fetched", s.JWKSFetches},
		{"sign-ins begun", s.Authorizations}, {"of them pushed", s.PARs},
		{"token requests", s.TokenRequests}, {"codes redeemed", s.CodeGrants},
		{"refreshes", s.RefreshGrants}, {"refreshes refused", s.RefreshRefused},
		{"most refreshes of one grant at once", s.MaxConcurrentRefreshPerGrant}, {"grants dead of reuse", s.ReuseDetected},
		{"tokens exchanged", s.Exchanges}, {"revocations", s.Revocations},
		{"userinfo", s.Userinfos}, {"introspections", s.Introspections},
		{"sign-outs", s.Logouts}, {"logout tokens sent", s.LogoutTokens},
	}
}
