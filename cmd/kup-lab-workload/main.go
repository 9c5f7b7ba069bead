// Command kup-lab-workload is the one program of the lab's sample workload; its
// first argument says what it is: web, webhook, probe or sleep.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kup-project/kup/internal/lab/workload/role"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := role.Main(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	os.Exit(code)
}
