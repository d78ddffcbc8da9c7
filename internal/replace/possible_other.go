//go:build !unix

package replace

// Possible reports whether File is likely to work for path. What the mode of a folder says
// is not known here: it is tried.
func Possible(string) bool { return true }
