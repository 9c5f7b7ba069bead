package survey

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kup-project/kup/internal/remote"
)

// briefly replaces a failed script's argv, which is the whole script, by a word.
func briefly(err error) error {
	failed := new(remote.ExitError)
	if !errors.As(err, &failed) {
		return err
	}
	short := *failed
	short.Argv = []string{"kup-survey-script"}
	return &short
}

// sentence puts an error into one line for people.
func sentence(format string, args ...any) string {
	return strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
}
