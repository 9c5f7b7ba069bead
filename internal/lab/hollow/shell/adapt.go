package shell

import (
	"fmt"
	"slices"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// adapt changes a script where the interpreter differs from a POSIX shell:
//
//   - The last command of a pipeline is put into a subshell. The interpreter would
//     run it in the shell itself, which shows with whatever changes the shell.
//   - A subshell in a condition ignores errexit, as what surrounds it does. A
//     function that is called in a condition and has a subshell is not covered.
//
// What cannot be mended is refused: positional parameters beyond $9, which the
// interpreter takes for unset. It also tells whether the script starts anything
// in the background.
//
// Two differences stay: with errexit, a loop or another compound command that ends
// with a failed && or || list ends the script, where POSIX shells go on. And fields
// that are empty between two separators get lost when IFS is not white space.
func adapt(file *syntax.File) (background bool, err error) {
	a := adapter{functions: map[string]bool{}}
	syntax.Walk(file, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.FuncDecl:
			a.functions[node.Name.Value] = true
		case *syntax.Stmt:
			background = background || node.Background
		case *syntax.ParamExp:
			if name := node.Param; name != nil && len(name.Value) > 1 && name.Value[0] >= '1' && name.Value[0] <= '9' && err == nil {
				err = fmt.Errorf("%s: ${%s} is not modelled: shift first", node.Pos(), name.Value)
			}
		}
		return true
	})
	syntax.Walk(file, a.enclose)
	syntax.Walk(file, a.conditions)
	return background, err
}

type adapter struct {
	functions map[string]bool // that the script declares
}

// enclose puts the last command of a pipeline into a subshell.
func (a adapter) enclose(node syntax.Node) bool {
	if pipe, ok := node.(*syntax.BinaryCmd); ok && pipe.Op == syntax.Pipe && !a.harmless(pipe.Y) {
		pipe.Y = subshell(pipe.Y)
	}
	return true
}

// harmless tells whether a command cannot change the shell that runs it.
func (a adapter) harmless(s *syntax.Stmt) bool {
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		if len(cmd.Args) == 0 {
			return false
		}
		switch name := cmd.Args[0].Lit(); name {
		case "echo", "printf", "test", "[", "true", "false", ":":
			return true
		default:
			return name != "" && !a.functions[name] && !interp.IsBuiltin(name)
		}
	case *syntax.Subshell:
		return true
	}
	return false
}

// subshell puts a command into parentheses.
func subshell(s *syntax.Stmt) *syntax.Stmt {
	inner := *s
	return &syntax.Stmt{Position: s.Position, Cmd: &syntax.Subshell{Lparen: inner.Pos(), Rparen: inner.End(), Stmts: []*syntax.Stmt{&inner}}}
}

// conditions looks for commands whose failure is not one of the script.
func (a adapter) conditions(node syntax.Node) bool {
	switch node := node.(type) {
	case *syntax.IfClause:
		a.ignoring(node.Cond...)
	case *syntax.WhileClause:
		a.ignoring(node.Cond...)
	case *syntax.BinaryCmd:
		if node.Op == syntax.AndStmt || node.Op == syntax.OrStmt {
			a.ignoring(node.X)
		}
	case *syntax.Stmt:
		if node.Negated {
			a.ignoring(node)
		}
	}
	return true
}

// ignoring turns errexit off in the subshells of statements.
func (a adapter) ignoring(stmts ...*syntax.Stmt) {
	for _, s := range stmts {
		syntax.Walk(s, func(node syntax.Node) bool {
			switch node := node.(type) {
			case *syntax.CmdSubst, *syntax.FuncDecl: // not part of the condition
				return false
			case *syntax.BinaryCmd:
				if node.Op == syntax.Pipe && !a.harmless(node.X) {
					node.X = subshell(node.X)
				}
			case *syntax.Subshell:
				if !setsOption(node.Stmts) {
					node.Stmts = slices.Concat([]*syntax.Stmt{noErrExit(node.Lparen)}, node.Stmts)
				}
			}
			return true
		})
	}
}

// noErrExit is set +e.
func noErrExit(at syntax.Pos) *syntax.Stmt {
	word := func(text string) *syntax.Word {
		return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{ValuePos: at, ValueEnd: at, Value: text}}}
	}
	return &syntax.Stmt{Position: at, Cmd: &syntax.CallExpr{Args: []*syntax.Word{word("set"), word("+e")}}}
}

// setsOption tells whether noErrExit has been put there already.
func setsOption(stmts []*syntax.Stmt) bool {
	if len(stmts) == 0 {
		return false
	}
	call, ok := stmts[0].Cmd.(*syntax.CallExpr)
	return ok && len(call.Args) == 2 && call.Args[0].Lit() == "set" && call.Args[1].Lit() == "+e"
}
