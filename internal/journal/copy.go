package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Extends tells whether a copy of a journal begins with all that another holds.
func Extends(longer, shorter []Record) bool {
	n := len(shorter)
	return len(longer) >= n && (n == 0 || longer[n-1].Sum == shorter[n-1].Sum)
}

// Adopt opens the journal in dir, or starts it, and makes it hold what a copy of it
// holds, which must extend it. It gives all records.
func Adopt(dir string, copied []Record) (*Journal, []Record, error) {
	j, records, err := open(dir, os.O_CREATE)
	if err != nil {
		return nil, nil, err
	}
	if !Extends(copied, records) {
		err = fmt.Errorf("%s: the other copy does not go on where this one ends", j.path)
	}
	if err == nil {
		err = errors.Join(j.extend(copied[len(records):]), syncDir(dir))
	}
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	return j, copied, nil
}

// extend appends records that were sealed before, as they are.
func (j *Journal) extend(records []Record) error {
	var lines bytes.Buffer
	seq, sum := j.seq, j.sum
	for _, r := range records {
		line, sealed, err := seal(r, sum)
		if err != nil {
			return err
		}
		if sealed.Sum != r.Sum {
			return fmt.Errorf("%s: record %d of the other copy does not bear its own checksum", j.path, r.Seq)
		}
		lines.Write(line)
		seq, sum = r.Seq, r.Sum
	}
	if lines.Len() == 0 {
		return nil
	}
	if err := j.write(lines.Bytes()); err != nil {
		return err
	}
	j.seq, j.sum = seq, sum
	return nil
}

// Idle tells whether no process of this machine has the journal in dir open: who
// wrote it last has ended, however it did.
func Idle(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, File))
	if err != nil {
		return false, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, f.Close()
	}
	return err == nil, errors.Join(err, f.Close())
}
