//go:build !unix

package bolt

// answerFileLimit is for systems that signal it.
func answerFileLimit() {}
