// Package local signs in users that are kept here: names, argon2id password
// hashes and groups, read from a file and re-read when it changes.
package local
