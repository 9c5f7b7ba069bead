package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// ofMachine are the errors that tell of this machine and of no snapshot.
var ofMachine = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EMFILE, syscall.ENFILE, syscall.ENOTDIR, syscall.EFBIG, syscall.ENOMEM,
}

// OfMachine marks an error that is this machine's as one.
func OfMachine(op string, err error) error {
	var already *MachineError
	if err == nil || errors.As(err, &already) {
		return err
	}
	if errors.Is(err, fs.ErrPermission) {
		return &MachineError{Op: op, Err: err}
	}
	for _, no := range ofMachine {
		if errors.Is(err, no) {
			return &MachineError{Op: op, Err: err}
		}
	}
	return err
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, &MachineError{Op: "look at a file", Err: err}
	}
	return info.Size(), nil
}
