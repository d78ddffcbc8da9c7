package oauth2proxy

// Option is a row of the table, for tests.
type Option struct {
	Key, Kind, Same string
	Secret          bool
}

// Rows are all of them.
func Rows() (all []Option) {
	for _, o := range options {
		all = append(all, Option{o.key, [...]string{"text", "list", "boolean", "duration"}[o.kind], o.same, o.secret})
	}
	return all
}

// Known reports whether an option of this name has a row.
func Known(name string) bool { return lookup(name) != nil }

// PathsOf is pathsOf.
var PathsOf = pathsOf
