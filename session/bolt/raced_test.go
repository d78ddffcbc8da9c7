//go:build race

package bolt_test

// raced says that the race detector is at work.
const raced = true
