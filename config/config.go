package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"
)

// Config is the whole file as plain data, defaults filled in. Field comments
// give the meaning; config.example.yaml explains the keys to operators.
type Config struct {
	// Listen is the address of the gateway.
	Listen string `yaml:"listen"`
	// PublicURL is how browsers reach it: https, or http on a loopback name.
	PublicURL *url.URL `yaml:"public_url"`
	// DataDir holds sessions and keys.
	DataDir string `yaml:"data_dir"`
	// TLS makes the gateway serve https itself.
	TLS TLS `yaml:"tls"`
	// TrustedProxies are whose word about the client is believed.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`
	// ForwardedHeader is in which header they give it: X-Forwarded-For or Forwarded.
	ForwardedHeader string `yaml:"forwarded_header"`
	// ProxyProtocol says that their connections begin with a PROXY header.
	ProxyProtocol bool  `yaml:"proxy_protocol"`
	Admin         Admin `yaml:"admin"`
	Log           Log   `yaml:"log"`
	// Audit is where events go that may be held against somebody.
	Audit  Audit  `yaml:"audit"`
	Keys   Keys   `yaml:"keys"`
	Limits Limits `yaml:"limits"`
	// ForwardAuth answers a proxy in front that asks about each request; nil does not.
	ForwardAuth *ForwardAuth `yaml:"forward_auth"`
	// Tracing hands spans of requests to an OpenTelemetry collector; nil does not.
	Tracing *Tracing `yaml:"tracing"`
	// Pages are what people see of the gateway itself.
	Pages Pages `yaml:"pages"`
	// Identity are the ways to sign in.
	Identity    []Identity  `yaml:"identity"`
	AccessToken AccessToken `yaml:"access_token"`
	Session     Session     `yaml:"session"`
	// Rules are sets of rules by name, for routes to use.
	Rules map[string]RuleSet `yaml:"rules"`
	// Default are rules for all routes.
	Default DefaultRules `yaml:"default"`
	// Routes say which requests go where, and who may send them.
	Routes []Route `yaml:"routes"`
	// Tests are requests and what has to become of them: where one fails the config is refused.
	Tests []Test `yaml:"tests"`

	doc *document // where everything stands; nil for a Config made in code
}

// Admin is the operator's listener.
type Admin struct {
	// Listen is its address, never a public one.
	Listen string `yaml:"listen"`
	// Decisions is how many decisions of each session are kept to be asked for; zero is none.
	Decisions int `yaml:"decisions"`
}

// Pages are how the pages look that people see of the gateway.
type Pages struct {
	// Name is who runs the gateway: it is on every page and in the title of the window. ""
	// shows nobody's.
	Name string `yaml:"name"`
	// LogoFile is an SVG or a PNG of 256 KiB at most, in place of the name.
	LogoFile string `yaml:"logo_file"`
	// LogoDarkFile is the one for people who prefer a dark page.
	LogoDarkFile string `yaml:"logo_dark_file"`
	// Colors are those of the pages.
	Colors PageColors `yaml:"colors"`
	// Links are at the foot of every page.
	Links []PageLink `yaml:"links"`
	// Help is where to ask for help or for access: https, mailto or a path on the host.
	// {request} in it becomes the request id.
	Help string `yaml:"help"`
	// Templates is a folder with pages of your own, such as error.html and login.html; "" is
	// the gateway's.
	Templates string `yaml:"templates"`
	// Messages is a folder with texts of your own: LANG.json adds a language, or changes what
	// the gateway says in one that it has.
	Messages string `yaml:"messages"`
}

// PageColors are written as #rrggbb. Those in which the pages could not be read are refused.
type PageColors struct {
	// Accent is that of links and buttons; "" is the gateway's green.
	Accent string `yaml:"accent"`
	// AccentDark is the one for people who prefer a dark page.
	AccentDark string `yaml:"accent_dark"`
	// Ground is what the page lies on.
	Ground string `yaml:"ground"`
	// GroundDark is the one for people who prefer a dark page.
	GroundDark string `yaml:"ground_dark"`
}

// PageLink is a link at the foot of every page.
type PageLink struct {
	// Text is what it says, or what it says in each language.
	Text PageText `yaml:"text"`
	// URL is where it leads: https, mailto or a path on the host.
	URL string `yaml:"url"`
}

// PageText is a text by language, such as en and de. A single text is for all of them.
type PageText map[string]string

// Log is what is logged, and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level slog.Level `yaml:"level"`
	// Format is text, json, or auto: text on a terminal, json elsewhere.
	Format string `yaml:"format"`
	// Redact are personal data to keep out of it: client, subject, path.
	Redact []string `yaml:"redact"`
}

// Keys is the key ring that seals cookies: the first seals, all open.
type Keys struct {
	// Files hold a key each. None: one is made in data_dir at the first start.
	Files []string `yaml:"files"`
}

// Identity is one way to sign in; exactly one of its fields is set.
type Identity struct {
	// Local are users kept here.
	Local *Local `yaml:"local"`
	// OIDC is an OpenID Connect provider.
	OIDC *OIDC `yaml:"oidc"`
}

// Local are users kept here.
type Local struct {
	// UsersFile lists them; it is read again when it changes.
	UsersFile string `yaml:"users_file"`
	// SecondFactor is optional (whoever sets one up is asked for it), required (everybody sets
	// one up at their next sign-in) or off (nobody can).
	SecondFactor string `yaml:"second_factor"`
}

// AccessToken is what upstreams receive.
type AccessToken struct {
	// TTL is its life.
	TTL time.Duration `yaml:"ttl"`
	// RenewBefore is how much of it is left when renewal is due.
	RenewBefore RenewBefore `yaml:"renew_before"`
	// Algorithm is ES256, RS256 or EdDSA.
	Algorithm string `yaml:"algorithm"`
	// RotateKeys is how long a key signs before the next one takes over; zero is for ever.
	RotateKeys time.Duration `yaml:"rotate_keys"`
	// Audience is the aud claim.
	Audience string `yaml:"audience"`
}

// Session is how long sign-ins last and where they live.
type Session struct {
	// Store is bolt (a file in data_dir, for one gateway), redis (for several) or cookie
	// (nowhere but in the browser, for one gateway and oidc providers alone).
	Store string `yaml:"store"`
	// IdleTimeout ends a session that nobody uses for so long.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// MaxLifetime ends every session.
	MaxLifetime time.Duration `yaml:"max_lifetime"`
	// RotationGrace is how long after a rotation the handle before it is still accepted
	// at least.
	RotationGrace time.Duration `yaml:"rotation_grace"`
	// MaxStale is how long past the token's end a session is kept whose renewal fails for
	// a reason that is neither a clear no nor an outage.
	MaxStale time.Duration `yaml:"max_stale"`
	// BoundFor is how long a browser's proof is good that it holds the key which its session
	// is bound to: a copy of its cookies is worth something for no longer.
	BoundFor time.Duration `yaml:"bound_for"`
	// Risk is what is done about signs that a sign-in is in other hands.
	Risk   Risk   `yaml:"risk"`
	Cookie Cookie `yaml:"cookie"`
	Redis  Redis  `yaml:"redis"`
}

// Cookie is the session cookie.
type Cookie struct {
	// Name is its name; "" is __Host-Http-evergate, or evergate-PORT on plain http.
	Name string `yaml:"name"`
}

// Route sends the requests that match it to an upstream.
type Route struct {
	// Name shows in logs; "" is its host and path.
	Name string `yaml:"name"`
	// Match says which requests it is for. The most specific match wins, whatever the
	// order: host, then path, then methods.
	Match Match `yaml:"match"`
	// Allow lists alternatives; nil is anyone signed in.
	Allow []Rule `yaml:"allow"`
	// Deny lists refusals: one is enough, whatever is allowed.
	Deny []Rule `yaml:"deny"`
	// Rules are sets whose entries count as if they stood here.
	Rules []string `yaml:"rules"`
	// Public needs no sign-in; identity is passed on when there is one.
	Public bool `yaml:"public"`
	// Providers are the ways of signing in that count; nil is all of them.
	Providers []string `yaml:"providers"`
	// Upstream is where the requests go: http, https, or unix:///path/to/socket.
	Upstream *Upstream `yaml:"upstream"`
	// Redirect, Respond and Static are what a route says by itself, in place of an
	// upstream, and so is admin: exactly one of the five is set.
	Redirect *Redirect `yaml:"redirect"`
	Respond  *Respond  `yaml:"respond"`
	Static   *Static   `yaml:"static"`
	// Admin shows the dashboard of the admin listener to those whom the route's own allow,
	// deny or rules let pass.
	Admin bool `yaml:"admin"`
	// StripPrefix is taken off paths before they go up, AddPrefix put in front.
	StripPrefix string `yaml:"strip_prefix"`
	AddPrefix   string `yaml:"add_prefix"`
	// Rewrite makes other paths of those that match.
	Rewrite *Rewrite `yaml:"rewrite"`
	// Host is the Host header that goes up: "" or preserve is the browser's, upstream
	// is the target's, anything else is a name.
	Host string `yaml:"host"`
	// RequestHeaders are set on what goes up, ResponseHeaders on what comes back.
	RequestHeaders  Headers `yaml:"request_headers"`
	ResponseHeaders Headers `yaml:"response_headers"`
	// ReplaceErrors are statuses of the upstream in whose place people get the gateway's page.
	ReplaceErrors []int `yaml:"replace_errors"`
	// Compress are zstd and gzip, for answers that are not compressed, the one liked best first.
	Compress []string `yaml:"compress"`
	// Token is what goes up behind Bearer.
	Token Token `yaml:"token"`
	// UpstreamAuth signs people in at an app that has users of its own; nil does not.
	UpstreamAuth *UpstreamAuth `yaml:"upstream_auth"`
	// Bearer takes a client's own token in place of a session.
	Bearer bool `yaml:"bearer"`
	// CORSPreflight "pass" sends preflights up without sign-in and identity.
	CORSPreflight string `yaml:"cors_preflight"`
	// DeviceBound is off, prefer or require: what becomes of sessions that are bound to a key
	// of their browser, or not.
	DeviceBound string `yaml:"device_bound"`
	// PassHeaders are headers of the client that would be removed otherwise.
	PassHeaders []string `yaml:"pass_headers"`
	// CSRF refuses what pages of other sites send; nil does not.
	CSRF *CSRF `yaml:"csrf"`
	// SecureHeaders guard what comes back; nil adds none.
	SecureHeaders *SecureHeaders `yaml:"secure_headers"`
	// RateLimits bound how many requests somebody may have; nil does not.
	RateLimits RateLimits `yaml:"rate_limit"`
	// LogoutPaths are where the app signs people out, and the gateway with it.
	LogoutPaths []string `yaml:"logout_paths"`
	// PathChars are encoded_slash, semicolon and double_slash.
	PathChars []string `yaml:"path_chars"`
	// Origins may open WebSockets besides the gateway's own.
	Origins  []string `yaml:"origins"`
	Timeouts Timeouts `yaml:"timeouts"`
}

// Match is which requests a route is for. The zero value is all of them.
type Match struct {
	// Host is a name, or *.example.com for every name below it; "" is every host.
	Host string `yaml:"host"`
	// Path that ends in / matches everything under it, another itself alone. A segment *
	// is any one segment.
	Path string `yaml:"path"`
	// Methods are those that are served, all of them when left out. GET serves HEAD too.
	Methods []string `yaml:"methods"`
}

// Rewrite is a regular expression for whole paths, and what stands in place of one.
type Rewrite struct {
	// Path is the expression (RE2), for paths in their canonical form.
	Path string `yaml:"path"`
	// To is what a path that matches becomes; $1 is a group.
	To string `yaml:"to"`
}

// Headers are what is done to a header: by name, values with placeholders.
type Headers struct {
	// Set replaces what is there.
	Set map[string]string `yaml:"set"`
	// Add puts a line beside what is there.
	Add map[string]string `yaml:"add"`
	// Remove takes headers away.
	Remove []string `yaml:"remove"`
}

// Timeouts bound the wait for an upstream; there is none for bodies and streams.
type Timeouts struct {
	// Connect is for a connection to a target.
	Connect time.Duration `yaml:"connect"`
	// ResponseHeader is for the header of an answer; zero does not bound.
	ResponseHeader time.Duration `yaml:"response_header"`
	// Idle is how long an unused connection is kept.
	Idle time.Duration `yaml:"idle"`
}

// Default returns a Config with every default set, and no provider or route.
func Default() Config {
	return Config{
		Listen:          "127.0.0.1:8080",
		DataDir:         "evergate-data",
		ForwardedHeader: "X-Forwarded-For",
		Admin:           Admin{Listen: "127.0.0.1:9180", Decisions: 20},
		Log:             Log{Level: slog.LevelInfo, Format: "auto"},
		Limits:          defaultLimits,
		AccessToken:     AccessToken{TTL: 15 * time.Minute, RenewBefore: RenewBefore{Percent: 20}, Algorithm: "ES256", RotateKeys: 720 * time.Hour, Audience: "evergate"},
		Session: Session{Store: "bolt", IdleTimeout: 12 * time.Hour, MaxLifetime: 720 * time.Hour,
			RotationGrace: time.Minute, MaxStale: 10 * time.Minute, BoundFor: 10 * time.Minute,
			Risk:  Risk{NewDevice: "log", NewNetwork: "log", ChangedBrowser: "log", ParallelUse: "log"},
			Redis: Redis{Addresses: []string{"127.0.0.1:6379"}, KeyPrefix: "evergate:", Timeout: 2 * time.Second}},
	}
}

func (t *Timeouts) setDefaults() { *t = DefaultTimeouts }

// DefaultTimeouts are those of a route that sets none.
var DefaultTimeouts = Timeouts{Connect: 5 * time.Second, ResponseHeader: 60 * time.Second, Idle: 90 * time.Second}
