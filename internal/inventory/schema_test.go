package inventory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
)

const (
	schemaFile    = "../../docs/kup.schema.json"
	referenceFile = "../../docs/kup.yaml.md"
)

// leaves lists every field of the format that has a value of its own, as
// nodes[].ssh.port.
func leaves() []string {
	var all []string
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		switch {
		case t == reflect.TypeFor[Amount]() || (t.Kind() != reflect.Struct && t.Kind() != reflect.Slice):
			all = append(all, path)
		case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Struct:
			all = append(all, path)
		case t.Kind() == reflect.Slice:
			walk(path+"[]", t.Elem())
		default:
			for i := range t.NumField() {
				walk(join(path, t.Field(i).Tag.Get("yaml")), t.Field(i).Type)
			}
		}
	}
	walk("", reflect.TypeFor[Inventory]())
	return all
}

// schema builds the JSON schema from the types, their comments and the
// defaults.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Anonymous: true, Mapper: scalarSchema}
	const pkg = "github.com/kup-project/kup/internal/inventory"
	if err := r.AddGoComments(pkg, "."); err != nil {
		t.Fatal(err)
	}
	for name, text := range r.CommentMap {
		text = strings.Join(strings.Fields(text), " ")
		if !strings.Contains(strings.TrimPrefix(name, pkg+"."), ".") {
			// A type's comment starts with Go's name for it.
			_, text, _ = strings.Cut(text, " ")
		}
		r.CommentMap[name] = text
	}
	s := r.Reflect(&Inventory{})
	s.Title = "kup.yaml"
	s.Description = "Inventory of kup: the hosts of one kubeadm cluster, how they are reached and how far an upgrade may go at once."
	api, _ := s.Properties.Get("apiVersion")
	api.Const = APIVersion
	for _, d := range s.Definitions {
		d.Description = ""
	}
	d := defaults()
	d.complete()
	setDefaults(s, s.Definitions, reflect.ValueOf(d))
	setDefaults(s.Definitions["Pool"], s.Definitions, reflect.ValueOf(defaultPool()))
	setDefaults(s.Definitions["EtcdMember"], s.Definitions, reflect.ValueOf(defaultEtcdMember()))
	setDefaults(s.Definitions["Node"], s.Definitions, reflect.ValueOf(Node{Pool: DefaultPool}))
	bin := Packages{Manager: Binaries}
	bin.complete()
	setDefaults(s.Definitions["BinaryURLs"], s.Definitions, reflect.ValueOf(bin.Binaries))
	external := Etcd{}
	external.complete(nil)
	setDefaults(s.Definitions["EtcdBinaries"], s.Definitions, reflect.ValueOf(external.Binaries))
	return s
}

func scalarSchema(t reflect.Type) *jsonschema.Schema {
	if _, values := choices(t); values != nil {
		s := &jsonschema.Schema{Type: "string"}
		for _, v := range values {
			s.Enum = append(s.Enum, v)
		}
		return s
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[Bytes]():
		return &jsonschema.Schema{Type: "string", Pattern: "^([1-9][0-9]{0,6}(KiB|MiB|GiB))?$"}
	case reflect.TypeFor[Amount]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "1"},
			{Type: "string", Pattern: "^0*([1-9][0-9]?|100)%$"},
		}}
	}
	return nil
}

// setDefaults notes the default of each scalar field.
func setDefaults(s *jsonschema.Schema, defs jsonschema.Definitions, v reflect.Value) {
	for i := range v.NumField() {
		name, required, _ := rules(v.Type().Field(i))
		p, ok := s.Properties.Get(name)
		if !ok {
			panic("no property " + name)
		}
		field := v.Field(i)
		switch x := field.Interface().(type) {
		case time.Duration:
			p.Default = compact(x)
			continue
		case Amount:
			p.Default = x.Number
			continue
		case Bytes:
			continue
		}
		switch {
		case field.Kind() == reflect.Struct:
			if !field.IsZero() && name != "ssh" || v.Type() == reflect.TypeFor[Inventory]() {
				setDefaults(defs[strings.TrimPrefix(p.Ref, "#/$defs/")], defs, field)
			}
		case field.Kind() == reflect.Slice || required:
		case field.Kind() == reflect.Int && field.IsZero():
		case field.Kind() == reflect.String && field.String() == "":
		default:
			p.Default = field.Interface()
		}
	}
}

// compact writes 10m for Go's 10m0s.
func compact(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// allowNull lets sections and lists stand there without a value, as Parse
// does: "ssh:" with everything below it commented out.
func allowNull(s *jsonschema.Schema) {
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		p := pair.Value
		if (p.Ref == "" && p.Type != "array") || slices.Contains(s.Required, pair.Key) {
			continue
		}
		value := *p
		value.Description = ""
		*p = jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{&value, {Type: "null"}}}
	}
}

func TestSchema(t *testing.T) {
	s := schema(t)
	allowNull(s)
	for _, d := range s.Definitions {
		allowNull(d)
	}
	got, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, append(got, '\n'))
}

// TestReference keeps the tables of the reference up to date; the text around
// them is written by hand.
func TestReference(t *testing.T) {
	const begin, end = "<!-- fields: generated from internal/inventory/types.go, see TestReference -->\n", "<!-- end of fields -->\n"
	doc, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(doc, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s: no %q ... %q", referenceFile, begin, end)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(begin)
	s := schema(t)
	section(&out, s, "", s)
	out.WriteString("\n" + end)
	out.Write(after)
	golden(t, referenceFile, out.Bytes())
	for _, field := range leaves() {
		if !strings.Contains(out.String(), "`"+field+"`") && !strings.HasPrefix(field, "nodes[].ssh.") {
			t.Errorf("%s is not in %s", field, referenceFile)
		}
	}
}

// TestReferenceExamples parses the examples of the reference.
func TestReferenceExamples(t *testing.T) {
	doc, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, part := range strings.Split(string(doc), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		if strings.HasPrefix(text, "apiVersion:") {
			found++
			parseOK(t, text)
		}
	}
	if found < 2 {
		t.Errorf("%d examples in %s, want at least 2", found, referenceFile)
	}
}

// section writes the table of one level, then its subsections.
func section(out *bytes.Buffer, s *jsonschema.Schema, path string, root *jsonschema.Schema) {
	type sub struct {
		path string
		s    *jsonschema.Schema
		text string
	}
	var subs []sub
	out.WriteString("\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n")
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		p, name := pair.Value, join(path, pair.Key)
		ref, suffix := p.Ref, ""
		if p.Items != nil && p.Items.Ref != "" {
			ref, suffix = p.Items.Ref, "[]"
		}
		if ref != "" {
			subs = append(subs, sub{name + suffix, root.Definitions[strings.TrimPrefix(ref, "#/$defs/")], p.Description})
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", name, typeOf(p), defaultOf(s, pair.Key, p), meaning(p))
	}
	for _, x := range subs {
		depth := min(2+strings.Count(x.path, ".")+1, 5)
		fmt.Fprintf(out, "\n%s %s\n\n%s\n", strings.Repeat("#", depth), x.path, x.text)
		if x.path == "nodes[].ssh" {
			out.WriteString("\nThe fields are those of [ssh](#ssh).\n")
			continue
		}
		section(out, x.s, x.path, root)
	}
}

func typeOf(p *jsonschema.Schema) string {
	switch {
	case p.OneOf != nil:
		return "number or percentage"
	case len(p.Enum) > 0:
		return "`" + strings.ReplaceAll(strings.Trim(fmt.Sprint(p.Enum), "[]"), " ", "`, `") + "`"
	case p.Const != nil:
		return "text"
	case p.Ref != "":
		return "fields"
	case p.Items != nil && p.Items.Ref != "":
		return "list"
	case p.Items != nil:
		return "list of texts"
	case strings.Contains(p.Pattern, "KiB"):
		return "size"
	case p.Pattern != "":
		return "duration"
	}
	return map[string]string{"string": "text", "integer": "number", "boolean": "`true`, `false`"}[p.Type]
}

func defaultOf(s *jsonschema.Schema, name string, p *jsonschema.Schema) string {
	if slices.Contains(s.Required, name) {
		return "**required**"
	}
	if p.Default == nil {
		return ""
	}
	return fmt.Sprintf("`%v`", p.Default)
}

func meaning(p *jsonschema.Schema) string {
	text := p.Description
	examples := p.Examples
	if p.Items != nil {
		examples = p.Items.Examples
	}
	if len(examples) == 0 {
		return text
	}
	var words []string
	for _, e := range examples {
		word := fmt.Sprint(e)
		if strings.ContainsAny(word, "{}") {
			word = fmt.Sprintf("%q", word)
		}
		words = append(words, word)
	}
	example := strings.Join(words, ", ")
	if p.Items != nil {
		example = "[" + example + "]"
	}
	return text + " Example: `" + example + "`"
}
