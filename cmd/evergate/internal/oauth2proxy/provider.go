package oauth2proxy

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/evergate/evergate/config"
)

// placeholder is an issuer that is nobody's.
const placeholder = "https://login.example.com"

// identity makes the provider's entry.
func (x *importer) identity() {
	top := x.root.section(4, "identity:", "  - oidc:")
	top.indent = 6
	x.sections["identity"] = top
	issuer, notes := x.issuer()
	x.name = x.kind
	if x.kind == "generic" {
		x.name = "oidc"
	}
	top.add(-4, append(comment("Register this redirect URI at the provider, beside the one that is there: "+
		x.publicURL+"/.evergate/callback/"+x.name), "name: "+x.name)...)
	x.todo = append(x.todo, "register "+x.publicURL+"/.evergate/callback/"+x.name+" at the provider")
	x.putIssuer(top, issuer, notes)
	if x.kind != "generic" {
		top.add(-2, "kind: "+x.kind)
	}
	x.client(top)
	x.asked(top)
	x.claims(top)
	x.allow(top)
}

// putIssuer writes the issuer below the setting that it comes from.
func (x *importer) putIssuer(top *outline, issuer string, notes []string) {
	lines := []string{"issuer: " + scalar(issuer)}
	p := x.get("provider")
	s := x.get("oidc-issuer-url")
	if s == nil && x.kind == "entra" {
		if s = x.get("entra-id-allowed-tenant"); s == nil {
			s = x.get("azure-tenant")
		}
	}
	switch {
	case s != nil:
		kid := x.put(top, s, lines, notes...)
		if t := x.get("azure-tenant"); t != nil && x.kind == "entra" {
			x.made(kid, t)
		}
		if tenants := x.get("entra-id-allowed-tenant"); tenants != nil && x.kind == "entra" {
			x.made(kid, tenants)
		}
		if p != nil {
			x.use(p)
			top.add(p.order(), comment(capital(x.where(p.file, p.line))+", provider: "+p.values[0]+" is kind: "+x.kind+" here.")...)
		}
	case p != nil:
		x.put(top, p, lines, notes...)
	default:
		top.add(-3, append(comment(strings.Join(append([]string{"oauth2-proxy's provider is google unless it is told otherwise."}, notes...), " ")), lines...)...)
	}
}

var tenant = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// issuer finds whose metadata are asked for, and sets kind.
func (x *importer) issuer() (issuer string, notes []string) {
	given := x.text("oidc-issuer-url")
	provider := strings.ToLower(x.text("provider"))
	x.kind = "generic"
	switch provider {
	case "", "google":
		issuer, x.kind = "https://accounts.google.com", "google"
	case "gitlab":
		issuer, x.kind = "https://gitlab.com", "gitlab"
	case "azure", "entra-id":
		x.kind = "entra"
		issuer, notes = x.entra(given)
		given = ""
	case "login.gov":
		issuer = "https://secure.login.gov/"
	case "keycloak", "keycloak-oidc":
		x.kind = "keycloak"
		issuer = x.realm()
	case "oidc", "adfs", "cidaas":
		issuer = x.realm()
	default:
		x.kind = "dex"
		x.todo = append(x.todo, "set up an OpenID Connect provider in front of "+printable(provider)+", and name it as issuer")
		notes = append(notes, printable(provider)+" signs people in with OAuth2 alone, and there is no ID token to rely on. Evergate signs in at an OpenID Connect provider: "+
			"set up Dex (or Keycloak) with a connector for it, register Evergate there, and write its address and client_id here.")
		return "https://dex.example.com", notes
	}
	if given != "" {
		issuer = given
	}
	if issuer == "" {
		x.todo = append(x.todo, "write the provider's issuer into the config")
		return placeholder, append(notes, "There is no oidc_issuer_url. Write the address that has /.well-known/openid-configuration under it.")
	}
	issuer, more := mend(issuer)
	if provider != "azure" && provider != "entra-id" {
		x.kind = kindOf(issuer, x.kind)
	}
	return issuer, append(notes, more...)
}

// realm finds Keycloak's issuer in addresses that its first provider had.
func (x *importer) realm() string {
	for _, flag := range []string{"login-url", "redeem-url", "profile-url", "validate-url"} {
		if realm, _, ok := strings.Cut(x.text(flag), "/protocol/openid-connect/"); ok {
			x.kind = "keycloak"
			return realm
		}
	}
	return ""
}

// entra finds the tenant.
func (x *importer) entra(given string) (string, []string) {
	id := ""
	if values, from := x.all("entra-id-allowed-tenant"); len(values) > 0 {
		id = values[0]
		if len(values) > 1 {
			x.remark(x.sections["identity"], from[1], "This is for the first tenant. Make an entry of identity for each other one, with a name of its own.")
		}
	} else if t := x.get("azure-tenant"); t != nil {
		id = t.values[0]
	}
	if u, err := url.Parse(given); given != "" && err == nil {
		if first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); first != "" && !manyTenants(first) {
			return mend(given)
		}
	}
	if id == "" || manyTenants(id) || !tenant.MatchString(id) {
		x.todo = append(x.todo, "write your tenant's id into issuer")
		return "https://login.microsoftonline.com/TENANT-ID/v2.0", []string{"Write your tenant's id. common and organizations let in all of Microsoft's customers, and Evergate refuses them."}
	}
	return "https://login.microsoftonline.com/" + id + "/v2.0", nil
}

func manyTenants(id string) bool {
	return slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(id))
}

// mend makes an issuer of an address that stands for one.
func mend(issuer string) (string, []string) {
	issuer = strings.TrimSuffix(issuer, "/.well-known/openid-configuration")
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || !hostPort.MatchString(u.Host) || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return placeholder, []string{"This is no address of a provider. Write the one that has /.well-known/openid-configuration under it."}
	case u.Scheme == "http" && !config.IsLoopback(u.Hostname()):
		u.Scheme = "https"
		return u.String(), []string{"It is http there. In plain text anybody on the way could sign in as anybody: this says https, which the provider has to serve. It may call itself by another name then."}
	}
	return issuer, nil
}

// kindOf tells whose an issuer is by its address.
func kindOf(issuer, kind string) string {
	u, err := url.Parse(issuer)
	if err != nil || kind != "generic" {
		return kind
	}
	for suffix, k := range map[string]string{"accounts.google.com": "google", "login.microsoftonline.com": "entra", ".okta.com": "okta",
		".oktapreview.com": "okta", ".auth0.com": "auth0", "gitlab.com": "gitlab"} {
		if strings.HasSuffix("."+u.Hostname(), strings.TrimPrefix("."+suffix, ".")) && (u.Hostname() == suffix || strings.HasPrefix(suffix, ".") && strings.HasSuffix(u.Hostname(), suffix)) {
			return k
		}
	}
	switch {
	case strings.Contains(u.Path, "/realms/"):
		return "keycloak"
	case u.Path == "/dex":
		return "dex"
	}
	return kind
}

// client makes how Evergate proves who it is.
func (x *importer) client(top *outline) {
	if s := x.get("client-id"); s != nil {
		x.put(top, s, []string{"client_id: " + scalar(s.values[0])})
	} else {
		x.todo = append(x.todo, "write the client_id into the config")
		top.add(-1, append(comment("There is no client_id. Write the one that the provider gave you."), "client_id: CLIENT-ID")...)
	}
	if key := x.get("jwt-key-file"); key != nil {
		x.put(top, key, []string{"client_auth: private_key_jwt", "client_key_file: " + scalar(key.values[0])}, key.note)
		return
	}
	if s := x.get("client-secret-file"); s != nil {
		x.put(top, s, []string{"client_secret_file: " + scalar(s.values[0])})
		return
	}
	file := x.name + ".secret"
	lines := []string{"client_secret_file: " + file}
	how := x.secretFile(file)
	if s := x.get("client-secret"); s != nil {
		x.put(top, s, lines, how)
		return
	}
	top.add(0, append(comment("There is no client_secret in the source. Evergate is a confidential client: "+how), lines...)...)
}

// secretFile says how to make a file for a secret, and notes that it is needed.
func (x *importer) secretFile(file string) string {
	command := fmt.Sprintf("(umask 077; cat > %s)", file)
	x.todo = append(x.todo, "put the secret into "+file+": "+command)
	return "The secret is not repeated here. Put it into a file beside this one, by pasting it after " + command + " and closing with Ctrl-D."
}

// asked makes what goes into the authorization request, and what is believed.
func (x *importer) asked(top *outline) {
	if s := x.get("provider-display-name"); s != nil {
		x.put(top, s, []string{"label: " + scalar(s.values[0])})
	}
	x.scopes(top)
	if s := x.get("prompt"); s != nil && slices.Contains([]string{"login", "consent", "select_account"}, s.values[0]) {
		x.put(top, s, []string{"prompt: " + s.values[0]})
	}
	if s := x.get("acr-values"); s != nil {
		x.put(top, s, []string{"acr_values: " + scalar(s.values[0])})
	}
	if files, from := x.all("provider-ca-file"); len(files) == 1 {
		x.put(top, from[0], []string{"ca_file: " + scalar(files[0])})
	}
	if s := x.get("insecure-oidc-allow-unverified-email"); x.trustsEmail() {
		x.put(top, s, []string{"trust_email: true"}, s.note)
	} else if x.is("insecure-oidc-allow-unverified-email", false) {
		x.remark(top, s, "oauth2-proxy does not read it with this provider: an address has to be verified, and so it has here.")
	}
	s, skip := x.get("profile-url"), x.get("skip-claims-from-profile-url")
	switch {
	case s != nil && !x.is("skip-claims-from-profile-url", false):
		x.put(top, s, []string{"userinfo: true"}, s.note)
	case skip != nil && !x.is("skip-claims-from-profile-url", false):
		x.put(top, skip, []string{"userinfo: true"})
	case skip == nil && x.userinfoByItself():
		top.add(0, append(comment("As oauth2-proxy does where the ID token says too little. Without it each renewal asks the provider once less."), "userinfo: true")...)
	}
	var audiences []string
	values, from := x.all("oidc-extra-audience")
	for _, v := range values {
		if v != x.text("client-id") && !slices.Contains(audiences, v) {
			audiences = append(audiences, v)
		}
	}
	if x.is("skip-jwt-bearer-tokens", false) && len(audiences) > 0 {
		x.made(x.put(top, from[0], []string{"bearer_audiences: " + flow(audiences)}), from[1:]...)
	}
}

func (x *importer) scopes(top *outline) {
	s := x.get("scope")
	if s == nil {
		return
	}
	var scopes []string
	for _, f := range append([]string{"openid"}, strings.Fields(s.values[0])...) {
		if !slices.Contains(scopes, f) {
			scopes = append(scopes, f)
		}
	}
	var notes []string
	if !slices.Contains(scopes, "offline_access") && x.kind != "google" && x.kind != "gitlab" {
		scopes = append(scopes, "offline_access")
		notes = append(notes, "offline_access is added: it asks for the refresh token, without which a session ends with its first access token.")
	}
	x.put(top, s, []string{"scopes: " + flow(scopes)}, notes...)
}
