package shell

import (
	"strings"

	"mvdan.cc/sh/v3/expand"
)

// environ is what a script begins with, for the interpreter. Everything the
// interpreter would otherwise ask the real machine for has a value.
type environ struct {
	p *Process
	// begun is set once the interpreter has read where its own files go.
	begun bool
}

var _ expand.Environ = (*environ)(nil)

// nowhere is a directory that cannot exist, for the interpreter's own named pipes:
// it opens what is below that directory on the real file system.
const nowhere = "/dev/null/none"

// Get gives a variable.
func (e *environ) Get(name string) expand.Variable {
	value, ok := e.value(name)
	if !ok {
		return expand.Variable{}
	}
	return expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: value}
}

func (e *environ) value(name string) (string, bool) {
	if name == "TMPDIR" && !e.begun {
		return nowhere, true
	}
	if user, ok := strings.CutPrefix(name, "HOME "); ok { // what ~user stands for
		return home(user), true
	}
	if value := e.p.Env(name); value != "" {
		return value, true
	}
	switch name {
	case "HOME":
		return home(e.p.user()), true
	case "UID", "EUID", "GID":
		return e.p.uid(), true
	case "PATH":
		return defaultPath, true
	}
	for known := range strings.FieldsSeq(e.p.Env("")) {
		if known == name {
			return "", true
		}
	}
	return "", false
}

// Each gives all variables. An Env that does not know its names is asked for the
// usual ones.
func (e *environ) Each(each func(name string, vr expand.Variable) bool) {
	names := append(strings.Fields(e.p.Env("")), "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TERM", "UID", "EUID", "GID", umaskVariable)
	for _, name := range names {
		if vr := e.Get(name); vr.IsSet() && !each(name, vr) {
			return
		}
	}
}

// exported gives the Env of a command that a script runs.
func exported(env expand.Environ) func(string) string {
	return func(name string) string {
		if name != "" {
			vr := env.Get(name)
			if !vr.Exported {
				return ""
			}
			return vr.String()
		}
		names := map[string]string{}
		for name, vr := range env.Each {
			if delete(names, name); vr.IsSet() && vr.Exported {
				names[name] = ""
			}
		}
		return Environment(names, nil)("")
	}
}

func home(user string) string {
	if user == "root" {
		return "/root"
	}
	return "/home/" + user
}

// The user that commands run as without root; its name is $USER's where there is one.
const (
	ordinaryUID  = "1000"
	ordinaryUser = "user"
)

func (p *Process) uid() string {
	if p.Root {
		return "0"
	}
	return ordinaryUID
}

func (p *Process) user() string {
	switch user := p.Env("USER"); {
	case p.Root:
		return "root"
	case user != "" && user != "root":
		return user
	}
	return ordinaryUser
}
