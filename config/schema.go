package config

import (
	"bytes"
	_ "embed"
)

// The schema is made of the structs here, their comments, and what the checks want of
// values; a test says when it is stale.
//
//go:generate go test -count=1 -run ^TestSchemaIsFresh$ . -update

//go:embed evergate.schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of the file, for editors and checkers. It
// allows whatever Load does; what depends on more than one value it cannot refuse.
func Schema() []byte { return bytes.Clone(schema) }
