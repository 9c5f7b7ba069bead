// Command kup upgrades kubeadm clusters one minor version at a time.
package main

import (
	"os"

	"github.com/kup-project/kup/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
