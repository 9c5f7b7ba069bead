package plan

import "strings"

// JoinArgv packs an argv list into one Args value.
func JoinArgv(argv ...string) string { return strings.Join(argv, argvSeparator) }

// SplitArgv unpacks what JoinArgv packed; an empty value gives no argument.
func SplitArgv(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, argvSeparator)
}
