package debian

import (
	"cmp"
	"strconv"
	"strings"
)

// compare orders the versions that Kubernetes' packages have: numbers between
// dots and dashes.
func compare(a, b string) int {
	split := func(r rune) bool { return r < '0' || r > '9' }
	x, y := strings.FieldsFunc(a, split), strings.FieldsFunc(b, split)
	for i := range min(len(x), len(y)) {
		m, mErr := strconv.Atoi(x[i])
		n, nErr := strconv.Atoi(y[i])
		if mErr == nil && nErr == nil && m != n {
			return cmp.Compare(m, n)
		}
	}
	return cmp.Compare(len(x), len(y))
}

// dependency reads "cri-tools (>= 1.30.0)"; the bound may be missing.
func dependency(s string) (name, atLeast string) {
	name, bound, _ := strings.Cut(s, " (>= ")
	return strings.TrimSpace(name), strings.TrimSuffix(bound, ")")
}

// satisfies tells whether the version reaches the bound.
func satisfies(version, atLeast string) bool {
	return version != "" && (atLeast == "" || compare(version, atLeast) >= 0)
}
