package oauth2proxy_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/evergate/evergate/cmd/evergate/internal/oauth2proxy"
	"github.com/evergate/evergate/config"
)

const here = "client_id = \"x\"\nupstreams = \"http://127.0.0.1:9000\"\nredirect_url = \"https://apps.example.com/oauth2/callback\"\noidc_issuer_url = \"https://login.example.com\"\n"

var closed = []config.Rule{{Emails: []string{"*@example.invalid"}}}

func role(path string, names ...string) config.Rule {
	return config.Rule{Claims: map[string]config.Claim{path: {AnyOf: names}}}
}

// addressed is a rule of a star: there has to be an address, and it has to be verified.
func addressed(r config.Rule) config.Rule {
	claims := map[string]config.Claim{"email": {Glob: "?*"}, "email_verified": {AnyOf: []string{"true"}}}
	maps.Copy(claims, r.Claims)
	r.Claims = claims
	return r
}

// orSilent is a rule of a star where the provider may say nothing of the address.
func orSilent(r config.Rule) config.Rule {
	r = addressed(r)
	delete(r.Claims, "email_verified")
	r.When = `identity.claims.email_verified in [nil, true, "true"]`
	return r
}

func TestWhoMaySignIn(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []config.Rule
		groups     []string // claims.groups
	}{
		{"people of a domain", `email_domains = ["example.com"]`, []config.Rule{{Emails: []string{"*@example.com"}}}, nil},
		{"everybody with a verified address, where the star says so", `email_domains = "*"`, []config.Rule{addressed(config.Rule{})}, nil},
		{"a star beside domains is everybody", `email_domains = ["example.com", "*"]`, []config.Rule{addressed(config.Rule{})}, nil},
		{"a provider that need not say that an address is verified", "provider = \"oidc\"\nemail_domains = \"*\"", []config.Rule{orSilent(config.Rule{})}, nil},
		{"one that says so in each ID token", "provider = \"keycloak-oidc\"\nemail_domains = \"*\"\nlogin_url = \"https://login.example.com/realms/r/protocol/openid-connect/auth\"", []config.Rule{addressed(config.Rule{})}, nil},
		{"one of which the ID token counts alone", "provider = \"keycloak-oidc\"\nskip_claims_from_profile_url = true\nemail_domains = \"*\"", []config.Rule{orSilent(config.Rule{})}, nil},
		{"addresses that need not be verified", "provider = \"oidc\"\ninsecure_oidc_allow_unverified_email = true\nemail_domains = \"*\"",
			[]config.Rule{{Claims: map[string]config.Claim{"email": {Glob: "?*"}}}}, nil},
		{"Google's have to be, whatever is said", "insecure_oidc_allow_unverified_email = true\nemail_domains = \"*\"", []config.Rule{addressed(config.Rule{})}, nil},
		{"another claim for the address, of which nobody says that it is verified", "provider = \"oidc\"\noidc_email_claim = \"upn\"\nemail_domains = \"*\"",
			[]config.Rule{{Claims: map[string]config.Claim{"upn": {Glob: "?*"}}}}, nil},
		{"a directory where everybody has an address", "provider = \"azure\"\nazure_tenant = \"t1\"\nemail_domains = \"*\"",
			[]config.Rule{{When: `identity.claims.email_verified in [nil, true, "true"]`}}, nil},
		{"a group with a star has to be both", "provider = \"oidc\"\nemail_domains = \"*\"\nallowed_groups = \"a\"", []config.Rule{orSilent(config.Rule{Groups: []string{"a"}})}, nil},
		{"nobody, where nothing is said", ``, closed, nil},
		{"nobody, where all that is said are subdomains", `email_domains = [".example.com"]`, closed, nil},
		{"nobody by a list that cannot be read", `authenticated_emails_file = "/no/such/file"`, closed, nil},
		{"a group of a domain has to be both", "email_domains = \"example.com\"\nallowed_groups = [\"a\", \"b\"]",
			[]config.Rule{{Emails: []string{"*@example.com"}, Groups: []string{"a", "b"}}}, nil},
		{"groups have the claim that they had", "provider = \"oidc\"\nemail_domains = \"*\"\nallowed_groups = \"a\"\noidc_groups_claim = \"roles\"",
			[]config.Rule{orSilent(config.Rule{Groups: []string{"a"}})}, []string{"roles"}},
		{"roles of the realm", "provider = \"keycloak-oidc\"\nemail_domains = \"*\"\nallowed_roles = [\"admin\", \"staff\"]",
			[]config.Rule{addressed(role("realm_access.roles", "admin", "staff"))}, nil},
		{"roles of clients are of each client alone", "provider = \"keycloak-oidc\"\nemail_domains = \"*\"\nallowed_roles = [\"wiki:editor\", \"other:editor\", \"admin\"]",
			[]config.Rule{addressed(role("resource_access.wiki.roles", "editor")), addressed(role("resource_access.other.roles", "editor")), addressed(role("realm_access.roles", "admin"))}, nil},
		{"a role or a group, and neither is taken for the other", "provider = \"keycloak-oidc\"\nemail_domains = \"*\"\nallowed_groups = [\"staff\"]\nallowed_roles = [\"admin\"]",
			[]config.Rule{addressed(config.Rule{Groups: []string{"staff"}}), addressed(role("realm_access.roles", "admin"))}, nil},
		{"a role that is written as a group", "provider = \"keycloak-oidc\"\nemail_domains = \"*\"\nallowed_groups = [\"role:wiki:editor\"]",
			[]config.Rule{addressed(role("resource_access.wiki.roles", "editor"))}, nil},
		{"a domain goes with each of them", "provider = \"keycloak-oidc\"\nemail_domains = \"example.com\"\nallowed_groups = [\"staff\"]\nallowed_roles = [\"admin\"]",
			[]config.Rule{{Emails: []string{"*@example.com"}, Groups: []string{"staff"}},
				{Emails: []string{"*@example.com"}, Claims: role("realm_access.roles", "admin").Claims}}, nil},
		{"nobody, where no path leads to the role", "provider = \"keycloak-oidc\"\nemail_domains = \"*\"\nallowed_roles = [\"my.app:admin\"]", closed, nil},
		{"nobody, where Google's groups decided", "email_domains = \"example.com\"\ngoogle_group = [\"a@example.com\"]", closed, nil},
		{"nobody, where GitHub's organization decided", "provider = \"github\"\nemail_domains = \"*\"\ngithub_org = \"example\"", closed, nil},
		{"nobody, where projects decided", "provider = \"gitlab\"\nemail_domains = \"*\"\ngitlab_projects = [\"a/b\"]", closed, []string{"groups", "groups_direct"}},
		{"a group where projects would do too", "provider = \"gitlab\"\nemail_domains = \"*\"\ngitlab_groups = [\"g\"]\ngitlab_projects = [\"a/b\"]",
			[]config.Rule{addressed(config.Rule{Groups: []string{"g"}})}, []string{"groups", "groups_direct"}},
	} {
		cfg := imported(t, here+c.text)
		o := cfg.Providers()[0]
		if !reflect.DeepEqual(o.Allow, c.want) || !reflect.DeepEqual([]string(o.Claims.Groups), c.groups) {
			t.Errorf("%s: got %+v by %q, want %+v by %q", c.name, o.Allow, o.Claims.Groups, c.want, c.groups)
		}
	}
}

// TestIssuers: whose metadata are asked for.
func TestIssuers(t *testing.T) {
	for _, c := range []struct{ name, text, issuer, kind string }{
		{"Google by default", ``, "https://accounts.google.com", "google"},
		{"a tenant", "provider = \"azure\"\nazure_tenant = \"t1\"", "https://login.microsoftonline.com/t1/v2.0", "entra"},
		{"no tenant", "provider = \"azure\"", "https://login.microsoftonline.com/TENANT-ID/v2.0", "entra"},
		{"all tenants", "provider = \"entra-id\"\noidc_issuer_url = \"https://login.microsoftonline.com/common/v2.0\"", "https://login.microsoftonline.com/TENANT-ID/v2.0", "entra"},
		{"all tenants, of which one is meant", "provider = \"entra-id\"\noidc_issuer_url = \"https://login.microsoftonline.com/common/v2.0\"\nentra_id_allowed_tenants = [\"t1\"]",
			"https://login.microsoftonline.com/t1/v2.0", "entra"},
		{"GitLab's own", "provider = \"gitlab\"", "https://gitlab.com", "gitlab"},
		{"a GitLab", "provider = \"gitlab\"\noidc_issuer_url = \"https://git.example.com\"", "https://git.example.com", "gitlab"},
		{"Keycloak's first provider", "provider = \"keycloak\"\nlogin_url = \"https://sso.example.com/realms/r/protocol/openid-connect/auth\"", "https://sso.example.com/realms/r", "keycloak"},
		{"Okta", "provider = \"oidc\"\noidc_issuer_url = \"https://corp.okta.com\"", "https://corp.okta.com", "okta"},
		{"a namesake of Okta", "provider = \"oidc\"\noidc_issuer_url = \"https://notokta.com\"", "https://notokta.com", "generic"},
		{"the address of the metadata", "provider = \"oidc\"\noidc_issuer_url = \"https://a.example.com/.well-known/openid-configuration\"", "https://a.example.com", "generic"},
		{"plain http", "provider = \"oidc\"\noidc_issuer_url = \"http://a.example.com/x\"", "https://a.example.com/x", "generic"},
		{"plain http at home", "provider = \"oidc\"\noidc_issuer_url = \"http://127.0.0.1:5556/dex\"", "http://127.0.0.1:5556/dex", "dex"},
		{"OAuth2 alone", "provider = \"bitbucket\"", "https://dex.example.com", "dex"},
		{"login.gov", "provider = \"login.gov\"\njwt_key_file = \"key.pem\"", "https://secure.login.gov/", "generic"},
	} {
		o := imported(t, "client_id = \"x\"\nemail_domains = \"*\"\n"+c.text).Providers()[0]
		if o.Issuer != c.issuer || o.Kind != c.kind {
			t.Errorf("%s: got %s, %s; want %s, %s", c.name, o.Issuer, o.Kind, c.issuer, c.kind)
		}
	}
}

// TestWhatCannotBeRead: errors name the line, and no secret.
func TestWhatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "# only a comment\n", "there is no setting in it"},
		{"another program's file", "server {\n  listen 80;\n}\n", "there is no setting of oauth2-proxy in it"},
		{"nothing that is known", "a: b: c\n", "it is no YAML"},
		{"another manifest", "kind: Service\nspec: { ports: [] }\n", "there is no setting of oauth2-proxy in it"},
		{"a value that is not closed", "client_id = \"a\"\nclient_secret = \"hunter2\n", "in:2: it is no TOML"},
		{"a key twice", "client_id = \"a\"\nclient_id = \"b\"\n", "in:2: client_id is there twice, first on line 1"},
		{"a boolean that is none", "client_id = \"a\"\nreverse_proxy = \"maybe\"\n", "in:2: reverse_proxy: want true or false"},
		{"a duration that is none", "cookie_expire = \"week\"\n", "in:1: cookie_expire: want a duration"},
		{"a flag without its value", "--provider=oidc --client-id", "in:1: --client-id: there is no value"},
		{"two gateways", "a: { args: [--client-id=a, --email-domain=*] }\nb: { args: [--client-id=b] }\n", "in:2: client-id is there already on line 1"},
		{"a folder of a Helm chart that says nothing", "config: { existingSecret: s }\n", "there is no setting of oauth2-proxy in it"},
		{"a quotation mark", "--client-secret='hunter2", "in:1: a quotation mark is not closed"},
		{"a Redis that is none", "session_store_type = \"redis\"\nredis_connection_url = \"cache:hunter2\"\n", "in:2: redis_connection_url: want redis://HOST:PORT"},
		{"bytes", "client_id = \"\xff\"\n", "it is not UTF-8"},
	} {
		_, err := oauth2proxy.Import([]oauth2proxy.Source{{Name: "in", Data: []byte(c.text)}}, oauth2proxy.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
}

// TestForms: the same settings make the same config, however they are written.
func TestForms(t *testing.T) {
	want := imported(t, "provider = \"oidc\"\noidc_issuer_url = \"https://login.example.com\"\nclient_id = \"x\"\nemail_domains = [\"a.example\", \"b.example\"]\n"+
		"upstreams = [\"http://127.0.0.1:1/\", \"http://127.0.0.1:2/two/\"]\nreverse_proxy = true\nredirect_url = \"https://apps.example.com/oauth2/callback\"\n")
	for name, text := range map[string]string{
		"flags, one a line": "--provider=oidc\n--oidc-issuer-url=https://login.example.com\n--client-id=x\n--email-domain=a.example\n--email-domain=b.example\n" +
			"--upstream=http://127.0.0.1:1/\n--upstream=http://127.0.0.1:2/two/\n--reverse-proxy\n--redirect-url=https://apps.example.com/oauth2/callback\n",
		"a command": "oauth2-proxy -provider oidc --oidc-issuer-url \"https://login.example.com\" --client-id x --email-domain=a.example,b.example \\\n" +
			"  --upstream=http://127.0.0.1:1/,http://127.0.0.1:2/two/ --reverse-proxy=true --redirect-url=https://apps.example.com/oauth2/callback",
		"arguments of a container": "args:\n- --provider=oidc\n- --oidc-issuer-url=https://login.example.com\n- --client-id\n- x\n- --email-domain=a.example\n- --email-domain=b.example\n" +
			"- --upstream=http://127.0.0.1:1/\n- --upstream=http://127.0.0.1:2/two/\n- --reverse-proxy\n- --redirect-url=https://apps.example.com/oauth2/callback\n",
		"those arguments alone": "- --provider=oidc\n- \"--oidc-issuer-url=https://login.example.com\"\n- --client-id=x\n- --email-domain=a.example\n- --email-domain=b.example\n" +
			"- --upstream=http://127.0.0.1:1/\n- --upstream=http://127.0.0.1:2/two/\n- --reverse-proxy\n- --redirect-url=https://apps.example.com/oauth2/callback\n",
		"variables": "export OAUTH2_PROXY_PROVIDER=oidc\nOAUTH2_PROXY_OIDC_ISSUER_URL='https://login.example.com'\nOAUTH2_PROXY_CLIENT_ID=x\nOAUTH2_PROXY_EMAIL_DOMAINS=\"a.example,b.example\"\n" +
			"OAUTH2_PROXY_UPSTREAMS=http://127.0.0.1:1/,http://127.0.0.1:2/two/\nOAUTH2_PROXY_REVERSE_PROXY=true\nOAUTH2_PROXY_REDIRECT_URL=https://apps.example.com/oauth2/callback\n",
		"compose": "services:\n  proxy:\n    command: --provider=oidc --client-id=x --reverse-proxy\n    environment:\n      OAUTH2_PROXY_OIDC_ISSUER_URL: https://login.example.com\n" +
			"      OAUTH2_PROXY_EMAIL_DOMAINS: a.example,b.example\n      OAUTH2_PROXY_REDIRECT_URL: https://apps.example.com/oauth2/callback\n      OAUTH2_PROXY_UPSTREAMS: http://127.0.0.1:1/,http://127.0.0.1:2/two/\n",
		"a ConfigMap": "kind: ConfigMap\ndata:\n  oauth2_proxy.cfg: |\n    provider = \"oidc\"\n    oidc_issuer_url = \"https://login.example.com\"\n    client_id = \"x\"\n    email_domains = [\"a.example\", \"b.example\"]\n" +
			"    upstreams = [\"http://127.0.0.1:1/\", \"http://127.0.0.1:2/two/\"]\n    reverse_proxy = true\n    redirect_url = \"https://apps.example.com/oauth2/callback\"\n",
		"values of the Helm chart": "config:\n  clientID: x\n  configFile: |-\n    email_domains = [ \"a.example\", \"b.example\" ]\n    upstreams = [ \"http://127.0.0.1:1/\", \"http://127.0.0.1:2/two/\" ]\n" +
			"extraArgs:\n  provider: oidc\n  oidc-issuer-url: https://login.example.com\n  reverse-proxy:\n  redirect-url: https://apps.example.com/oauth2/callback\n",
		"an alpha configuration and the rest": "kind: Two\n---\nproviders:\n- provider: oidc\n  clientID: x\n  oidcConfig: { issuerURL: https://login.example.com }\nupstreams:\n- { id: a, path: /, uri: http://127.0.0.1:1/ }\n" +
			"- { id: b, path: /two/, uri: http://127.0.0.1:2 }\n---\nargs: [--email-domain=a.example, --email-domain=b.example, --reverse-proxy, --redirect-url=https://apps.example.com/oauth2/callback]\n",
	} {
		got := imported(t, text)
		for what, pair := range map[string][2]any{"the provider": {got.Identity, want.Identity}, "routes": {got.Routes, want.Routes}, "public_url": {got.PublicURL, want.PublicURL},
			"trusted_proxies": {got.TrustedProxies, want.TrustedProxies}, "the session": {got.Session, want.Session}} {
			if !reflect.DeepEqual(pair[0], pair[1]) {
				t.Errorf("%s: %s: got %+v, want %+v", name, what, pair[0], pair[1])
			}
		}
	}
}

// TestStrongerSourcesWin, as in oauth2-proxy: flags before variables before files.
func TestStrongerSourcesWin(t *testing.T) {
	sources := []oauth2proxy.Source{{Name: "a.env", Data: []byte("OAUTH2_PROXY_CLIENT_ID=env\nOAUTH2_PROXY_COOKIE_EXPIRE=2h\n")},
		{Name: "a.cfg", Data: []byte("client_id = \"file\"\ncookie_expire = \"1h\"\nprompt = \"login\"\nemail_domains = \"*\"\n")}, {Name: "a.flags", Data: []byte("--client-id=flag")}}
	r, err := oauth2proxy.Import(sources, oauth2proxy.Options{PublicURL: "https://apps.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"client_id: flag  # a.flags:1", "a.env:1, client_id: It is set again on a.flags:1, which counts.", "max_lifetime: 2h", "prompt: login  # a.cfg:3",
		"public_url: https://apps.example.com"} {
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("got\n%s\nwant in it %q", r.Config, want)
		}
	}
}
