package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// Load reads the inventory at path. Besides what [Parse] checks, the password
// files it names must exist and be readable by their owner only. The error, if
// any, is an [*Error].
func Load(path string) (*Inventory, error) {
	data, err := read(path)
	if err != nil {
		problem, fix := "cannot be read: "+reason(err), ""
		if errors.Is(err, fs.ErrNotExist) {
			problem, fix = "does not exist", "write one with `kup init`, or name it with --file"
		}
		return nil, &Error{File: path, Problem: problem, Fix: fix, cause: err}
	}
	inv, at, bad := parse(path, data)
	if bad == nil {
		bad = checkPasswordFiles(inv, at)
	}
	if bad != nil {
		bad.File = path
		return nil, bad
	}
	return inv, nil
}

// read reads at most one byte more than an inventory may have.
func read(path string) (_ []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxSize+1))
}

// Parse reads an inventory from data. The name is what errors call the file;
// relative paths in it are taken to start at the name's directory. No file is
// looked at. The error, if any, is an [*Error].
func Parse(name string, data []byte) (*Inventory, error) {
	inv, _, bad := parse(name, data)
	if bad != nil {
		bad.File = name
		return nil, bad
	}
	return inv, nil
}

// parse gives the inventory and where in the file its fields stand.
func parse(name string, data []byte) (*Inventory, map[string]position, *Error) {
	root, bad := tree(data)
	if bad != nil {
		return nil, nil, bad
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, nil, &Error{Problem: "the working directory is gone: " + err.Error(), Fix: "change to another", cause: err}
	}
	inv, at, bad := decode(root)
	if bad != nil {
		return nil, nil, bad
	}
	c := checker{inv: inv, at: at}
	if bad := c.resolve(dir); bad != nil {
		return nil, nil, bad
	}
	inv.complete()
	return inv, at, c.check()
}

// tree parses the text as one YAML document.
func tree(data []byte) (ast.Node, *Error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bad := scanText(data); bad != nil {
		return nil, bad
	}
	tokens := lexer.Tokenize(string(data))
	if bad := scanTokens(tokens); bad != nil {
		return nil, bad
	}
	// The decoder finds duplicate fields itself and says where the first one is.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxError(err)
	}
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType && doc.Body.Type() != ast.CommentType {
			return doc.Body, nil
		}
	}
	return nil, &Error{Problem: "is empty", Fix: "write an inventory with `kup init`"}
}

func syntaxError(err error) *Error {
	bad := &Error{Fix: "check indentation, quotes and brackets there"}
	message := err.Error()
	var at yaml.Error
	if errors.As(err, &at) {
		p := positionOf(at.GetToken())
		bad.Line, bad.Column = p.line, p.column
		message = at.GetMessage()
	}
	bad.Problem = "is not valid YAML: " + strings.ReplaceAll(firstLine(message), "\t", `\t`)
	if strings.Contains(bad.Problem, `\t`) {
		bad.Fix = "indent with spaces, not tabs"
	}
	return bad
}

// decode reads the tree over the defaults. The format is looked at first,
// since another one may have other fields, and the ssh section second, since
// every node starts from it.
func decode(root ast.Node) (*Inventory, map[string]position, *Error) {
	inv := defaults()
	d := &decoder{at: map[string]position{}, fresh: func(t reflect.Type) reflect.Value {
		v := reflect.New(t).Elem()
		switch p := v.Addr().Interface().(type) {
		case *Node:
			p.SSH = inv.SSH.clone()
		case *Pool:
			*p = defaultPool()
		case *EtcdMember:
			*p = defaultEtcdMember()
		}
		return v
	}}
	start := startOf(root)
	if m, ok := root.(*ast.MappingNode); ok {
		if bad := d.format(m, start); bad != nil {
			return nil, nil, bad
		}
		if n, at := entry(m, "ssh"); n != nil {
			if bad := d.value("ssh", at, n, reflect.ValueOf(&inv.SSH).Elem()); bad != nil {
				return nil, nil, bad
			}
		}
	}
	if bad := d.value("", start, root, reflect.ValueOf(&inv).Elem()); bad != nil {
		return nil, nil, bad
	}
	for i := range inv.Nodes {
		inv.Nodes[i].SSH.Sudo.override(d.at, fmt.Sprintf("nodes[%d].ssh.sudo", i))
	}
	return &inv, d.at, nil
}

// format refuses a file of another format before its fields can confuse.
func (d *decoder) format(m *ast.MappingNode, start position) *Error {
	n, at := entry(m, "apiVersion")
	if n == nil {
		if len(m.Values) > 0 && nearest(keyOf(m.Values[0]), []string{"apiVersion"}) != nil {
			return nil // misspelled, and soon reported as that
		}
		return d.fail(start, "apiVersion", "is missing", "add it: apiVersion: "+APIVersion)
	}
	if s, ok := stringOf(n); ok && s != APIVersion {
		return d.fail(at, "apiVersion", quoted(s)+" is not a format this kup reads", "it supports "+APIVersion+" only")
	}
	return nil
}

func keyOf(v *ast.MappingValueNode) string {
	s, ok := v.Key.(*ast.StringNode)
	if !ok {
		return ""
	}
	return s.Value
}

// entry gives the value of a field and where the field stands, or nil.
func entry(m *ast.MappingNode, name string) (ast.Node, position) {
	for _, v := range m.Values {
		if keyOf(v) == name {
			return v.Value, positionOf(v.Key.GetToken())
		}
	}
	return nil, position{}
}

func (s SSH) clone() SSH {
	s.Identities = slices.Clone(s.Identities)
	s.KnownHosts = slices.Clone(s.KnownHosts)
	return s
}

// override lets a password source given at path replace an inherited one of
// the other kind.
func (s *Sudo) override(at map[string]position, path string) {
	_, file := at[path+".passwordFile"]
	_, env := at[path+".passwordEnv"]
	switch {
	case file && !env:
		s.PasswordEnv = ""
	case env && !file:
		s.PasswordFile = ""
	}
}

// SSHFor gives the settings to reach a node with: the ssh section with the
// node's own over it. A node the inventory does not list gets the section as
// it is.
func (inv *Inventory) SSHFor(node string) SSH {
	for i := range inv.Nodes {
		if inv.Nodes[i].Name == node {
			return inv.Nodes[i].SSH.clone()
		}
	}
	return inv.SSH.clone()
}

func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
