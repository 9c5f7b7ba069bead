package remote

import "strings"

// Quote turns an argv list into one line for a POSIX shell. It is the only
// place where kup quotes.
func Quote(argv []string) string {
	size := len(argv)
	for _, word := range argv {
		size += len(word) + len(`''`) + strings.Count(word, "'")*len(quotedQuote)
	}
	var line strings.Builder
	line.Grow(size)
	for i, word := range argv {
		if i > 0 {
			line.WriteByte(' ')
		}
		// Unquoted, a first word such as A=b would be an assignment, not a program.
		quoteWord(&line, word, i == 0 && strings.Contains(word, "="))
	}
	return line.String()
}

// Display is Quote for people; the two agree so that a shown command can be pasted.
func Display(argv []string) string { return Quote(argv) }

// quotedQuote is a quote inside of quotes.
const quotedQuote = `'\''`

func quoteWord(line *strings.Builder, s string, always bool) {
	if s != "" && !always && strings.IndexFunc(s, func(r rune) bool { return !isPlain(r) }) < 0 {
		line.WriteString(s)
		return
	}
	line.WriteByte('\'')
	for {
		before, after, found := strings.Cut(s, "'")
		line.WriteString(before)
		if !found {
			break
		}
		line.WriteString(quotedQuote)
		s = after
	}
	line.WriteByte('\'')
}

func isPlain(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("@%+=:,./-_", r)
}
