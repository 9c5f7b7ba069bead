package shell

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// isHeld tells whether a lock was not taken because somebody else has it.
func isHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// duration reads what sleep and timeout take: 1.5, 10s, 2m, 1h, 1d.
func duration(text string) (time.Duration, error) {
	unit := time.Second
	number := text
	if n := len(text) - 1; n > 0 {
		switch text[n] {
		case 's':
			number = text[:n]
		case 'm':
			unit, number = time.Minute, text[:n]
		case 'h':
			unit, number = time.Hour, text[:n]
		case 'd':
			unit, number = 24*time.Hour, text[:n]
		}
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || value < 0 {
		return 0, fmt.Errorf("invalid time interval '%s'", text)
	}
	return time.Duration(value * float64(unit)), nil
}

func sleep(ctx context.Context, p *Process) int {
	var total time.Duration
	if len(p.Args) == 1 {
		return p.missing()
	}
	for _, word := range p.Args[1:] {
		d, err := duration(word)
		if err != nil {
			return p.usage(1, err)
		}
		total += d
	}
	timer := time.NewTimer(p.Shell.scaled(total))
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0
	case <-ctx.Done():
		return killed(ctx)
	}
}

// date prints the time of the host: date [-u] [-d @SECONDS] [-I[seconds]] [+FORMAT].
func date(_ context.Context, p *Process) int {
	o, err := p.options("uRd:", map[string]rune{"utc": 'u', "date": 'd', "rfc-email": 'R'})
	if err != nil {
		return p.usage(1, err)
	}
	now := p.Shell.now().UTC()
	if o.has('d') {
		seconds, err := strconv.ParseInt(strings.TrimPrefix(o.value('d'), "@"), 10, 64)
		if err != nil || !strings.HasPrefix(o.value('d'), "@") {
			return p.Errorf("invalid date '%s'", o.value('d'))
		}
		now = time.Unix(seconds, 0).UTC()
	}
	format := "%a %b %e %H:%M:%S UTC %Y"
	switch {
	case o.has('R'):
		format = "%a, %d %b %Y %H:%M:%S +0000"
	case len(o.operands) == 1 && strings.HasPrefix(o.operands[0], "+"):
		format = o.operands[0][1:]
	case len(o.operands) > 0:
		return p.Errorf("invalid date '%s'", o.operands[0])
	}
	text, err := strftime(now, format)
	if err != nil {
		return p.usage(1, err)
	}
	_, err = fmt.Fprintln(p.Stdout, text)
	return p.written(0, err)
}

// conversions are those of strftime that package time has a layout for.
var conversions = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'j': "002",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'Z': "MST", 'z': "-0700",
	'F': "2006-01-02", 'T': "15:04:05",
}

func strftime(t time.Time, format string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		switch c := format[i]; c {
		case '%':
			out.WriteByte('%')
		case 'n':
			out.WriteByte('\n')
		case 's':
			out.WriteString(strconv.FormatInt(t.Unix(), 10))
		case 'N':
			fmt.Fprintf(&out, "%09d", t.Nanosecond())
		default:
			layout, ok := conversions[c]
			if !ok {
				return "", fmt.Errorf("the conversion %%%c is not modelled", c)
			}
			out.WriteString(t.Format(layout))
		}
	}
	return out.String(), nil
}
