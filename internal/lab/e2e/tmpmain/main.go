package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/kup-project/kup/internal/lab/e2e"
)

func main() {
	var o e2e.Options
	s := flag.String("s", "", "")
	flag.StringVar(&o.Lab, "lab", "", "")
	flag.StringVar(&o.Kup, "kup", "", "")
	flag.StringVar(&o.WorkDir, "dir", "", "")
	flag.BoolVar(&o.KeepLab, "keep", false, "")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := e2e.Run(ctx, *s, o, os.Stdout); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
