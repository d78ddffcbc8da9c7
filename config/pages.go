package config

import (
	"fmt"
	"strings"
	"unicode"
)

// oneText is a PageText that says the same in every language.
type oneText struct{ t *PageText }

func (o *oneText) fromText(text string) error {
	*o.t = PageText{"": text}
	return nil
}

// checkPages looks at what can be told without the files: what becomes of colours, links
// and templates is for the pages to say.
func (c *Config) checkPages() {
	p := &c.Pages
	for key, value := range map[string]string{
		"name": p.Name, "logo_file": p.LogoFile, "logo_dark_file": p.LogoDarkFile, "help": p.Help, "templates": p.Templates, "messages": p.Messages,
		"colors.accent": p.Colors.Accent, "colors.accent_dark": p.Colors.AccentDark, "colors.ground": p.Colors.Ground, "colors.ground_dark": p.Colors.GroundDark,
	} {
		if c.given("pages."+key) && value == "" {
			c.wrong("leave the line out", "pages."+key, "it is empty")
		}
	}
	c.checkPageText("pages.name", p.Name, maxName)
	if p.LogoDarkFile != "" && p.LogoFile == "" {
		c.wrong("add logo_file, for people who do not", "pages.logo_dark_file", "it is for people who prefer a dark page, and there is no logo_file")
	}
	if len(p.Links) > maxPageLinks {
		c.wrong("", "pages.links", "want at most %d of them, got %d", maxPageLinks, len(p.Links))
	}
	for i, l := range p.Links {
		at := fmt.Sprintf("pages.links[%d]", i)
		if len(l.Text) == 0 || l.URL == "" {
			c.wrong("write text and url", at, "a link needs a text and a URL")
		}
		for lang, text := range l.Text {
			key := at + ".text"
			if lang != "" {
				key += "." + lang
			}
			if strings.TrimSpace(text) == "" {
				c.wrong("", key, "it is empty")
			}
			c.checkPageText(key, text, maxName)
		}
	}
}

const (
	maxName      = 100
	maxPageLinks = 10
)

func (c *Config) checkPageText(key, text string, most int) {
	if n := len([]rune(text)); n > most {
		c.wrong("", key, "want %d characters at most, got %d: it is on every page", most, n)
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		c.wrong("", key, "it holds a control character")
	}
}
