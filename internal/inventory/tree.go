package inventory

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// rules reads what the struct tags say of a field: its YAML name, whether it
// must be given, and an example. The JSON schema is made from the same tags.
func rules(f reflect.StructField) (name string, required bool, example string) {
	for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		if part == "required" {
			required = true
		}
		if value, ok := strings.CutPrefix(part, "example="); ok && example == "" {
			example = value
		}
	}
	return f.Tag.Get("yaml"), required, example
}

func requiredNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if name, required, _ := rules(t.Field(i)); required {
			names = append(names, name)
		}
	}
	return names
}

func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = t.Field(i).Tag.Get("yaml")
	}
	return names
}

func fieldByName(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("yaml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// unknownFix says what somebody who wrote an unknown field most likely meant:
// a known one spelled differently, or one that lives a level further down.
func unknownFix(path, name string, t reflect.Type) string {
	names := fieldNames(t)
	if near := nearest(name, names); len(near) > 0 {
		return "did you mean " + either(near) + "?"
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type.Kind() != reflect.Struct {
			continue
		}
		if _, ok := fieldByName(f.Type, name); ok {
			return "did you mean " + join(path, f.Tag.Get("yaml")) + "." + name + "?"
		}
	}
	return "the fields here are " + either(names)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// shown is the path of a field whose name kup does not know and which may
// therefore hold anything.
func shown(path, name string) string {
	if q := quoted(name); q != `"`+name+`"` || strings.ContainsAny(name, " .:[]") || name == "" {
		return join(path, q)
	}
	return join(path, name)
}

// describe names what a node is, for somebody who expected something else.
func describe(n ast.Node) string {
	switch v := n.(type) {
	case *ast.MappingNode:
		return "fields (key: value)"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return fmt.Sprint(v.Value)
	case *ast.StringNode, *ast.LiteralNode:
		s, _ := stringOf(n)
		return "the text " + quoted(s)
	case ast.ScalarNode:
		return "the number " + strings.Trim(quoted(n.GetToken().Value), `"`)
	}
	return "something else"
}

func stringOf(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	return "", false
}

func integer(n ast.Node) (int, bool) {
	v, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch i := v.Value.(type) {
	case int64:
		return int(i), i >= math.MinInt32 && i <= math.MaxInt32
	case uint64:
		return int(i), i <= math.MaxInt32
	}
	return 0, false
}

// startOf is where a node begins; a block mapping's own token is its first
// colon, which is not what a reader looks for.
func startOf(n ast.Node) position {
	switch v := n.(type) {
	case nil:
		return position{}
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return positionOf(v.Values[0].Key.GetToken())
		}
	}
	return positionOf(n.GetToken())
}
