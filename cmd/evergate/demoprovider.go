package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/secret"
)

// demoProvider is a small OpenID provider, the demo's second way in.
type demoProvider struct {
	*idp.Provider
	stop   func()
	issuer string
}

// demoPerson signs in at it.
const demoPerson = "bob"

// startProvider runs one on loopback for a gateway at public, and returns it with
// the config that signs people in there.
func startProvider(public *url.URL, password secret.Text, ttl time.Duration) (*demoProvider, *config.OIDC, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("a port for the demo provider: %w", err)
	}
	o := &config.OIDC{Name: "demo", Label: "Demo provider", Issuer: "http://" + l.Addr().String() + "/demo", ClientID: "evergate",
		ClientSecret: secret.New(rand.Text()), ClientAuth: "client_secret_basic", Claims: config.Claims{User: config.Paths{"preferred_username"}}}
	own := public.String() + "/.evergate/"
	p, err := idp.New(idp.Config{
		Issuer: o.Issuer, AccessTTL: ttl,
		Clients: []idp.Client{{ID: o.ClientID, Secret: o.ClientSecret.Reveal(), Auth: o.ClientAuth,
			RedirectURIs: []string{own + "callback/demo"}, PostLogoutRedirectURIs: []string{own + "logout"}, BackchannelLogoutURI: own + "backchannel-logout/demo"}},
		Users: []idp.User{{Subject: "4711", Username: demoPerson, Password: password.Reveal(), Name: "Bob of the demo provider",
			Email: "bob@example.com", EmailVerified: true, Groups: []string{"staff"}, Claims: map[string]any{"preferred_username": demoPerson}}},
		Note: "This is the demo's OpenID provider, not Evergate. Sign in as " + demoPerson + " with the password that the demo printed.",
	})
	if err != nil {
		_ = l.Close()
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/demo/", p)
	mux.Handle("/", p.Control())
	return &demoProvider{Provider: p, stop: serveBeside(l, mux), issuer: o.Issuer}, o, nil
}

// control is the address of the page with the buttons.
func (d *demoProvider) control() string { return d.issuer[:len(d.issuer)-len("demo")] }

// Close ends it, and waits for that.
func (d *demoProvider) Close() {
	_ = d.Provider.Close()
	d.stop()
}
