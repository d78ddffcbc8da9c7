package web

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Colors are an operator's own, as #rrggbb; "" is the gateway's.
type Colors struct {
	// Accent is that of links and buttons, and Ground what the page lies on. Those that
	// end in Dark are for whoever prefers a dark page.
	Accent, AccentDark, Ground, GroundDark string
}

// scheme is a set of colours that belong together: those of style.css, which an operator
// cannot change, and what they may.
type scheme struct {
	name                                     string
	card, text, quiet                        string
	accent, ground                           string
	accentKey, groundKey, towards, otherwise string
}

// minText is the least contrast of text (WCAG 2.2, success criterion 1.4.3).
const minText = 4.5

var color = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// sheet is a stylesheet that sets c, or nil where there is nothing to set. The error is a
// *LookError: colours in which the pages could not be read are refused.
func (c Colors) sheet() (*asset, error) {
	if c == (Colors{}) {
		return nil, nil
	}
	var b strings.Builder
	for _, s := range []scheme{
		{"light", "#ffffff", "#1d2320", "#56605a", c.Accent, c.Ground, "colors.accent", "colors.ground", "darker", "lighter"},
		{"dark", "#1d2220", "#e8ece9", "#a9b4ad", c.AccentDark, c.GroundDark, "colors.accent_dark", "colors.ground_dark", "lighter", "darker"},
	} {
		if err := s.check(); err != nil {
			return nil, err
		}
		rules := s.rules()
		switch {
		case rules == "":
		case s.name == "dark":
			b.WriteString("@media (prefers-color-scheme: dark) {\n" + rules + "}\n")
		default:
			// Only where it is light: with an accent for that alone the dark page keeps its own.
			b.WriteString("@media not all and (prefers-color-scheme: dark) {\n" + rules + "}\n")
		}
	}
	return newAsset("text/css; charset=utf-8", []byte(b.String())), nil
}

func (s *scheme) check() error {
	for key, value := range map[string]string{s.accentKey: s.accent, s.groundKey: s.ground} {
		if value != "" && !color.MatchString(value) {
			return &LookError{key, fmt.Errorf("%q is no colour as the pages take it: want # and six hexadecimal digits, such as #1f6a4d", value)}
		}
	}
	low := func(key, front, frontIs, back, backIs, mend string) error {
		if got := contrast(front, back); got < minText {
			// Cut, not rounded: 4.46 is not 4.5.
			return &LookError{key, fmt.Errorf("%s (%s) on %s (%s) has a contrast of %.1f to 1, and text needs %.1f to 1 (WCAG 2.2, 1.4.3): take a %s colour",
				frontIs, front, backIs, back, math.Floor(got*10)/10, minText, mend)}
		}
		return nil
	}
	ground := s.ground
	if ground != "" {
		if err := low(s.groundKey, s.text, "the text of the page", ground, "the ground", s.otherwise); err != nil {
			return err
		}
		if err := low(s.groundKey, s.quiet, "the text at the foot of the page", ground, "the ground", s.otherwise); err != nil {
			return err
		}
	} else {
		ground = map[string]string{"light": "#f4f5f2", "dark": "#141816"}[s.name]
	}
	accent := s.accent
	if accent != "" {
		if err := low(s.accentKey, accent, "a link", s.card, "the "+s.name+" card", s.towards); err != nil {
			return err
		}
		return low(s.accentKey, accent, "a link", ground, "the ground", s.towards)
	}
	accent = map[string]string{"light": "#1f6a4d", "dark": "#7fd0ab"}[s.name]
	return low(s.groundKey, accent, "a link", ground, "the ground", s.otherwise)
}

func (s *scheme) rules() string {
	var b strings.Builder
	if s.accent != "" {
		// Black or white: one of the two has 4.5 to 1 on every colour.
		on := "#ffffff"
		if contrast("#000000", s.accent) > contrast(on, s.accent) {
			on = "#000000"
		}
		fmt.Fprintf(&b, "  --accent: %s;\n  --on-accent: %s;\n  --note-ground: %s;\n", s.accent, on, mix(s.accent, s.card, .1))
	}
	if s.ground != "" {
		fmt.Fprintf(&b, "  --ground: %s;\n", s.ground)
	}
	if b.Len() == 0 {
		return ""
	}
	return ":root {\n" + b.String() + "}\n"
}

// contrast is the contrast ratio of WCAG 2.2.
func contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + .05) / (min(x, y) + .05)
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(c string) float64 {
	l := 0.
	for i, weight := range []float64{.2126, .7152, .0722} {
		v := float64(channel(c, i)) / 255
		if v <= .04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

func channel(c string, i int) uint64 {
	v, _ := strconv.ParseUint(c[1+2*i:3+2*i], 16, 8)
	return v
}

// mix is a part of a in b.
func mix(a, b string, part float64) string {
	out := "#"
	for i := range 3 {
		out += fmt.Sprintf("%02x", int(math.Round(float64(channel(a, i))*part+float64(channel(b, i))*(1-part))))
	}
	return out
}
