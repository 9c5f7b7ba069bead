package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/kup-project/kup/internal/lab/cast"
)

type recordOptions struct {
	cast, svg string
	command   cast.Command
	drawing   cast.Options
}

func recordCommand() *cobra.Command {
	var o recordOptions
	c := &cobra.Command{
		Use:   "record --cast FILE [--svg FILE] [-- COMMAND...]",
		Short: "Record a command's terminal as an asciinema cast, and draw it as an animated SVG",
		Long: `Runs COMMAND on a terminal of its own and writes what it shows to the cast.
Without a COMMAND an existing cast is only drawn. The exit code is COMMAND's.`,
		RunE: func(c *cobra.Command, args []string) error {
			o.command.Argv = args
			return record(c.Context(), o, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&o.cast, "cast", "", "cast to write, or to draw")
	f.StringVar(&o.svg, "svg", "", "drawing to write")
	f.IntVar(&o.command.Width, "width", 116, "columns of the terminal")
	f.IntVar(&o.command.Height, "height", 34, "lines of the terminal")
	f.StringVar(&o.command.Title, "title", "", "title of the recording")
	f.DurationVar(&o.drawing.Idle, "idle", 0, "cut longer waits to this in the drawing (default 2s)")
	f.DurationVar(&o.drawing.Tick, "tick", 0, "least time between two frames of the drawing (default 100ms)")
	return c
}

func record(ctx context.Context, o recordOptions, out io.Writer) error {
	if o.cast == "" {
		return errors.New("name the cast: --cast demo.cast")
	}
	var (
		rec  *cast.Recording
		code int
		err  error
	)
	if len(o.command.Argv) > 0 {
		if rec, code, err = cast.Record(ctx, o.command, out); err != nil {
			return err
		}
		if err := writeTo(o.cast, rec.Write); err != nil {
			return err
		}
	} else if rec, err = readCast(o.cast); err != nil {
		return err
	}
	if o.svg != "" {
		if err := writeTo(o.svg, func(w io.Writer) error { return cast.Render(w, rec, o.drawing) }); err != nil {
			return err
		}
	}
	if code != 0 {
		return &remoteExit{code: code}
	}
	return nil
}

func readCast(path string) (*cast.Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // all was read
	rec, err := cast.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rec, nil
}

func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
