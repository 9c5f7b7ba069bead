package role

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Main runs the role named by args[0] until ctx is done, and returns the exit
// code. out gets one line a thing that is worth saying.
func Main(ctx context.Context, args []string, getenv func(string) string, out io.Writer) int {
	if err := run(ctx, args, getenv, out); err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	return 0
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	const usage = "use one of: web | webhook | probe | sleep [DURATION]"
	if len(args) == 0 {
		return fmt.Errorf("no role: %s", usage)
	}
	switch args[0] {
	case "web":
		return web(ctx, getenv)
	case "webhook":
		return webhook(ctx, getenv)
	case "probe":
		return probing(ctx, getenv, out)
	case "sleep":
		return sleep(ctx, args[1:])
	default:
		return fmt.Errorf("unknown role %q: %s", args[0], usage)
	}
}

// sleep waits for the duration, or until it is told to end.
func sleep(ctx context.Context, args []string) error {
	if len(args) == 0 {
		<-ctx.Done()
		return nil
	}
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return fmt.Errorf("sleep: %w", err)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return nil
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func duration(getenv func(string) string, key string, fallback time.Duration) (time.Duration, error) {
	s := getenv(key)
	if s == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return d, nil
}
