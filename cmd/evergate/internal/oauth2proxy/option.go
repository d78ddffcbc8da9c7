package oauth2proxy

import "strings"

// fate is what becomes of an option.
type fate int

const (
	none   fate = iota // nothing in Evergate is like it
	partly             // a key does most of it, and the note says what not
	mapped             // a key does the same
)

// kind is how an option's value is written.
type kind int

const (
	text kind = iota
	list
	boolean
	duration
)

// option is one row of the table.
type option struct {
	flag string // as on the command line, without the dashes
	key  string // as in the config file
	kind kind
	// secret values are never repeated.
	secret bool
	fate   fate
	// becomes names Evergate's key, and at the section where a note about the option
	// belongs: "" is the top of the file.
	becomes, at string
	// same is the value with which Evergate does the same by itself.
	same string
	note string
}

// A row begins with what becomes of the option.
func yes(flag string, k kind, becomes string) option {
	return option{flag: flag, kind: k, fate: mapped, becomes: becomes}
}

func part(flag string, k kind, becomes, note string) option {
	return option{flag: flag, kind: k, fate: partly, becomes: becomes, note: note}
}

func no(flag string, k kind, at, note string) option {
	return option{flag: flag, kind: k, at: at, note: note}
}

// plural names the key of a config file where it is not the flag's.
func (o option) plural(key string) option { o.key = key; return o }

func (o option) hidden() option           { o.secret = true; return o }
func (o option) in(section string) option { o.at = section; return o }
func (o option) like(value string) option { o.same = value; return o }

var (
	options []*option
	byName  = map[string]*option{}
)

func init() {
	for _, rows := range [][]option{providerOptions, ruleOptions, headerOptions, sessionOptions, serverOptions} {
		for i := range rows {
			o := &rows[i]
			if o.key == "" {
				o.key = strings.ReplaceAll(o.flag, "-", "_")
			}
			options = append(options, o)
			byName[o.key] = o
			byName[strings.ReplaceAll(o.flag, "-", "_")] = o
		}
	}
	// A list that the file has under another name than the flag's plural.
	byName["google_group"] = byName["google_groups"]
	byName["gitlab_projects"] = byName["gitlab_project"]
}

// lookup finds an option by flag, config key or environment variable without its
// prefix.
func lookup(name string) *option {
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if o := byName[name]; o != nil {
		return o
	}
	return byName[strings.TrimSuffix(name, "s")]
}
