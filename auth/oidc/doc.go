// Package oidc signs people in at an OpenID Connect provider and renews what it
// gave, as a confidential client: authorization code with PKCE (RFC 9700),
// discovery, refresh tokens that are good once, and every way of signing out.
//
// A provider's bad day is the case it is made for. What a provider answers is
// sorted by status and error code into three kinds, each a type: a clear no
// (*auth.Refused), an outage (*auth.Unavailable), and the rest (*Error). What it
// gave is never thrown away for a fault in what came with it: a refresh token
// that is good once is worth a sign-in.
//
//	Begin ──▶ metadata (fetched when first needed, the last good ones kept)
//	  │         └─▶ pushed request, where the provider has that (RFC 9126)
//	  ▼
//	browser at the provider
//	  ▼
//	Complete ──▶ error? iss? code? ──▶ token endpoint ──▶ ID token ──▶ userinfo ──▶ Login
//	                                                        └─ keys (refetched for
//	Refresh ──▶ breaker ──▶ token endpoint ──▶ refresh token kept    an unknown kid)
//	                                            └─▶ ID token, userinfo: claims of now
//
// HTTP is spoken by hand: no redirect is followed with a secret in hand, every
// answer is read through a size limit, no request is ever repeated by itself (a
// repeated refresh looks like theft) but one that was not looked at for want of a
// nonce (dpop.go), and client authentication is exactly the one configured. An answer counts by what is in it: pages are refused, and JSON
// under another Content-Type is read, for it may hold the only refresh token that
// is still good. Signatures are golang-jwt's; jwkset reads the keys. Neither it
// nor golang-jwt ever fetches anything.
package oidc
