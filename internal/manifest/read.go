package manifest

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/kup-project/kup/pkg/cluster"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds what is read of one file, in bytes.
const maxFile = 16 << 20

// Read gives the objects in all files of the tree that end in .yaml, .yml or
// .json, in the order of files and lines. What cannot be read, such as a template,
// is listed and does not stop the others; the error is about the tree itself.
// Hidden files and directories are left out.
func Read(fsys fs.FS) (cluster.Manifests, error) {
	var out cluster.Manifests
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch path.Ext(name) {
		case ".yaml", ".yml", ".json":
		default:
			return nil
		}
		if entry.IsDir() {
			return nil
		}
		content, err := readFile(fsys, name)
		if err != nil {
			out.Unreadable = append(out.Unreadable, fmt.Sprintf("%s (%v)", name, err))
			return nil //nolint:nilerr // one file that cannot be read is listed
		}
		parse(name, content, &out)
		return nil
	})
	if err != nil {
		return cluster.Manifests{}, fmt.Errorf("read the manifests: %w; check the directory given with --manifests", err)
	}
	return out, nil
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return fs.ReadFile(fsys, name)
}

// parse reads one file document by document, so that one that is no YAML does not
// hide the others. Only the first fault of a file is listed.
func parse(file string, content []byte, out *cluster.Manifests) {
	faulty := false
	for _, d := range documents(content) {
		var root yaml.Node
		if err := yaml.Unmarshal(d.text, &root); err != nil {
			if !faulty {
				out.Unreadable = append(out.Unreadable, fmt.Sprintf("%s (%s)", file, reason(d, err)))
			}
			faulty = true
			continue
		}
		if len(root.Content) == 1 {
			add(file, root.Content[0], d.line-1, "", "", out)
		}
	}
}

func reason(d document, err error) string {
	if bytes.Contains(d.text, []byte("{{")) {
		return "a template"
	}
	return fmt.Sprintf("the document from line %d: %s", d.line, strings.ReplaceAll(err.Error(), "\n", " "))
}

// document is a part of a file between two lines of ---.
type document struct {
	line int // where its text begins, from 1
	text []byte
}

func documents(content []byte) []document {
	var out []document
	at := document{line: 1}
	line := 0
	for text := range bytes.Lines(content) {
		line++
		if trimmed := bytes.TrimRight(text, " \t\r\n"); bytes.Equal(trimmed, []byte("---")) || bytes.HasPrefix(text, []byte("--- ")) {
			out = append(out, at)
			at = document{line: line + 1}
			continue
		}
		at.text = append(at.text, text...)
	}
	return append(out, at)
}

// add keeps one object, or the items of a list, to which the list lends its version
// and kind. What has no kind is no manifest: values of a chart, and the like.
func add(file string, node *yaml.Node, offset int, apiVersion, kind string, out *cluster.Manifests) {
	if node.Kind != yaml.MappingNode {
		return
	}
	if v := text(field(node, "apiVersion")); v != "" {
		apiVersion = v
	}
	if v := text(field(node, "kind")); v != "" {
		kind = v
	}
	if items := field(node, "items"); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind, "List") {
		for _, item := range items.Content {
			add(file, item, offset, apiVersion, strings.TrimSuffix(kind, "List"), out)
		}
		return
	}
	if apiVersion == "" || kind == "" {
		return
	}
	meta := field(node, "metadata")
	out.Objects = append(out.Objects, cluster.Manifest{
		APIVersion: apiVersion, Kind: kind, Namespace: text(field(meta, "namespace")), Name: text(field(meta, "name")), File: file, Line: offset + node.Line,
	})
}

// field gives the value of a key, or nil.
func field(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// text is the value of a scalar; empty for anything else.
func text(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}
