package oauth2proxy

import (
	"github.com/evergate/evergate/config"
)

// alphaProvider names the options that fields of a provider stand for.
var alphaProvider = map[string]string{
	"provider": "provider", "type": "provider", "name": "provider-display-name",
	"clientID": "client-id", "clientSecret": "client-secret", "clientSecretFile": "client-secret-file",
	"caFiles": "provider-ca-file", "useSystemTrustStore": "use-system-trust-store", "loginURL": "login-url", "redeemURL": "redeem-url",
	"profileURL": "profile-url", "skipClaimsFromProfileURL": "skip-claims-from-profile-url", "resource": "resource", "validateURL": "validate-url",
	"scope": "scope", "allowedGroups": "allowed-group", "code_challenge_method": "code-challenge-method", "backendLogoutURL": "backend-logout-url",
	"authRequestResponseMode": "auth-request-response-mode",

	"oidcConfig.issuerURL": "oidc-issuer-url", "oidcConfig.insecureAllowUnverifiedEmail": "insecure-oidc-allow-unverified-email",
	"oidcConfig.insecureSkipIssuerVerification": "insecure-oidc-skip-issuer-verification", "oidcConfig.insecureSkipNonce": "insecure-oidc-skip-nonce",
	"oidcConfig.skipDiscovery": "skip-oidc-discovery", "oidcConfig.jwksURL": "oidc-jwks-url", "oidcConfig.emailClaim": "oidc-email-claim",
	"oidcConfig.groupsClaim": "oidc-groups-claim", "oidcConfig.userIDClaim": "user-id-claim", "oidcConfig.audienceClaims": "oidc-audience-claim",
	"oidcConfig.extraAudiences": "oidc-extra-audience", "oidcConfig.publicKeyFiles": "oidc-public-key-file",
	"oidcConfig.enabledSigningAlgs": "oidc-enabled-signing-alg",
	"azureConfig.tenant":            "azure-tenant", "azureConfig.graphGroupField": "azure-graph-group-field",
	"microsoftEntraIDConfig.allowedTenants": "entra-id-allowed-tenant", "microsoftEntraIDConfig.federatedTokenAuth": "entra-id-federated-token-auth",
	"ADFSConfig.skipScope": "adfs-skip-scope", "bitbucketConfig.team": "bitbucket-team", "bitbucketConfig.repository": "bitbucket-repository",
	"githubConfig.org": "github-org", "githubConfig.team": "github-team", "githubConfig.repo": "github-repo", "githubConfig.token": "github-token",
	"githubConfig.users": "github-user", "gitlabConfig.group": "gitlab-group", "gitlabConfig.projects": "gitlab-project",
	"googleConfig.group": "google-group", "googleConfig.adminEmail": "google-admin-email", "googleConfig.serviceAccountJson": "google-service-account-json",
	"googleConfig.useApplicationDefaultCredentials": "google-use-application-default-credentials",
	"googleConfig.targetPrincipal":                  "google-target-principal", "googleConfig.useOrganizationID": "google-use-organization-id",
	"googleConfig.adminAPIUserScope": "google-admin-api-user-scope", "keycloakConfig.groups": "keycloak-group", "keycloakConfig.roles": "allowed-role",
	"loginGovConfig.jwtKey": "jwt-key", "loginGovConfig.jwtKeyFile": "jwt-key-file", "loginGovConfig.pubjwkURL": "pubjwk-url",
}

var alphaServers = map[string]string{
	"server.BindAddress": "http-address", "server.SecureBindAddress": "https-address", "server.TLS.Cert.fromFile": "tls-cert-file",
	"server.TLS.Key.fromFile": "tls-key-file", "server.TLS.MinVersion": "tls-min-version", "server.TLS.CipherSuites": "tls-cipher-suite",
	"metricsServer.BindAddress": "metrics-address", "metricsServer.SecureBindAddress": "metrics-secure-address",
	"metricsServer.TLS.Cert.fromFile": "metrics-tls-cert-file", "metricsServer.TLS.Key.fromFile": "metrics-tls-key-file",
}

// readAlpha reads the structured configuration into the same settings as flags, and
// what no flag says beside them.
func (s *source) readAlpha(t *config.Tree) {
	s.alpha.replaces = true
	for i, k := range t.Keys {
		v := t.Items[i]
		switch k.Text {
		case "providers":
			for j, p := range v.Items {
				if j == 0 {
					s.fields(p, "", alphaProvider)
				} else {
					s.strayAt(p.Line, "providers", "Only the first provider is read. Write an entry of identity for each further one, with a name of its own.")
				}
			}
		case "upstreamConfig":
			for j, f := range v.Keys {
				if f.Text == "upstreams" {
					s.readUpstreams(v.Items[j])
				} else {
					s.unread(f, "upstreamConfig."+f.Text)
				}
			}
		case "upstreams":
			s.readUpstreams(v)
		case "injectRequestHeaders":
			for _, h := range v.Items {
				s.readHeader(h)
			}
		case "injectResponseHeaders":
			for _, h := range v.Items {
				s.strayAt(h.Line, "injectResponseHeaders", forwardAuth)
			}
		case "server", "metricsServer":
			s.fields(v, k.Text+".", alphaServers)
		default:
			s.unread(k, k.Text)
		}
	}
}

// fields turns the fields of a mapping into settings, by their dotted names.
func (s *source) fields(t *config.Tree, prefix string, names map[string]string) {
	for i, k := range t.Keys {
		v, path := t.Items[i], prefix+k.Text
		name, known := names[path]
		switch {
		case known && v.IsList:
			var items []item
			for _, c := range v.Items {
				items = append(items, item{c.Text, c.Line})
			}
			s.addList(name, items, k.Line, fromAlpha)
		case known && !v.IsMap:
			s.add(name, v.Text, k.Line, fromAlpha)
		case path == "id":
		case path == "loginURLParameters":
			s.readLoginParameters(v)
		case v.IsMap:
			s.fields(v, path+".", names)
		default:
			s.unread(k, path)
		}
	}
}

// readLoginParameters reads those with one fixed value.
func (s *source) readLoginParameters(t *config.Tree) {
	for _, p := range t.Items {
		name, values, line := p.Get("name"), p.Get("default"), p.Line
		if name != nil && values != nil && len(values.Items) == 1 && p.Get("allow") == nil && lookup(name.Text) != nil {
			s.add(name.Text, values.Items[0].Text, line, fromAlpha)
			continue
		}
		s.strayAt(line, "loginURLParameters", "Parameters with one fixed value go into extra_params, or have a key of their own: prompt, acr_values, login_hint. None is taken from an address.")
	}
}

func (s *source) readUpstreams(t *config.Tree) {
	for _, u := range t.Items {
		up := upstream{order: s.file*10_000_000 + u.Line, line: u.Line, file: s.file}
		for i, k := range u.Keys {
			v := u.Items[i]
			switch k.Text {
			case "id", "flushInterval", "proxyWebSockets":
			case "path":
				up.path = v.Text
			case "uri":
				up.uri = v.Text
			case "static":
				up.static = v.Text == "true"
			case "staticCode":
				up.code = v.Text
			case "insecureSkipTLSVerify":
				up.insecure = v.Text == "true"
			case "passHostHeader":
				up.ownHost = v.Text == "false"
			case "timeout":
				up.timeout = v.Text
			case "rewriteTarget":
				up.rewrite = v.Text
			default:
				s.unread(k, "upstreams."+k.Text)
			}
		}
		s.alpha.upstreams = append(s.alpha.upstreams, up)
	}
}

// header is one that goes to the apps.
type header struct {
	order, line, file int
	name              string
	claim, prefix     string
	fixed             bool // it has a value that is no claim
	basic             bool
	several           bool
}

func (s *source) readHeader(t *config.Tree) {
	h := header{order: s.file*10_000_000 + t.Line, line: t.Line, file: s.file}
	if name := t.Get("name"); name != nil {
		h.name = name.Text
	}
	values := t.Get("values")
	if values == nil {
		values = &config.Tree{}
	}
	h.several = len(values.Items) != 1
	for _, v := range values.Items {
		// The first form had the source under its own key.
		for _, key := range []string{"claimSource", "secretSource"} {
			if inner := v.Get(key); inner != nil {
				v = inner
			}
		}
		if claim := v.Get("claim"); claim != nil {
			h.claim = claim.Text
		} else {
			h.fixed = true
		}
		if prefix := v.Get("prefix"); prefix != nil {
			h.prefix = prefix.Text
		}
		h.basic = h.basic || v.Get("basicAuthPassword") != nil
	}
	s.alpha.headers = append(s.alpha.headers, h)
}

func (s *source) unread(k *config.Tree, path string) {
	s.strayAt(k.Line, path, "This part of the alpha configuration is not read.")
}

// strayAt notes what has no option, with what is to be said of it.
func (s *source) strayAt(line int, name, note string) {
	s.alpha.stray = append(s.alpha.stray, &setting{option: &option{flag: name, key: name, note: note}, name: name, values: []string{""}, file: s.file, line: line})
}
