// Package cast records what a command writes to a terminal as an asciinema v2
// file, and draws such a recording as an animated SVG that a README can show.
//
// The drawing is a pure function of the recording: the same cast gives the same
// bytes. Input is never recorded. It is no terminal player, and it reads no casts
// but those of version 2.
package cast
