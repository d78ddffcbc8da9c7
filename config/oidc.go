package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/secret"
)

// OIDC is an OpenID Connect provider.
type OIDC struct {
	// Name is part of the callback path; "" is oidc.
	Name string `yaml:"name"`
	// Label is what the sign-in page calls it; "" is Name.
	Label string `yaml:"label"`
	// Issuer is its address, exactly as its metadata has it: https, or http on a loopback
	// name.
	Issuer string `yaml:"issuer"`
	// ClientID is what it calls Evergate.
	ClientID string `yaml:"client_id"`
	// ClientSecret, or better ClientSecretFile, is needed unless ClientAuth is
	// private_key_jwt.
	ClientSecret     secret.Text `yaml:"client_secret"`
	ClientSecretFile string      `yaml:"client_secret_file"`
	// ClientAuth is client_secret_basic, client_secret_post or private_key_jwt.
	ClientAuth string `yaml:"client_auth"`
	// ClientKeyFile holds the private key of private_key_jwt (PEM).
	ClientKeyFile string `yaml:"client_key_file"`
	// Kind is whose ways the provider has, where they differ from the standards.
	Kind string `yaml:"kind"`
	// Scopes are asked for; nil is openid, profile, email and offline_access.
	Scopes []string `yaml:"scopes"`
	Claims Claims   `yaml:"claims"`
	// Userinfo reads the claims of the userinfo endpoint too.
	Userinfo bool `yaml:"userinfo"`
	// TrustEmail takes every address for verified.
	TrustEmail bool `yaml:"trust_email"`
	// Allow lists alternatives; nil is everybody who can sign in there.
	Allow []Rule `yaml:"allow"`

	// Prompt is what the provider shall show: login, consent or select_account.
	Prompt string `yaml:"prompt"`
	// LoginHint is who is probably signing in.
	LoginHint string `yaml:"login_hint"`
	// ACRValues are how strong a sign-in is asked for, the one liked best first.
	ACRValues string `yaml:"acr_values"`
	// UILocales are the languages of its pages, the one liked best first.
	UILocales string `yaml:"ui_locales"`
	// MaxAge asks for a sign-in that is no older; nil does not ask.
	MaxAge *time.Duration `yaml:"max_age"`
	// ExtraParams go into the authorization request as they are.
	ExtraParams map[string]string `yaml:"extra_params"`

	// WithoutRefreshToken is with which token a session ends that cannot be
	// renewed: access_token or id_token.
	WithoutRefreshToken string `yaml:"without_refresh_token"`
	// DPoP has it bind access tokens to a key of the session (RFC 9449).
	DPoP bool `yaml:"dpop"`
	// Remember keeps the session when the browser closes.
	Remember bool `yaml:"remember"`
	// BearerAudiences are those of tokens that clients may bring themselves, of an API and
	// of no client: a client's id is the audience of its ID tokens.
	BearerAudiences []string `yaml:"bearer_audiences"`
	// Introspection asks the provider about such tokens that are no JWTs.
	Introspection bool `yaml:"introspection"`
	// CAFile holds roots for the provider's certificate (PEM); "" is the system's.
	CAFile string `yaml:"ca_file"`
	// Timeout bounds one request to the provider.
	Timeout time.Duration `yaml:"timeout"`
}

// Claims say which claims mean what: each a path, or several.
type Claims struct {
	// User is the name that rules and apps know somebody by: the first that is there.
	User Paths `yaml:"user"`
	// Name is for people to read.
	Name Paths `yaml:"name"`
	// Email is the address.
	Email Paths `yaml:"email"`
	// Groups add up.
	Groups Paths `yaml:"groups"`
}

// Paths are names of claims, or dotted paths into them. In the file it is a
// single one or a list.
type Paths []string

// Secret is the client secret, from wherever it is kept.
func (o *OIDC) Secret() (secret.Text, error) {
	if o.ClientSecretFile == "" {
		return o.ClientSecret, nil
	}
	text, err := ReadSecret(o.ClientSecretFile)
	if err != nil {
		return secret.Text{}, fmt.Errorf("the client secret of %s: %w", o.Name, err)
	}
	return text, nil
}

// fill sets the defaults of a provider.
func (o *OIDC) fill() {
	for field, def := range map[*string]string{&o.Name: "oidc", &o.ClientAuth: "client_secret_basic", &o.Kind: "generic",
		&o.WithoutRefreshToken: "access_token"} {
		if *field == "" {
			*field = def
		}
	}
	if o.Label == "" {
		o.Label = o.Name
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
}

// kinds are the providers whose ways are known; the first is none of them.
var kinds = []string{"generic", "auth0", "dex", "entra", "gitlab", "google", "keycloak", "okta"}

// ownParams are parameters of the authorization request that are not for
// extra_params: what Evergate sets itself, and what has a key of its own.
var ownParams = map[string]string{
	"client_id": "", "redirect_uri": "", "response_type": "", "response_mode": "", "state": "", "nonce": "",
	"code_challenge": "", "code_challenge_method": "", "request": "", "request_uri": "", "client_secret": "",
	"scope": "scopes", "prompt": "prompt", "login_hint": "login_hint", "acr_values": "acr_values",
	"ui_locales": "ui_locales", "max_age": "max_age", "resource": "token.resource of a route",
}

func (c *Config) checkOIDC(o *OIDC, path string) {
	if strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || len(o.Name) > 40 {
		c.wrong("", path+".name", "%q is part of the callback's path: want lower-case letters, digits, - and _", o.Name)
	} else if o.Name == "local" {
		c.wrong("", path+".name", "local is the name of the users kept here")
	}
	c.checkIssuer(o, path)
	if o.ClientID == "" {
		c.wrong("the provider gave it to you when you registered Evergate there", path, "client_id is missing")
	}
	c.checkClientAuth(o, path)
	oneOf(c, path+".kind", o.Kind, kinds...)
	oneOf(c, path+".without_refresh_token", o.WithoutRefreshToken, "access_token", "id_token")
	if o.Scopes != nil && !slices.Contains(o.Scopes, "openid") {
		c.wrong("add openid", path+".scopes", "without openid there is no ID token, and so nobody signs in")
	}
	for name, paths := range map[string]Paths{"user": o.Claims.User, "name": o.Claims.Name, "email": o.Claims.Email, "groups": o.Claims.Groups} {
		if at := path + ".claims." + name; paths != nil && (len(paths) == 0 || slices.Contains(paths, "")) {
			c.wrong("name a claim, such as preferred_username or realm_access.roles", at, "a claim without a name")
		}
	}
	c.checkAllow(o.Allow, path+".allow")
	c.checkSignInRules(o.Allow, path+".allow")
	if o.Prompt != "" {
		oneOf(c, path+".prompt", o.Prompt, "login", "consent", "select_account")
	}
	if o.MaxAge != nil && (*o.MaxAge < 0 || *o.MaxAge > 365*24*time.Hour) {
		c.wrong("", path+".max_age", "want 0s to 365d, got %s", showDuration(*o.MaxAge))
	}
	for name := range o.ExtraParams {
		if key, own := ownParams[strings.ToLower(name)]; own && key != "" {
			c.wrong("set "+key+" instead", path+".extra_params."+name, "%s has a key of its own", name)
		} else if own {
			c.wrong("remove it", path+".extra_params."+name, "Evergate sets %s itself", name)
		}
	}
	for i, a := range o.BearerAudiences {
		at := fmt.Sprintf("%s.bearer_audiences[%d]", path, i)
		if a == "" {
			c.wrong("", at, "the audience is empty")
		} else if a == o.ClientID {
			c.wrong("register an API with an audience of its own at the provider", at,
				"this is the client_id, the audience of ID tokens: whoever saw one could call the API with it")
		}
	}
	if o.Introspection && len(o.BearerAudiences) == 0 {
		c.wrong("add bearer_audiences", path+".introspection", "it is for clients' own tokens, and none are taken")
	}
	between(c, path+".timeout", o.Timeout, time.Second, 30*time.Second)
}

func (c *Config) checkIssuer(o *OIDC, path string) {
	u, err := url.Parse(o.Issuer)
	at := path + ".issuer"
	switch {
	case o.Issuer == "":
		c.wrong("the address under which the provider has /.well-known/openid-configuration", path, "issuer is missing")
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		c.wrong("write it as https://login.example.com", at, "%q is no address of a provider", o.Issuer)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		c.wrong("write it without them", at, "an issuer has no user, query or fragment (OpenID Connect Discovery section 3)")
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		c.wrong("write "+strings.TrimSuffix(o.Issuer, "/.well-known/openid-configuration"), at, "this is the address of the metadata, not the issuer")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		c.wrong("write https://"+u.Host+u.Path, at, "plain http is for loopback names alone: anybody on the way could sign in as anybody")
	}
}

func (c *Config) checkClientAuth(o *OIDC, path string) {
	hasSecret, hasFile, hasKey := c.given(path+".client_secret"), o.ClientSecretFile != "", o.ClientKeyFile != ""
	oneOf(c, path+".client_auth", o.ClientAuth, "client_secret_basic", "client_secret_post", "private_key_jwt")
	switch o.ClientAuth {
	case "private_key_jwt":
		if !hasKey {
			c.wrong("client_key_file: client.pem", path+".client_auth", "private_key_jwt needs client_key_file")
		}
		if hasSecret || hasFile {
			c.wrong("remove it", path+".client_auth", "private_key_jwt has no secret, and there is one")
		}
		return
	case "client_secret_basic", "client_secret_post":
	default:
		return
	}
	switch {
	case hasKey:
		c.wrong("set client_auth: private_key_jwt, or remove it", path+".client_key_file", "a key is for private_key_jwt alone")
	case hasSecret && hasFile:
		c.wrong("keep client_secret_file", path+".client_secret", "the secret is there twice")
	case !hasSecret && !hasFile:
		c.wrong("client_secret_file: /run/secrets/evergate-oidc", path, "client_secret_file is missing")
	case hasSecret && o.ClientSecret.IsZero():
		c.wrong("", path+".client_secret", "the secret is empty")
	}
}
