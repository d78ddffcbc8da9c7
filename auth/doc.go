// Package auth says who is asking and whether they may pass.
//
// It holds the words that the whole house shares: an [Identity] is who
// somebody is, a [Login] is one successful sign-in and the value that flows
// through the gateway, a [Policy] is who may pass. It also holds the pages
// where people prove who they are ([Handler]).
//
//	           GET /app                       no session
//	browser ───────────────▶ gate ─▶ Authenticator ─▶ ErrAnonymous
//	   │                                                   │
//	   │   302 /.evergate/login?rd=/app  (script: 401)     │
//	   │◀──────────────────────────────────────────────────┘
//	   │   POST /.evergate/login   user, password, rd
//	   ├───────────────▶ Method ─▶ Login ─▶ Sessions.Begin ─▶ Set-Cookie
//	   │   303 /.evergate/landed?rd=/app
//	   │◀───────────────
//	   │   GET /.evergate/landed       did the cookie come back?
//	   ├───────────────▶ yes: 303 /app      no: a page that names the cause
//
// A form that was being posted when nobody was signed in is kept ([Forms]) and
// offered again after landing, on /.evergate/resend; [Handler.Restore] puts it
// in the place of the request that page sends.
//
// auth knows no store, no cookie format, no key and no upstream: what it needs
// of its sisters it declares as small interfaces ([Sessions], [Sealer],
// [Minter]), and cmd/evergate wires them.
package auth
