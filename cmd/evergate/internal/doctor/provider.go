package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/config"
)

// provider asks one provider what it is, and how it takes this client.
func (p *Patient) provider(ctx context.Context, o *config.OIDC) []Finding {
	found := Finding{OK, "provider.discovery", o.Name, "", ""}
	c, err := p.Provider(o)
	if err != nil {
		found.Status, found.Text, found.Mend = Fail, err.Error(), "see to the file that it names"
		return []Finding{found}
	}
	said, err := oidc.Probe(ctx, o.Issuer, oidc.ProbeOptions{RootCAs: c.RootCAs, Timeout: min(o.Timeout, p.Patience/2)})
	if said == nil {
		found.Status, found.Text, found.Mend = Fail, err.Error(), mendProvider(err, o)
		return append([]Finding{found}, unasked(o.Name, "its metadata are not there")...)
	}
	found.Text = fmt.Sprintf("%s answers in %s, and is the issuer that is configured", said.Issuer, round(said.Took))
	all := []Finding{found, offers(o, said), keys(o, said, err), providerClock(o, said), signOut(o, said)}
	asked := make([]Finding, 2)
	var wg sync.WaitGroup
	m, err := p.method(c)
	if err != nil {
		return append(all, Finding{Fail, "provider.client", o.Name, err.Error(), "mend the client's settings"})
	}
	defer m.Close()
	wg.Go(func() { asked[0] = p.client(ctx, o, m) })
	wg.Go(func() { asked[1] = p.redirectURI(ctx, o, &c, m) })
	wg.Wait()
	return append(append(all, asked...), Finding{Skip, "provider.refresh", o.Name,
		"whether refresh tokens work, rotate and can be revoked shows a sign-in alone", "evergate doctor --sign-in=" + o.Name})
}

// unasked are the questions that cannot be put.
func unasked(about, why string) (all []Finding) {
	for _, name := range []string{"provider.offers", "provider.keys", "provider.clock", "provider.client", "provider.redirect_uri", "provider.logout"} {
		all = append(all, Finding{Skip, name, about, why, ""})
	}
	return all
}

// method is the provider as the gateway has it, for questions of its own.
func (p *Patient) method(c oidc.Config) (*oidc.Method, error) {
	c.Now = p.Now
	c.Timeout = min(c.Timeout, p.Patience/2)
	c.Once = nil
	c.Allow = nil // any account's tokens will do
	return oidc.New(c)
}

// mendProvider says what to do about a provider that cannot be asked.
func mendProvider(err error, o *config.OIDC) string {
	try := "try: curl " + strings.TrimSuffix(o.Issuer, "/") + "/.well-known/openid-configuration"
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "name the authority of its certificate in ca_file, if it is one of your own"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for another name: set issuer to the name that it is known by"
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "its certificate has to be renewed there, or the clock of this machine is wrong"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name is not known here: look at issuer, and at the resolver of this machine"
	}
	if e, ok := errors.AsType[*oidc.Error](err); ok {
		switch {
		case e.Status == http.StatusNotFound:
			return "there is no provider at this issuer: it often has a path, such as /realms/NAME; " + try
		case e.Status >= 500:
			return "the provider is there and in trouble; " + try
		}
		return try
	}
	if strings.Contains(err.Error(), "configure") {
		return "set issuer in the config to exactly what the provider says it is"
	}
	return "is it up, and does a firewall or proxy stand in between? " + try
}

// offers compares what the provider lists with what the config needs.
func offers(o *config.OIDC, said *oidc.Probed) Finding {
	f := Finding{OK, "provider.offers", o.Name, "", ""}
	var wrong, mend []string
	say := func(status Status, what, todo string) {
		if f.Status != Fail {
			f.Status = status
		}
		wrong, mend = append(wrong, what), append(mend, todo)
	}
	if said.ResponseTypes != nil && !slices.Contains(said.ResponseTypes, "code") {
		say(Fail, "it lists no response type code", "allow the authorization code flow there")
	}
	if len(said.IDTokenAlgs) == 0 {
		say(Fail, "it signs ID tokens with no algorithm that Evergate believes", "have it sign with RS256, ES256 or EdDSA")
	}
	if !said.PKCE {
		say(Warn, "it does not list PKCE with S256", "turn PKCE on for this client there; Evergate sends it in any case")
	}
	if listed := said.ClientAuthMethods; !slices.Contains(listed, o.ClientAuth) {
		say(Fail, "it does not list client_auth "+o.ClientAuth, "set client_auth to one of: "+orNone(listed))
	}
	if o.DPoP && !said.DPoP {
		say(Fail, "it does not list DPoP with ES256, and dpop is true", "turn DPoP on there, or take dpop out: whoever gets a token that is not bound is not signed in")
	}
	if said.ListedScopes != nil {
		var unknown []string
		for _, s := range o.Scopes {
			if s != "offline_access" && !slices.Contains(said.ListedScopes, s) {
				unknown = append(unknown, s)
			}
		}
		if len(unknown) > 0 { // a list need not be complete (OIDC Discovery section 3)
			say(Warn, "it does not list the scopes "+strings.Join(unknown, ", "), "take them out of scopes, or define them there")
		}
	}
	offline := "offline_access"
	switch {
	case said.RefreshTokens == "no":
		say(Fail, "it lists grant types, and refresh_token is not among them: sessions end with their first token", "allow refresh tokens for this client there")
		offline = "no refresh tokens"
	case said.ListedScopes != nil && !slices.Contains(said.ListedScopes, "offline_access") && o.Kind != oidc.KindGoogle:
		offline = "refresh tokens without offline_access"
		if said.RefreshTokens == "unknown" {
			say(Warn, "it does not list offline_access, and does not say that it gives refresh tokens", "ask with: evergate doctor --sign-in="+o.Name)
		}
	}
	f.Text = "code, PKCE with S256, " + o.ClientAuth + ", the scopes, " + offline
	if o.DPoP {
		f.Text += ", DPoP"
	}
	if len(wrong) > 0 {
		f.Text, f.Mend = strings.Join(wrong, "; "), strings.Join(mend, "; ")
	}
	return f
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none that Evergate has"
	}
	return strings.Join(names, ", ")
}

func keys(o *config.OIDC, said *oidc.Probed, err error) Finding {
	f := Finding{OK, "provider.keys", o.Name, "", ""}
	switch {
	case err != nil:
		f.Status, f.Text, f.Mend = Fail, err.Error(), "without its keys nobody can sign in: look at its jwks_uri"
		if e, ok := errors.AsType[*oidc.KeysError](err); ok && strings.Contains(e.Error(), "no key") {
			f.Mend = "give it a key of RSA with 2048 bits or more, of P-256, P-384 or P-521, or Ed25519"
		}
	case !said.KeyFits:
		f.Status = Fail
		f.Text = fmt.Sprintf("it publishes %d keys, and none is for what it says it signs ID tokens with: %s", said.Published, orNone(said.IDTokenAlgs))
		f.Mend = "give it a key for that algorithm, or have it sign with one that it has a key for"
	default:
		f.Text = fmt.Sprintf("%d of %d keys can check signatures, with %s", said.Keys, said.Published, strings.Join(said.IDTokenAlgs, ", "))
	}
	return f
}

func providerClock(o *config.OIDC, said *oidc.Probed) Finding {
	f := Finding{OK, "provider.clock", o.Name, "its clock is " + ahead(said.Skew, said.SkewWithin), ""}
	switch off := beyond(said.Skew, said.SkewWithin); {
	case said.SkewWithin == 0:
		f.Status, f.Text = Skip, "its answer has no Date header"
	case off > mostSkew:
		f.Status, f.Text = Fail, f.Text+", and a minute is the most that is forgiven: tokens are refused for their times"
		f.Mend = "set the clock that is wrong; on this machine: timedatectl, and look whether NTP runs"
	case off > someSkew:
		f.Status, f.Text = Warn, f.Text+"; a minute is the most that is forgiven"
		f.Mend = "set the clock that is wrong; on this machine: timedatectl, and look whether NTP runs"
	}
	return f
}

// signOut looks at what ends a session at both sides.
func signOut(o *config.OIDC, said *oidc.Probed) Finding {
	f := Finding{OK, "provider.logout", o.Name, "", ""}
	var has, lacks, mend []string
	if said.EndSession {
		has = append(has, "end_session_endpoint")
	} else {
		lacks = append(lacks, "no end_session_endpoint: signing out of Evergate leaves people signed in there")
		mend = append(mend, "tell people to sign out there too")
	}
	switch {
	case said.BackchannelLogoutSession:
		has = append(has, "back-channel logout of single sessions")
	case said.BackchannelLogout:
		has = append(has, "back-channel logout of all sessions of a person at once")
	default:
		lacks = append(lacks, "no back-channel logout: who signs out there stays signed in here until the next renewal")
		mend = append(mend, "keep its access tokens short")
	}
	if said.Revocation {
		has = append(has, "revocation")
	} else {
		lacks = append(lacks, "no revocation_endpoint: tokens of ended sessions live until they expire")
		mend = append(mend, "keep its tokens short")
	}
	f.Text = strings.Join(append(lacks, has...), "; ")
	if len(lacks) > 0 {
		f.Status, f.Mend = Warn, strings.Join(mend, "; ")
	}
	return f
}
