package web

import (
	"fmt"
	"net/http"
	"strconv"
)

// checkLength holds the Content-Length of a request over HTTP/2 to what net/http made of it. There
// the frames say where a body ends, and net/http takes the first of several lengths, or none for
// what is no number, and leaves all of them in the header; in HTTP/1.1 it refuses those itself. A
// request whose lengths differ is malformed (RFC 9110 section 8.6, RFC 9113 section 8.1.1), and
// so is one with a length and no body. Several that are equal are one.
func checkLength(r *http.Request) error {
	lengths := r.Header["Content-Length"]
	if r.ProtoMajor < 2 || len(lengths) == 0 {
		return nil
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil || int64(n) != r.ContentLength {
		return badLength(fmt.Errorf("the Content-Length is %.40q, and the body has %d bytes", lengths[0], r.ContentLength))
	}
	for _, other := range lengths[1:] {
		if other != lengths[0] {
			return badLength(fmt.Errorf("the Content-Length is %.40q and %.40q", lengths[0], other))
		}
	}
	if len(lengths) > 1 {
		r.Header["Content-Length"] = lengths[:1]
	}
	return nil
}

func badLength(err error) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "bad_length", Err: err,
		Detail: "The request says in more than one way how long its body is. Send one Content-Length, in digits, that is the length of the body."}
}
