// Package token vouches for a user towards upstreams: it signs access tokens
// (JWTs in the profile of RFC 9068) and publishes the keys to verify them
// with, so that any upstream needs a stock JWT library and the issuer's URL,
// and nothing of Evergate's.
package token
