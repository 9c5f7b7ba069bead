package execution

// What the tests compare wrapper.sh with.
const (
	WrapperSum = wrapperSum
	Mend       = mend
)

// Words and Unescape are tested by themselves.
var (
	Words    = words
	Unescape = unescape
)
