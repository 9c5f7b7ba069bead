package detached

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/kup-project/kup/internal/remote"
)

// shutdownScript tells whether the host of the execution in directory $1 is another
// boot by now, is about to be, or is as it was.
const shutdownScript = `if [ -s "$1/boot" ] && [ "$(cat "$1/boot")" != "$(cat "$2")" ]; then echo restarted
elif [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; then echo stopping
else echo up; fi`

// longestShutdown bounds the wait for a host that goes down.
const longestShutdown = 10 * time.Minute

// shutDown tells whether a command was terminated because its host went down. A
// shutdown ends commands before it ends the host, so that may take a while to show.
func (a *attendance) shutDown(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, longestShutdown)
	defer cancel()
	pause := time.NewTicker(max(a.retry, time.Millisecond))
	defer pause.Stop()
	for {
		result, err := a.host.Run(ctx, remote.Command{
			Argv: []string{"sh", "-c", shutdownScript, "kup", a.job.dir, a.bootID}, Sudo: true,
		})
		var lost *remote.ConnectionError
		switch answer := strings.TrimSpace(string(result.Stdout)); {
		case err == nil && answer == "restarted":
			return true
		case err == nil && answer != "stopping", err != nil && !errors.As(err, &lost):
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-pause.C:
		}
	}
}
