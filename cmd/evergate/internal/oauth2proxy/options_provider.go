package oauth2proxy

const (
	discovered = "Evergate asks the provider's metadata for this address, and checks what it says. A provider without metadata is no OpenID " +
		"Connect provider; put Dex between."
	noGoogleGroups = "Google names no groups in its tokens, and Evergate does not ask its directory. Name people by emails, or sign in through a provider " +
		"that has the groups (Dex, Keycloak)."
	noGitHub = "GitHub signs people in with OAuth2 and is no OpenID Connect provider. Put Dex between, whose connector for GitHub gives organizations and " +
		"teams as groups (org:team), and name those under allow."
	noBitbucket = "Bitbucket signs people in with OAuth2 and is no OpenID Connect provider. Put Dex or Keycloak between, and name groups under allow."
)

// providerOptions are about the provider and what is asked of it.
var providerOptions = []option{
	part("provider", text, "identity.oidc.kind, issuer", "Providers of OpenID Connect are taken over. One that has OAuth2 alone (github, bitbucket, digitalocean, facebook, linkedin, nextcloud, gitea) "+
		"needs one between that speaks OpenID Connect, such as Dex.").in("identity"),
	yes("provider-display-name", text, "identity.oidc.label"),
	yes("client-id", text, "identity.oidc.client_id"),
	part("client-secret", text, "identity.oidc.client_secret_file", "Evergate reads the secret from a file of its own, so that the config can be shown.").hidden().in("identity"),
	yes("client-secret-file", text, "identity.oidc.client_secret_file"),
	part("oidc-issuer-url", text, "identity.oidc.issuer", "Plain http is taken on loopback names alone.").in("identity"),
	yes("scope", text, "identity.oidc.scopes"),
	part("prompt", text, "identity.oidc.prompt", "login, consent and select_account. Others are not asked for.").in("identity"),
	no("approval-prompt", text, "identity", "This was Google's, before prompt. With kind: google Evergate asks for consent where Google gives a refresh token for it.").like("force"),
	yes("acr-values", text, "identity.oidc.acr_values"),
	no("code-challenge-method", text, "identity", "Evergate always uses PKCE with S256.").like("S256"),
	no("force-code-challenge-method", text, "identity", "Evergate always uses PKCE with S256.").like("S256"),
	part("provider-ca-file", list, "identity.oidc.ca_file", "One file: put several together with cat.").plural("provider_ca_files").in("identity"),
	no("use-system-trust-store", boolean, "identity", "With ca_file those authorities are trusted alone, without it the system's. For both, put both into one file.").like("false"),
	yes("oidc-email-claim", text, "identity.oidc.claims.email"),
	yes("oidc-groups-claim", text, "identity.oidc.claims.groups"),
	yes("user-id-claim", text, "identity.oidc.claims.email"),
	no("oidc-audience-claim", list, "identity", "The audience of an ID token is its aud (OpenID Connect Core section 3.1.3.7), and has to hold the client_id.").plural("oidc_audience_claims").like("aud"),
	part("oidc-extra-audience", list, "identity.oidc.bearer_audiences", "They count for tokens that API clients bring. An ID token of a sign-in is for the client_id, and for nobody else.").plural("oidc_extra_audiences").in("identity"),
	part("insecure-oidc-allow-unverified-email", boolean, "identity.oidc.trust_email", "It takes every address of this provider for verified: only where people cannot choose theirs.").in("identity").like("false"),
	no("insecure-oidc-skip-issuer-verification", boolean, "identity", "The issuer is always verified. With Entra ID use the issuer of one tenant; for several tenants, one entry each.").like("false"),
	no("insecure-oidc-skip-nonce", boolean, "identity", "The nonce is always verified.").like("false"),
	no("skip-oidc-discovery", boolean, "identity", discovered).like("false"),
	no("login-url", text, "identity", discovered),
	no("redeem-url", text, "identity", discovered),
	part("profile-url", text, "identity.oidc.userinfo", "The address comes from the provider's metadata; userinfo: true has it asked.").in("identity"),
	no("validate-url", text, "identity", "A session is validated by renewing its token, at the address that the provider's metadata name."),
	no("oidc-jwks-url", text, "identity", discovered),
	no("oidc-public-key-file", list, "identity", "Keys come from the provider's metadata, so that they can change.").plural("oidc_public_key_files"),
	no("oidc-enabled-signing-alg", list, "identity", "Evergate takes the asymmetric algorithms that the keys of the provider are for.").plural("oidc_enabled_signing_algs"),
	part("skip-claims-from-profile-url", boolean, "identity.oidc.userinfo", "Evergate reads the ID token alone, unless userinfo: true.").in("identity").like("true"),
	no("auth-request-response-mode", text, "identity", "The answer comes as a query, with the code bound to its browser by PKCE and a cookie.").like("query"),
	no("resource", text, "identity", "Azure AD's first version had it. A route asks for a token for an API of yours with token: { resource: URL }, or by scopes."),
	no("backend-logout-url", text, "identity", "Signing out of Evergate goes to the provider's end_session_endpoint and revokes the refresh token (RFC 7009), where the provider has them."),
	part("jwt-key-file", text, "identity.oidc.client_key_file", "With client_auth: private_key_jwt. The public half is at public_url/.evergate/client-jwks/NAME.").in("identity"),
	no("jwt-key", text, "identity", "Put the key into a file of mode 0600, and name it as client_key_file, with client_auth: private_key_jwt.").hidden(),
	no("pubjwk-url", text, "identity", "Keys come from the provider's metadata."),
	no("ssl-insecure-skip-verify", boolean, "identity", "The provider's certificate is always verified. Name its authority in ca_file.").like("false"),
	no("skip-provider-button", boolean, "identity", "With one way to sign in Evergate goes straight there.").like("true"),
	no("encode-state", boolean, "identity", "The state is a value that every provider hands back unchanged.").like("false"),
	no("relative-redirect-url", boolean, "identity", "The redirect URI is that of public_url, and always the same.").like("false"),

	part("azure-tenant", text, "identity.oidc.issuer", "The issuer names one tenant. common and organizations stand for all of Microsoft's customers, and Evergate refuses them.").in("identity"),
	no("azure-graph-group-field", text, "identity", "Groups are those of the token, by id: add the groups claim under Token configuration, or use app roles.").like("id"),
	part("entra-id-allowed-tenant", list, "identity.oidc.issuer", "An entry is for one tenant: make one entry for each, with a name of its own.").plural("entra_id_allowed_tenants").in("identity"),
	no("entra-id-federated-token-auth", boolean, "identity", "Evergate proves who it is with a secret, or with a key of its own: client_auth: private_key_jwt.").like("false"),
	no("adfs-skip-scope", boolean, "identity", "Scopes are asked for, and openid is among them: without it there is no ID token.").like("false"),
	no("google-group", list, "identity", noGoogleGroups).plural("google_groups"),
	no("google-admin-email", text, "identity", noGoogleGroups),
	no("google-service-account-json", text, "identity", noGoogleGroups),
	no("google-use-application-default-credentials", boolean, "identity", noGoogleGroups).like("false"),
	no("google-target-principal", text, "identity", noGoogleGroups),
	no("google-use-organization-id", boolean, "identity", noGoogleGroups).like("false"),
	no("google-admin-api-user-scope", text, "identity", noGoogleGroups),
	no("github-org", text, "identity", noGitHub),
	no("github-team", text, "identity", noGitHub),
	no("github-repo", text, "identity", noGitHub),
	no("github-token", text, "identity", noGitHub).hidden(),
	no("github-user", list, "identity", noGitHub).plural("github_users"),
	no("bitbucket-team", text, "identity", noBitbucket),
	no("bitbucket-repository", text, "identity", noBitbucket),
	yes("gitlab-group", list, "identity.oidc.allow.groups").plural("gitlab_groups"),
	no("gitlab-project", list, "identity", "GitLab's tokens name groups, and no projects. Give the project's people a group, and name it under allow.").plural("gitlab_projects"),
	yes("keycloak-group", list, "identity.oidc.allow.groups").plural("keycloak_groups"),
}

// ruleOptions say who may pass, and where.
var ruleOptions = []option{
	part("email-domain", list, "identity.oidc.allow.emails", "*@example.com is every verified address of exactly that domain; list subdomains one by one. \"*\" becomes what oauth2-proxy asks of everybody: an address, and a provider that does not call it unverified.").plural("email_domains").in("identity"),
	part("authenticated-emails-file", text, "identity.oidc.allow.emails", "The addresses are written into the config, as they are now. Evergate reads its config again when it changes.").in("identity"),
	yes("allowed-group", list, "identity.oidc.allow.groups").plural("allowed_groups"),
	part("allowed-role", list, "identity.oidc.allow.claims", "Roles are the claims realm_access.roles and resource_access.CLIENT.roles. They have to be in the ID token, or in userinfo with userinfo: true.").plural("allowed_roles").in("identity"),
	part("skip-auth-route", list, "routes with public: true", "Where the expression is a path, or all below a path. Others stay behind the sign-in. With a method, the other methods of the path have a guarded route of their own.").plural("skip_auth_routes").in("routes"),
	part("skip-auth-regex", list, "routes with public: true", "Where the expression is a path, or all below a path. Others stay behind the sign-in.").plural("skip_auth_regex").in("routes"),
	yes("skip-auth-preflight", boolean, "routes.cors_preflight").like("false"),
	no("api-route", list, "routes", "Every script that is not signed in gets 401 with a login_url, never a redirect: Evergate tells it from a page by its Sec-Fetch and Accept headers.").plural("api_routes"),
	no("force-json-errors", boolean, "routes", "Scripts get application/problem+json, people get pages.").like("false"),
	no("trusted-ip", list, "routes", "In oauth2-proxy these addresses need no sign-in. In Evergate nobody passes a guarded route for an address. Make the paths that machines "+
		"call public routes, or give machines tokens (bearer: true). trusted_proxies is something else: who is believed about where a request comes from.").plural("trusted_ips"),
	part("skip-jwt-bearer-tokens", boolean, "routes.bearer", "It needs bearer_audiences at the provider. Access tokens for an API of yours are taken; ID tokens, whose audience is the client_id, are not.").in("routes").like("false"),
	no("extra-jwt-issuers", list, "routes", "Each issuer is an entry of identity, with bearer_audiences."),
	no("htpasswd-file", text, "identity", "Its hashes are not read. Add  - local: { users_file: users.yaml }  to identity, and each person with: evergate user add --config FILE NAME"),
	no("htpasswd-user-group", list, "identity", "Groups of local users are given with: evergate user add --config FILE --groups GROUP NAME").plural("htpasswd_user_groups"),
	no("display-htpasswd-form", boolean, "identity", "The sign-in page offers what identity lists.").like("true"),
	no("whitelist-domain", list, "routes", "After signing in people go back to public_url's host and to hosts that routes name with match: { host: NAME }, and nowhere else.").plural("whitelist_domains"),
}
