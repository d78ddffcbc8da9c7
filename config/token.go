package config

import "net/url"

// Token is what a route sends upstream behind Bearer.
type Token struct {
	// Type is access, id, evergate or none.
	Type string `yaml:"type"`
	// Audience is that of an evergate token, where "" is access_token.audience; with
	// an access token it has the provider exchange it (RFC 8693).
	Audience string `yaml:"audience"`
	// Scopes are asked for in an exchange.
	Scopes []string `yaml:"scopes"`
	// Resource asks the provider for a token for it (RFC 8707).
	Resource string `yaml:"resource"`
	// DPoP sends a proof of the session's key along (RFC 9449); the provider has to have
	// bound the token to that.
	DPoP bool `yaml:"dpop"`
	// DPoPURL is how the app knows itself, where that is not by the Host it is sent.
	DPoPURL string `yaml:"dpop_url"`
}

func (c *Config) checkToken(t *Token, path string, oidc bool) {
	if t.Type != "" {
		oneOf(c, path+".type", t.Type, "access", "id", "evergate", "none")
	}
	if t.Type == "id" && !oidc {
		c.wrong("use evergate, or leave it out", path+".type", "users kept here have no ID token")
	}
	switch exchanged := t.Audience != "" && (t.Type == "" || t.Type == "access"); {
	case t.Audience != "" && !exchanged && t.Type != "evergate":
		c.wrong("set type: access or evergate", path+".audience", "a token of type %s has the audience that it has", t.Type)
	case exchanged && !oidc:
		c.wrong("set type: evergate", path+".audience", "only an oidc provider exchanges tokens")
	case exchanged && t.Resource != "":
		c.wrong("keep one of the two", path+".resource", "with an audience the token is exchanged, and not asked for by resource")
	case t.Scopes != nil && !exchanged:
		c.wrong("set audience", path+".scopes", "scopes are for a token that is exchanged for an audience")
	}
	if t.Resource == "" {
		return
	}
	u, err := url.Parse(t.Resource)
	switch {
	case t.Type != "" && t.Type != "access":
		c.wrong("set type: access", path+".resource", "a resource is for access tokens")
	case !oidc:
		c.wrong("", path+".resource", "a resource is for access tokens of an oidc provider")
	case err != nil || !u.IsAbs() || u.Fragment != "":
		c.wrong("write it as https://api.example.com/", path+".resource", "%q is no absolute URI without fragment (RFC 8707 section 2)", t.Resource)
	}
}
