package oauth2proxy

import (
	"fmt"
	"strings"
)

// Table is what becomes of every option, as Markdown for the guide.
func Table() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		rows  []option
	}{
		{"The provider", providerOptions}, {"Who may pass", ruleOptions}, {"Apps and headers", headerOptions},
		{"Sessions and cookies", sessionOptions}, {"Addresses, proxies, logs, pages", serverOptions},
	} {
		fmt.Fprintf(&b, "### %s\n\n| option | becomes | |\n|---|---|---|\n", part.title)
		for _, o := range part.rows {
			becomes := "no counterpart"
			if o.fate != none {
				becomes = "`" + o.becomes + "`"
				if o.fate == partly {
					becomes += ", in part"
				}
			}
			note := o.note
			if o.same != "" && o.fate == none {
				note = "`" + o.same + "` is what Evergate does. " + note
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", o.key, becomes, strings.ReplaceAll(strings.TrimSpace(note), "|", "\\|"))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
