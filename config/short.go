package config

import "gopkg.in/yaml.v3"

// A type that is not read as its keys alone says so here: the decoder and the schema
// (see Schema) go by these two, so what one takes the other allows.

// abbreviated is a type that a value of another kind can stand for, as a URL does for
// an upstream.
type abbreviated interface {
	// short points to the part that a value of that kind is read into, made if need be.
	// Nil is for a value that is the whole.
	short(kind yaml.Kind) any
}

// preset is a type with defaults of its own.
type preset interface{ setDefaults() }

func (u *Upstream) short(kind yaml.Kind) any { // one target
	if kind != yaml.ScalarNode {
		return nil
	}
	u.Targets = make([]Target, 1)
	return &u.Targets[0]
}

func (t *Target) short(kind yaml.Kind) any { // a weight of 1
	if kind != yaml.ScalarNode {
		return nil
	}
	return &t.URL
}

func (r *Redirect) short(kind yaml.Kind) any { // where to
	if kind != yaml.ScalarNode {
		return nil
	}
	return &r.To
}

func (p *Paths) short(kind yaml.Kind) any { // a single one
	if kind != yaml.ScalarNode {
		return nil
	}
	*p = make(Paths, 1)
	return &(*p)[0]
}

func (c *Claim) short(kind yaml.Kind) any { // its values
	switch kind {
	case yaml.SequenceNode:
		return &c.AnyOf
	case yaml.ScalarNode:
		c.AnyOf = make([]string, 1)
		return &c.AnyOf[0]
	}
	return nil
}

func (r *TestRequest) short(kind yaml.Kind) any { // a method and a URL
	if kind != yaml.ScalarNode {
		return nil
	}
	return &requestLine{r}
}

func (e *Expectation) short(kind yaml.Kind) any { // the decision
	if kind != yaml.ScalarNode {
		return nil
	}
	return &e.Decision
}

func (c *CSRF) short(kind yaml.Kind) any { // on or off
	if kind != yaml.ScalarNode {
		return nil
	}
	return &csrfSwitch{c}
}

func (s *SecureHeaders) short(kind yaml.Kind) any { // the level
	if kind != yaml.ScalarNode {
		return nil
	}
	return &s.Level
}

func (t *PageText) short(kind yaml.Kind) any { // for all languages
	if kind != yaml.ScalarNode {
		return nil
	}
	return &oneText{t}
}

func (l *RateLimits) short(kind yaml.Kind) any { // a single one
	if kind != yaml.MappingNode {
		return nil
	}
	*l = make(RateLimits, 1)
	return &(*l)[0]
}
