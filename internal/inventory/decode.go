package inventory

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// position is a place in the file.
type position struct{ line, column int }

func positionOf(tk *token.Token) position {
	if tk == nil || tk.Position == nil {
		return position{}
	}
	return position{tk.Position.Line, tk.Position.Column}
}

// decoder writes a YAML tree over Go values that already hold the defaults:
// a field that is absent, or present without a value, keeps what is there.
type decoder struct {
	// at is where each field that has a value stands, by path.
	at map[string]position
	// fresh gives the value a new list element of a type starts from.
	fresh func(reflect.Type) reflect.Value
}

func (d *decoder) fail(p position, path, problem, fix string) *Error {
	return &Error{Line: p.line, Column: p.column, Path: path, Problem: problem, Fix: fix}
}

// value decodes n, which stands at p, into dst.
func (d *decoder) value(path string, p position, n ast.Node, dst reflect.Value) *Error {
	if n == nil || n.Type() == ast.NullType {
		return nil
	}
	d.at[path] = p
	switch dst.Interface().(type) {
	case time.Duration:
		return d.duration(path, p, n, dst)
	case Amount:
		return d.amount(path, p, n, dst)
	case Bytes:
		return d.bytes(path, p, n, dst)
	}
	switch dst.Kind() {
	case reflect.Struct:
		return d.mapping(path, p, n, dst)
	case reflect.Slice:
		return d.list(path, p, n, dst)
	case reflect.String:
		return d.text(path, p, n, dst)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return d.fail(p, path, "want true or false, got "+describe(n), "write true or false, without quotes")
		}
		dst.SetBool(b.Value)
	case reflect.Int:
		i, ok := integer(n)
		if !ok {
			return d.fail(p, path, "want a whole number, got "+describe(n), "write a plain number such as 22")
		}
		dst.SetInt(int64(i))
	default:
		panic("inventory: no decoding for " + dst.Type().String())
	}
	return nil
}

// mapping decodes the fields of a struct, in the order they are written.
func (d *decoder) mapping(path string, p position, n ast.Node, dst reflect.Value) *Error {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return d.fail(p, path, "want fields (key: value), got "+describe(n), "the fields here are "+either(fieldNames(dst.Type())))
	}
	seen := map[string]position{}
	for _, entry := range m.Values {
		at := positionOf(entry.Key.GetToken())
		name, ok := entry.Key.(*ast.StringNode)
		if !ok {
			return d.fail(at, path, "has a field name that is not plain text", "the fields here are "+either(fieldNames(dst.Type())))
		}
		inner := join(path, name.Value)
		field, known := fieldByName(dst.Type(), name.Value)
		if !known {
			return d.fail(at, shown(path, name.Value), "unknown field", unknownFix(path, name.Value, dst.Type()))
		}
		if first, dup := seen[name.Value]; dup {
			return d.fail(at, inner, fmt.Sprintf("is given twice, first on line %d", first.line), "remove one of the two")
		}
		seen[name.Value] = at
		if err := d.value(inner, at, entry.Value, dst.FieldByIndex(field.Index)); err != nil {
			return err
		}
	}
	return d.required(path, p, seen, dst.Type())
}

// required finds a field that must be there and is not, or has no value.
func (d *decoder) required(path string, p position, seen map[string]position, t reflect.Type) *Error {
	for i := range t.NumField() {
		name, required, example := rules(t.Field(i))
		if _, has := d.at[join(path, name)]; !required || has {
			continue
		}
		if at, empty := seen[name]; empty {
			p = at
		}
		fix := fmt.Sprintf("add it, such as %s: %s", name, example)
		if f := t.Field(i); f.Type.Kind() == reflect.Slice {
			fix = "list every one of them with " + strings.Join(requiredNames(f.Type.Elem()), ", ")
		}
		return d.fail(p, join(path, name), "is missing", fix)
	}
	return nil
}

func (d *decoder) list(path string, p position, n ast.Node, dst reflect.Value) *Error {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.fail(p, path, "want a list, got "+describe(n), "write [a, b], or one item on each line after a dash")
	}
	items := reflect.MakeSlice(dst.Type(), 0, len(s.Values))
	for i, v := range s.Values {
		inner := path + "[" + strconv.Itoa(i) + "]"
		at := startOf(v)
		if v == nil || v.Type() == ast.NullType {
			return d.fail(at, inner, "is empty", "give it a value or remove it")
		}
		item := d.fresh(dst.Type().Elem())
		if err := d.value(inner, at, v, item); err != nil {
			return err
		}
		items = reflect.Append(items, item)
	}
	dst.Set(items)
	return nil
}

func (d *decoder) text(path string, p position, n ast.Node, dst reflect.Value) *Error {
	s, ok := stringOf(n)
	if !ok {
		return d.fail(p, path, "want text, got "+describe(n), "put it in quotes")
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		return d.fail(p, path, quoted(s)+" has a line break or another control character", "write it on one line")
	}
	if noun, values := choices(dst.Type()); noun != "" && !slices.Contains(values, s) {
		return d.fail(p, path, quoted(s)+" is not "+noun, "use "+either(values))
	}
	dst.SetString(s)
	return nil
}

func (d *decoder) duration(path string, p position, n ast.Node, dst reflect.Value) *Error {
	s, ok := stringOf(n)
	if !ok {
		return d.fail(p, path, "want a duration, got "+describe(n), "give it a unit, such as 30s, 5m or 1h")
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return d.fail(p, path, quoted(s)+" is not a duration", "write a number and a unit, such as 30s, 5m or 1h")
	}
	dst.SetInt(int64(v))
	return nil
}

func (d *decoder) amount(path string, p position, n ast.Node, dst reflect.Value) *Error {
	const fix = `write a number of nodes such as 1, or a percentage such as "25%"`
	var a Amount
	if i, ok := integer(n); ok {
		a.Number = i
		if i < 1 {
			return d.fail(p, path, fmt.Sprintf("%d nodes at once would never upgrade any", i), "use at least 1")
		}
	} else if s, ok := stringOf(n); ok {
		digits, percent := strings.CutSuffix(s, "%")
		i, err := strconv.ParseUint(digits, 10, 16)
		switch {
		case err != nil || !percent:
			return d.fail(p, path, quoted(s)+" is neither a number nor a percentage", fix)
		case i < 1:
			return d.fail(p, path, quoted(s)+" of the nodes at once would never upgrade any", "use at least 1%")
		case i > 100:
			return d.fail(p, path, quoted(s)+" is more than all nodes", "use at most 100%")
		}
		a.Percent = int(i)
	} else {
		return d.fail(p, path, "want a number or a percentage, got "+describe(n), fix)
	}
	dst.Set(reflect.ValueOf(a))
	return nil
}

func (d *decoder) bytes(path string, p position, n ast.Node, dst reflect.Value) *Error {
	const fix = "write a number and a unit, such as 512KiB, 50MiB or 1GiB"
	s, ok := stringOf(n)
	if !ok {
		return d.fail(p, path, "want a size, got "+describe(n), fix)
	}
	if s == "" {
		return nil
	}
	b, err := ParseBytes(s)
	if err != nil {
		return d.fail(p, path, err.Error(), fix)
	}
	dst.SetInt(int64(b))
	return nil
}
