package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command and every flag of it is in docs/commands.md, and no flag that is not there
// any more.
func TestCommandsAreDocumented(t *testing.T) {
	content, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	flags := map[string]bool{"--help": true, "--version": true}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		section := page
		if c.HasParent() && c.Name() != "help" {
			name := strings.Fields(c.CommandPath())[1]
			if !strings.Contains(page, "`kup "+name) {
				t.Errorf("%s is not there", c.CommandPath())
			}
			if _, after, found := strings.Cut(page, "## kup "+name); found {
				section, _, _ = strings.Cut(after, "\n## ")
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			flags["--"+f.Name] = true
			if f.Name != "help" && !strings.Contains(section, "`--"+f.Name) {
				t.Errorf("%s: --%s is not there", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&system{}))
	for _, word := range strings.FieldsFunc(page, func(r rune) bool { return strings.ContainsRune(" `,|\\\n", r) }) {
		if strings.HasPrefix(word, "--") && strings.Trim(word, "-") != "" && !flags[word] {
			t.Errorf("%s is no flag", word)
		}
	}
}
