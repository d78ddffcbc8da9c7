// Package idp is a small OpenID Provider: discovery, sign-in with a password,
// codes with PKCE, refresh tokens that are good once, sign-out in every
// direction, and a switch for each way a provider can go wrong.
//
// It is what `evergate demo` signs people in at, and what the tests of auth/oidc
// are run against. It shares no code with them, and no library: two parties that
// read a standard with the same eyes agree on its misreadings. Everything is kept
// in memory, and nothing limits the guessing of passwords, so it is no provider
// for anything that matters.
//
//	GET  /authorize ──(no session)──▶ /login ──(password)──┐
//	  │ (session, and no prompt=login)                     ▼
//	  └──────────────────────────────────────▶ 303 redirect_uri?code&state&iss
//	POST /token   code ──▶ grant ──▶ access token, ID token, refresh token
//	              refresh token, once ──▶ the next ones of the same grant
//	              a code or refresh token twice ──▶ the grant is dead
//
// Where the standards leave a choice it takes the strict one: PKCE with S256,
// state and nonce have to be there, redirect URIs match to the letter, no
// parameter may be repeated, and a client authenticates in exactly the way that
// it is registered for.
//
// Knobs turn single faults on while it runs; Stats tells what clients sent.
package idp
