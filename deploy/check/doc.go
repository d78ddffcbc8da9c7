// Package check holds deploy/ to its word: every file is read by the program, or the
// library of the program, that it is for, and what they would start is started here, from the
// same files and without a container engine. A module of its own, for the libraries are large.
package check
