package oauth2proxy

const (
	askedHow    = "Evergate does that too: set forward_auth, and take the front proxy's configuration from evergate snippet; see docs/forward-auth.md."
	forwardAuth = "It is said to a front proxy that asks about each request (auth_request, ForwardAuth). " + askedHow
	ownLog      = "Evergate writes one log, to standard error, as text or JSON, a line for each request: log: { level, format }. Rotating it is the service manager's."
	ownPages    = "pages: { name, logo_file, colors, links, help, messages, templates } make the pages yours, see docs/pages.md."
	ownCookie   = "The session cookie is Secure, HttpOnly, SameSite=Lax, for the path / and one host, always."
	ownHealth   = "Health is told on the operator's listener (admin.listen): /livez and /readyz. No path of the public address is taken for it."
	ownAdmin    = "Metrics are at /metrics on the operator's listener, admin.listen, by default 127.0.0.1:9180 in plain http. Keep it off public addresses."
	ownFlow     = "Sign-ins under way each have a cookie of their own, for a few minutes."
)

// headerOptions say what an app, or a proxy in front, is told.
var headerOptions = []option{
	no("pass-user-headers", boolean, "routes", "X-Forwarded-User, -Email, -Groups and -Preferred-Username are sent always.").like("true"),
	part("pass-basic-auth", boolean, "routes.upstream_auth.basic", "Where basic_auth_password is set. The X-Forwarded headers that it stands for too are sent always.").in("routes").like("true"),
	part("basic-auth-password", text, "routes.upstream_auth.basic", "The password is read from a file.").hidden().in("routes"),
	part("pass-access-token", boolean, "routes.token", "The access token goes up in Authorization: Bearer, always fresh, and not in X-Forwarded-Access-Token.").in("routes").like("false"),
	yes("pass-authorization-header", boolean, "routes.token.type: id").like("false"),
	yes("prefer-email-to-user", boolean, "identity.oidc.claims.user: email").like("false"),
	no("set-xauthrequest", boolean, "routes", forwardAuth+" An app that reads X-Auth-Request-User gets it by a line of its route: request_headers: { set: { X-Auth-Request-User: \"{user}\" } }.").like("false"),
	no("set-authorization-header", boolean, "routes", forwardAuth).like("false"),
	no("set-basic-auth", boolean, "routes", forwardAuth).like("false"),
	no("skip-auth-strip-headers", boolean, "routes", "What a client sends under the names of the gateway's headers is always removed, on public routes too.").like("true"),
	no("signature-key", text, "routes", "An app tells that a request came through the gateway by the token: token: { type: evergate } sends a JWT that it can verify.").hidden(),

	part("upstream", list, "routes", "http, https, unix, file and static. The path of a URL is which requests go there; they go up with the path that they came with.").plural("upstreams").in("routes"),
	yes("upstream-timeout", duration, "routes.timeouts.response_header"),
	yes("pass-host-header", boolean, "routes.host: upstream").like("true"),
	no("flush-interval", duration, "routes", "Nothing is held back: what the app writes goes to the browser at once."),
	no("proxy-websockets", boolean, "routes", "WebSockets are carried, from pages of the gateway's own hosts; origins names others.").like("true"),
	yes("ssl-upstream-insecure-skip-verify", boolean, "routes.upstream.tls.insecure_skip_verify").like("false"),
	no("disable-keep-alives", boolean, "routes", "Connections to an app are kept for timeouts.idle.").like("false"),
	no("allow-query-semicolons", boolean, "routes", "A query goes up as it came. A ; in a path needs path_chars: [semicolon].").like("true"),
}

// sessionOptions are about cookies and where sessions are kept.
var sessionOptions = []option{
	no("cookie-secret", text, "keys", "It opens the cookies of oauth2-proxy alone. Evergate makes a key ring of its own, and everybody signs in once more.").hidden(),
	no("cookie-secret-file", text, "keys", "It opens the cookies of oauth2-proxy alone. Evergate makes a key ring of its own, and everybody signs in once more."),
	no("cookie-name", text, "session", "Evergate's default, __Host-Http-evergate, is one that browsers guard. Two names also let both gateways run side by side."),
	no("cookie-domain", list, "session", "A cookie for a whole domain is sent to every host of it. In Evergate each host has its own, and people sign in once for all of them: name the hosts with match: { host: NAME }, "+
		"see docs/many-hosts.md.").plural("cookie_domains"),
	no("cookie-path", text, "session", ownCookie).like("/"),
	yes("cookie-expire", duration, "session.max_lifetime, idle_timeout"),
	part("cookie-refresh", duration, "session.idle_timeout", "Evergate renews before the access token runs out, whenever that is (access_token.renew_before). Because of this line cookie_expire counts from the last use.").in("session"),
	no("cookie-secure", boolean, "session", ownCookie+" On plain http, which only loopback names have, it is not Secure.").like("true"),
	no("cookie-httponly", boolean, "session", ownCookie).like("true"),
	no("cookie-samesite", text, "session", ownCookie).like("lax"),
	no("cookie-csrf-per-request", boolean, "session", ownFlow).like("true"),
	no("cookie-csrf-per-request-limit", text, "session", ownFlow),
	no("cookie-csrf-expire", duration, "session", ownFlow),
	no("session-cookie-minimal", boolean, "session", "Tokens are kept in the store and not in the cookie.").like("true"),
	part("session-store-type", text, "session.store", "cookie becomes bolt, a file in data_dir, which can end sessions and notice a stolen cookie; docs/cookie-store.md tells of store: cookie.").in("session"),
	part("redis-connection-url", text, "session.redis.addresses, db, tls", "A password in it goes into a file.").hidden().in("session"),
	part("redis-password", text, "session.redis.password_file", "The password is read from a file.").hidden().in("session"),
	yes("redis-username", text, "session.redis.username"),
	part("redis-sentinel-password", text, "session.redis.sentinel_password_file", "The password is read from a file.").hidden().in("session"),
	yes("redis-sentinel-master-name", text, "session.redis.master"),
	part("redis-sentinel-connection-urls", list, "session.redis.addresses", "A password in them goes into a file.").hidden().in("session"),
	part("redis-cluster-connection-urls", list, "session.redis.addresses", "A password in them goes into a file.").hidden().in("session"),
	yes("redis-use-sentinel", boolean, "session.redis.master"),
	no("redis-use-cluster", boolean, "session", "A Cluster is noticed: addresses names some of its nodes."),
	yes("redis-ca-path", text, "session.redis.tls.ca_file"),
	no("redis-insecure-skip-tls-verify", boolean, "session", "The certificate of Redis is always verified. Name its authority in session.redis.tls.ca_file.").like("false"),
	no("redis-connection-idle-timeout", text, "session", "A few connections are kept, and made again when the server has closed them."),
	no("http-store-base-url", text, "session", "Sessions are kept in a file (bolt), in Redis or in the cookie."),
	no("http-store-api-key", text, "session", "Sessions are kept in a file (bolt), in Redis or in the cookie.").hidden(),
}

// serverOptions are about listening, proxies in front, logs, pages and health.
var serverOptions = []option{
	part("redirect-url", text, "public_url", "Scheme and host of it. The path at the provider becomes /.evergate/callback/NAME.").in("identity"),
	part("http-address", text, "listen", "A socket of a file or of the service manager is not named here: see docs/front-door.md."),
	part("https-address", text, "listen", "Where there is a certificate, as in oauth2-proxy."),
	yes("tls-cert-file", text, "tls.cert_file"),
	yes("tls-key-file", text, "tls.key_file"),
	no("tls-min-version", text, "tls", "TLS 1.2 and 1.3 are spoken, with Go's safe suites.").like("TLS1.2"),
	no("tls-cipher-suite", list, "tls", "TLS 1.2 and 1.3 are spoken, with Go's safe suites.").plural("tls_cipher_suites"),
	part("force-https", boolean, "tls.redirect_http", "Where Evergate has the certificate. Behind a front proxy that one redirects.").in("tls").like("false"),
	part("reverse-proxy", boolean, "trusted_proxies", "oauth2-proxy believes whoever sends X-Forwarded headers. Evergate believes the addresses listed here: name your front proxy.").like("false"),
	yes("trusted-proxy-ip", list, "trusted_proxies").plural("trusted_proxy_ips"),
	no("real-client-ip-header", text, "", "Have the front proxy send X-Forwarded-For, or Forwarded (forwarded_header). Other headers are not looked at: a proxy may hand them on from clients.").like("X-Forwarded-For"),
	no("proxy-prefix", text, "", "Evergate's own addresses are under /.evergate/ on every host: sign-in, callback, sign-out. Links to /oauth2/sign_out become /.evergate/logout."),
	no("ping-path", text, "", ownHealth),
	no("ping-user-agent", text, "", ownHealth),
	no("ready-path", text, "", ownHealth),
	no("gcp-healthchecks", boolean, "", ownHealth).like("false"),
	no("metrics-address", text, "", ownAdmin),
	no("metrics-secure-address", text, "", ownAdmin),
	no("metrics-tls-cert-file", text, "", ownAdmin),
	no("metrics-tls-key-file", text, "", ownAdmin),

	no("auth-logging", boolean, "", ownLog).like("true"),
	no("auth-logging-format", text, "", ownLog),
	no("errors-to-info-log", boolean, "", ownLog),
	no("exclude-logging-path", text, "", ownLog).plural("exclude_logging_paths"),
	no("logging-compress", boolean, "", ownLog),
	no("logging-filename", text, "", ownLog),
	no("logging-local-time", boolean, "", ownLog),
	no("logging-max-age", text, "", ownLog),
	no("logging-max-backups", text, "", ownLog),
	no("logging-max-size", text, "", ownLog),
	no("request-id-header", text, "", "Each request gets an id of its own, sent to the app as X-Request-Id.").like("X-Request-Id"),
	no("request-logging", boolean, "", ownLog).like("true"),
	no("request-logging-format", text, "", ownLog),
	no("silence-ping-logging", boolean, "", "Requests to the operator's listener are not logged.").like("true"),
	no("standard-logging", boolean, "", ownLog).like("true"),
	no("standard-logging-format", text, "", ownLog),

	no("banner", text, "", ownPages),
	no("footer", text, "", ownPages),
	no("custom-sign-in-logo", text, "", ownPages),
	no("custom-templates-dir", text, "", ownPages),
	no("show-debug-on-error", boolean, "", "A page tells people what they can do, and the log tells the operator why.").like("false"),

	no("config", text, "", "Another file holds more: give it to the same command, as a further FILE."),
	no("alpha-config", text, "", "Another file holds more: give it to the same command, as a further FILE."),
	no("convert-config-to-alpha", boolean, "", "It is no setting."),
	no("version", boolean, "", "It is no setting."),
}
