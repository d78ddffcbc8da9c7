// Package config turns the YAML file into plain data, and says everything that
// is wrong with it at once: with file, line and column, drawn, and with what
// was probably meant. It builds nothing and opens nothing but the file.
//
// The YAML library serves as the parser to a tree of nodes alone. What it would
// do beyond (merge keys, aliases, retyping, silently ignored documents) is
// where its traps are, so the walk from nodes to data is our own.
package config
