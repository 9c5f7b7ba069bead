package shell

import (
	"context"
	"io"
	"io/fs"
	"os"
	"syscall"

	"mvdan.cc/sh/v3/interp"

	"github.com/kup-project/kup/internal/lab/hollow/vfs"
)

// handlerFile is a file that a script has redirected to.
type handlerFile struct{ vfs.File }

// open opens the files of redirections. What is read comes through a pipe: the
// interpreter needs an *os.File, and closes it at the end of the command.
func (r *script) open(ctx context.Context, name string, flag int, _ fs.FileMode) (io.ReadWriteCloser, error) {
	hc := interp.HandlerCtx(ctx)
	p := &Process{Dir: hc.Dir, FS: r.p.FS}
	f, err := r.p.FS.OpenFile(p.Path(name), flag, 0o666&^umask(exported(hc.Env)))
	if err != nil {
		return nil, named(name, err) // a bare *fs.PathError, or the interpreter would stop
	}
	if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
		return &handlerFile{f}, nil
	}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() { // ends with the file, or when the reading end is closed
		_, _ = io.Copy(out, f)
		_ = out.Close()
	}()
	return in, nil
}

// readDir lists directories for patterns.
func (r *script) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	p := &Process{Dir: interp.HandlerCtx(ctx).Dir, FS: r.p.FS}
	return r.p.FS.ReadDir(p.Path(name))
}

// stat serves test and cd.
func (r *script) stat(_ context.Context, name string, follow bool) (fs.FileInfo, error) {
	if follow {
		return r.p.FS.Stat(name)
	}
	return r.p.FS.Lstat(name)
}

// access lets everybody read and write; only what nobody may execute is refused.
func (r *script) access(_ context.Context, name string, mode interp.AccessMode) error {
	info, err := r.p.FS.Stat(name)
	if err != nil {
		return err
	}
	if mode&interp.AccessExec != 0 && !info.IsDir() && info.Mode()&0o111 == 0 {
		return &fs.PathError{Op: "access", Path: name, Err: syscall.EACCES}
	}
	return nil
}
