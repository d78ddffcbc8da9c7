// Package idp is a small OpenID Provider: authorization code with PKCE, refresh
// tokens that are good once and whose reuse ends the grant, every kind of client
// authentication, and all ways of signing out. The demo offers it as a second way
// in, and tests turn its knobs.
//
// It is real as far as the protocol goes, and no more than that: users and grants
// live in memory. It shares no code with what it is there to try: signatures are
// made by hand over the standard library, so that no mistake is made twice.
package idp
