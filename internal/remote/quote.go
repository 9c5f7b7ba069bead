package remote

import "strings"

// Quote turns an argv list into one line for a POSIX shell. It is the only
// place where kup quotes.
func Quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = quoteWord(a)
	}
	// Unquoted, a first word such as A=b would be an assignment, not a program.
	if len(argv) > 0 && words[0] == argv[0] && strings.Contains(argv[0], "=") {
		words[0] = "'" + argv[0] + "'"
	}
	return strings.Join(words, " ")
}

// Display is Quote for people; the two agree so that a shown command can be pasted.
func Display(argv []string) string { return Quote(argv) }

func quoteWord(s string) string {
	if s == "" {
		return "''"
	}
	for _, r := range s {
		if !isPlain(r) {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}

func isPlain(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("@%+=:,./-_", r)
}
