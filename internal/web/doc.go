// Package web is the HTTP plumbing that every part shares: handlers that
// return errors, the one place that answers them, request ids, the access
// line, the client's address, and the frame of the pages.
package web
