//go:build !unix

package bolt

import "os"

// answerFileLimit is for systems that signal it.
func answerFileLimit() {}

// mapped reads the first size bytes of f.
func mapped(f *os.File, size int64) (b []byte, done func(), err error) {
	b = make([]byte, size)
	_, err = f.ReadAt(b, 0)
	return b, func() {}, err
}
