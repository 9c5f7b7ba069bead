package inventory

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// Bounds on what is parsed at all. They are far beyond any real inventory and
// keep the parser, whose time grows with the square of nesting and of the
// fields in one mapping, from being kept busy by a hostile file.
const (
	maxSize   = 512 << 10 // bytes
	maxLine   = 8 << 10   // bytes
	maxTokens = 150_000   // 5000 nodes have half of it
	maxNested = 16        // brackets within brackets
	maxFields = 64        // in one mapping
)

// scanText checks what can be checked before tokens exist.
func scanText(data []byte) *Error {
	if len(data) > maxSize {
		return &Error{Problem: "is larger than 512 KiB", Fix: "an inventory holds one cluster; is this the right file?"}
	}
	line := 0
	for text := range bytes.SplitSeq(data, []byte("\n")) {
		line++
		if len(text) > maxLine {
			return &Error{Line: line, Column: maxLine, Problem: "line is longer than 8 KiB", Fix: "put one node on a line"}
		}
		text = bytes.TrimSuffix(text, []byte("\r"))
		for at := 0; at < len(text); {
			r, size := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && size < 2 {
				return &Error{Line: line, Column: at + 1, Problem: "is not UTF-8 text", Fix: "save the file as UTF-8"}
			}
			if r != '\t' && unicode.IsControl(r) {
				return &Error{Line: line, Column: at + 1, Problem: "has a control character", Fix: "remove it"}
			}
			at += size
		}
	}
	return nil
}

// scanner walks the tokens once before they are parsed.
type scanner struct {
	started, ended bool
	dash           bool        // the token before was a list item's dash
	flow           []bracket   // the open ones
	block          map[int]int // fields seen per column of the open block mappings
}

// bracket is an open { or [.
type bracket struct {
	mapping bool
	fields  int
	named   bool // a { has a field's name after its last comma
	valued  bool // and the name's colon
}

func (b bracket) incomplete() bool { return b.mapping && b.named && !b.valued }

// scanTokens refuses the YAML that kup.yaml does not use (several documents,
// anchors, tags, directives) and structures beyond the bounds.
func scanTokens(tokens token.Tokens) *Error {
	if len(tokens) > maxTokens {
		p := tokens[maxTokens].Position
		return &Error{Line: p.Line, Column: p.Column, Problem: "has too much in it", Fix: "an inventory holds one cluster; is this the right file?"}
	}
	s := scanner{block: map[int]int{}}
	for _, tk := range tokens {
		problem, fix := s.next(tk)
		if problem != "" {
			return &Error{Line: tk.Position.Line, Column: tk.Position.Column, Problem: problem, Fix: fix}
		}
	}
	return nil
}

func (s *scanner) next(tk *token.Token) (problem, fix string) {
	switch tk.Type {
	case token.CommentType:
		return "", ""
	case token.DocumentHeaderType:
		if s.started {
			return "begins a second document", "an inventory is one document: one cluster, one file"
		}
	case token.DocumentEndType:
		s.ended = true
		return "", ""
	case token.AnchorType, token.AliasType, token.MergeKeyType:
		return "uses a YAML anchor or alias, which kup.yaml does not have", "write the value out; settings shared by all nodes go under ssh"
	case token.TagType, token.DirectiveType:
		return "uses a YAML tag or directive, which kup.yaml does not have", "remove it"
	default:
		if s.ended {
			return "continues after the end of the document", "an inventory is one document: one cluster, one file"
		}
		problem, fix = s.structure(tk)
	}
	s.started = true
	return problem, fix
}

func (s *scanner) structure(tk *token.Token) (problem, fix string) {
	dashed := s.dash
	s.dash = tk.Type == token.SequenceEntryType
	switch tk.Type {
	case token.SequenceStartType, token.MappingStartType:
		s.inFlow(func(b *bracket) { b.named = true })
		s.flow = append(s.flow, bracket{mapping: tk.Type == token.MappingStartType})
		if len(s.flow) > maxNested {
			return "is nested too deeply", "the format needs no more than 4 levels"
		}
	case token.SequenceEndType, token.MappingEndType, token.CollectEntryType:
		last := len(s.flow) - 1
		if last < 0 {
			break
		}
		if s.flow[last].incomplete() {
			return "is a field without a value before it", "write field: value"
		}
		if s.flow[last].named, s.flow[last].valued = false, false; tk.Type != token.CollectEntryType {
			s.flow = s.flow[:last]
		}
	case token.SequenceEntryType:
		if dashed {
			return "is a list item without a value before it", "give each item a value; there are no lists within lists"
		}
		s.leave(tk.Position.Column)
	case token.MappingKeyType:
		return `uses YAML's "? key" form, which kup.yaml does not have`, "write key: value"
	case token.MappingValueType:
		if s.field(tk) > maxFields {
			return "is one of more than 64 fields in one mapping", "docs/kup.yaml.md lists the fields there are"
		}
	default:
		s.inFlow(func(b *bracket) { b.named = true })
	}
	return "", ""
}

// inFlow notes something about the innermost bracket, if there is one.
func (s *scanner) inFlow(note func(*bracket)) {
	if last := len(s.flow) - 1; last >= 0 {
		note(&s.flow[last])
	}
}

// field counts the field whose colon tk is among its siblings.
func (s *scanner) field(tk *token.Token) int {
	if last := len(s.flow) - 1; last >= 0 {
		s.flow[last].fields++
		s.flow[last].valued = true
		return s.flow[last].fields
	}
	column := tk.Position.Column
	if tk.Prev != nil {
		column = tk.Prev.Position.Column
	}
	s.leave(column)
	s.block[column]++
	return s.block[column]
}

// leave forgets the block mappings that end where a token at column begins.
func (s *scanner) leave(column int) {
	for c := range s.block {
		if c > column {
			delete(s.block, c)
		}
	}
}

// firstLine keeps the parser's message to one line.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}
