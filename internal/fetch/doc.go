// Package fetch sends requests without a body over HTTP/1.1 and reads their answers, on the
// goroutine of whoever asks.
//
// Most of what a gateway carries are such requests. http.Transport has two goroutines for each
// connection, since it has to read while it writes: with a body on its way up, an answer may
// come early. Where there is no body nobody has to, and the hand-overs between goroutines are
// a fifth of what a small request costs. Whatever is out of the ordinary is left to
// http.Transport: see Takes.
//
// How an answer is read is net/http's: http.ReadResponse. How requests are written is here,
// held against http.Request.Write by a fuzz target.
package fetch
