package oauth2proxy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/evergate/evergate/config"
)

// alphaKeys are at the root of the structured ("alpha") configuration.
var alphaKeys = []string{"upstreamConfig", "upstreams", "injectRequestHeaders", "injectResponseHeaders", "providers", "server", "metricsServer"}

// readYAML reads what is in a manifest for containers, or the structured configuration.
func (s *source) readYAML(trees []*config.Tree) error {
	s.named = slices.ContainsFunc(trees, runs)
	for _, t := range trees {
		if t.IsMap && t.Get("kind") == nil && slices.ContainsFunc(alphaKeys, func(key string) bool { return t.Get(key) != nil }) {
			s.form = "an alpha configuration"
			s.readAlpha(t)
			continue
		}
		if err := s.walk(t); err != nil {
			return err
		}
	}
	return s.onlyOne()
}

// onlyOne refuses a manifest with several gateways in it: what one of them lets pass is not
// for the other's apps.
func (s *source) onlyOne() error {
	first := map[string]*setting{}
	for _, now := range s.settings {
		if now.option == nil || now.kind == list {
			continue
		}
		key := now.flag + string(rune('0'+now.source))
		if before := first[key]; before != nil {
			return s.wrong(now.line, "%s is there already on line %d; where the file has several gateways, import each by itself", now.name, before.line)
		}
		first[key] = now
	}
	return nil
}

var anyVariable = regexp.MustCompile(`^OAUTH2_PROXY_[A-Z0-9_]+$`)

// runs reports whether a container of oauth2-proxy is anywhere in a manifest.
func runs(t *config.Tree) bool {
	return isProxy(t.Get("image")) || slices.ContainsFunc(t.Items, runs)
}

func isProxy(image *config.Tree) bool {
	return image != nil && (strings.Contains(image.Text, "oauth2-proxy") || strings.Contains(image.Text, "oauth2_proxy"))
}

// walk looks for arguments, variables and config files anywhere in a manifest.
func (s *source) walk(t *config.Tree) error {
	switch {
	case s.named && t.Get("image") != nil && !isProxy(t.Get("image")):
		return nil // a container beside it, whose flags may have the same names
	case t.IsList:
		if err := s.walkList(t); err != nil {
			return err
		}
	case t.IsMap:
		if name, value := t.Get("name"), t.Get("value"); name != nil && value != nil && anyVariable.MatchString(name.Text) {
			s.addVariable(name.Text, value.Text, value.Line)
		} else if from := t.Get("valueFrom"); name != nil && from != nil && anyVariable.MatchString(name.Text) {
			s.addVariable(name.Text, elsewhere, name.Line)
		}
		s.walkChart(t)
		for i, k := range t.Keys {
			v := t.Items[i]
			switch {
			case v.IsMap || v.IsList:
			case anyVariable.MatchString(k.Text):
				s.addVariable(k.Text, v.Text, k.Line)
			case k.Text == "command" || k.Text == "args":
				words, err := split(strings.ReplaceAll(v.Text, "\n", " "))
				if err != nil {
					return s.wrong(v.Line, "%s: %w", k.Text, err)
				}
				if err := s.addFlags(at(words, v.Line)); err != nil {
					return err
				}
			case v.Block && looksLikeConfig(v.Text):
				if err := s.readConfig([]byte(v.Text), v.Line); err != nil {
					return err
				}
			}
		}
	}
	for _, c := range t.Items {
		if c.IsMap || c.IsList {
			if err := s.walk(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// chartKeys are settings that the Helm chart has beside the config file.
var chartKeys = map[string]string{"clientID": "client-id", "clientSecret": "client-secret", "cookieSecret": "cookie-secret", "cookieName": "cookie-name"}

// walkChart reads values of the Helm chart: config and extraArgs.
func (s *source) walkChart(t *config.Tree) {
	if c := t.Get("config"); c != nil {
		for i, k := range c.Keys {
			if flag := chartKeys[k.Text]; flag != "" && c.Items[i].Text != "" {
				s.add(flag, c.Items[i].Text, k.Line, fromEnv)
			}
		}
	}
	if args := t.Get("extraArgs"); args != nil {
		for i, k := range args.Keys {
			v := args.Items[i]
			var items []item
			for _, one := range v.Items {
				items = append(items, item{one.Text, one.Line})
			}
			switch {
			case v.IsList:
				s.addList(k.Text, items, k.Line, fromFlags)
			case v.Text == "" || v.Text == "null" || v.Text == "~":
				s.add(k.Text, "true", k.Line, fromFlags)
			default:
				s.add(k.Text, v.Text, k.Line, fromFlags)
			}
		}
	}
}

// elsewhere stands for a value that a manifest takes from a Secret or ConfigMap.
const elsewhere = "(kept elsewhere)"

func (s *source) walkList(t *config.Tree) error {
	var words []word
	for _, c := range t.Items {
		if c.IsMap || c.IsList {
			continue
		}
		if name, value, ok := strings.Cut(c.Text, "="); ok && anyVariable.MatchString(name) {
			s.addVariable(name, value, c.Line)
			continue
		}
		words = append(words, word{c.Text, c.Line})
	}
	if !slices.ContainsFunc(words, func(w word) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(w.text, "-"), "=")
		return strings.HasPrefix(w.text, "-") && lookup(name) != nil
	}) {
		return nil // the flags of something else
	}
	return s.addFlags(words)
}

func at(words []string, line int) []word {
	out := make([]word, len(words))
	for i, w := range words {
		out[i] = word{w, line}
	}
	return out
}

// looksLikeConfig reports whether a block of text begins like oauth2-proxy.cfg.
func looksLikeConfig(s string) bool {
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			name, _, ok := strings.Cut(l, "=")
			return ok && lookup(strings.TrimSpace(name)) != nil
		}
	}
	return false
}
