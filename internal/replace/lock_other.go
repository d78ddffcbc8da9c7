//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package replace

// lock keeps out nobody: there is nothing like it here.
func lock(string) (unlock func()) { return func() {} }
