package execution

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
)

// wrapperSum is the digest of the wrapper.sh that the model stands for.
const wrapperSum = "471a3fd74ef23a977cee203957b8edfb00439bd27f8a2a55edfd21a9401dcd0e"

// mend says what to do when wrapper.sh is another.
const mend = "internal/lab/hollow/execution models wrapper.sh " + wrapperSum + " and this is another one; " +
	"bring the model in line with it, prove that with its tests, and then set wrapperSum"

// isWrapper tells whether a script is some text of wrapper.sh, by its name.
func isWrapper(file string) bool {
	name := path.Base(file)
	return strings.HasPrefix(name, "wrapper-") && strings.HasSuffix(name, ".sh")
}

// isKnown tells whether it is the one that the model stands for.
func isKnown(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]) == wrapperSum
}
