//go:build !race

package config_test

// raced says that the race detector is at work.
const raced = false
