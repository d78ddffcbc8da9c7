//go:build !race

package config

// raced says that the race detector is at work.
const raced = false
