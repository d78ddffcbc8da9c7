package proxy

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// maxCopied is how long a body may be of which a copy is kept, in bytes. Forms are shorter,
// and what is longer takes so long that a nonce of now is seldom asked for in between.
const maxCopied = 64 << 10

// copied is a body of which what was read is kept, so that it can be sent once more.
type copied struct {
	io.ReadCloser
	length int64 // below zero nobody said

	mu   sync.Mutex // guards what follows: a transport may still read after the answer is there
	kept []byte
	over bool // its end was seen
	long bool // too long to be kept
}

// copyBody has the body of req kept while it is sent. It returns nil where there is none.
func copyBody(req *http.Request) *copied {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	b := &copied{ReadCloser: req.Body, length: req.ContentLength, long: req.ContentLength > maxCopied}
	req.Body = b
	return b
}

// Read implements io.Reader.
func (b *copied) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.long = b.long || len(b.kept)+n > maxCopied; b.long {
		b.kept = nil
	} else {
		b.kept = append(b.kept, p[:n]...)
	}
	b.over = b.over || err == io.EOF
	return n, err
}

// again is the body to be sent once more. It is gone where not all of it was read, or it was
// too long.
func (b *copied) again() (body io.ReadCloser, gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.long || !b.over && int64(len(b.kept)) != b.length {
		return nil, true
	}
	return io.NopCloser(bytes.NewReader(b.kept)), false
}
