package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/kup-project/kup/internal/engine"
	"github.com/kup-project/kup/internal/inventory"
	"github.com/kup-project/kup/internal/journal"
	"github.com/kup-project/kup/internal/kube"
	"github.com/kup-project/kup/internal/planner"
	"github.com/kup-project/kup/internal/remote"
	"github.com/kup-project/kup/internal/remote/detached"
	"github.com/kup-project/kup/internal/remote/ssh"
	"github.com/kup-project/kup/internal/step"
	"github.com/kup-project/kup/pkg/plan"
)

func TestClassify(t *testing.T) {
	boom := errors.New("boom")
	failed := func(err error) error { return &begunError{err: &engine.StepError{Step: "s", Err: err}} }
	for name, tc := range map[string]struct {
		err  error
		code int
		hint string // part of it
	}{
		"unexpected":             {boom, exitUnexpected, "--log-format json"},
		"usage":                  {&usageError{err: boom, hint: "do this"}, exitUsage, "do this"},
		"inventory":              {&inventory.Error{File: "kup.yaml", Problem: "is empty"}, exitUsage, ""},
		"target":                 {&planner.TargetError{Target: "v1"}, exitUsage, ""},
		"plan format":            {&plan.FormatError{Format: 9}, exitUsage, ""},
		"plan changed":           {&plan.TamperedError{}, exitUsage, ""},
		"plan unsound":           {&plan.InvalidError{Problems: []string{"x"}}, exitUsage, ""},
		"journal altered":        {&journal.CorruptError{Err: boom}, exitUsage, ""},
		"no cluster":             {&kube.ConnectError{Err: boom}, exitUsage, ""},
		"host key":               {&ssh.HostKeyError{}, exitUsage, ""},
		"sudo":                   {&ssh.SudoError{Err: boom}, exitUsage, ""},
		"ssh credentials":        {&ssh.AuthError{Err: boom}, exitUsage, ""},
		"host":                   {&remote.ConnectionError{Err: boom}, exitUsage, ""},
		"blocked":                {&blockedError{2}, exitBlocked, "mend what is listed"},
		"step":                   {&engine.StepError{Step: "s", Err: boom}, exitStopped, "kup apply --resume"},
		"gate":                   {failed(&engine.GateError{Gate: "etcd-healthy"}), exitStopped, "kup apply --resume"},
		"host lost in a step":    {failed(&remote.ConnectionError{Err: boom}), exitStopped, "kup apply --resume"},
		"host lost between":      {&begunError{err: &remote.ConnectionError{Err: boom}}, exitStopped, "kup apply --resume"},
		"anything between":       {&begunError{err: boom}, exitStopped, "kup apply --resume"},
		"artefact damaged":       {&step.DamagedError{}, exitStopped, "once the file is back"},
		"locked":                 {&kube.HeldError{Holder: "x"}, exitLocked, "kup status"},
		"locked here":            {&journal.BusyError{}, exitLocked, "kup status"},
		"fenced":                 {failed(&detached.FencedError{}), exitLocked, "kup status"},
		"lock lost":              {&begunError{err: &kube.LostLeaseError{}}, exitLocked, "kup status"},
		"lock lost and noticed":  {failed(&kube.LostLeaseError{}), exitLocked, "kup status"},
		"disk full":              {&begunError{err: fmt.Errorf("journal: %w", &journal.WriteError{Err: syscall.ENOSPC})}, exitStopped, "make room on this machine, then: kup apply --resume"},
		"disk full at the start": {&os.PathError{Err: syscall.ENOSPC}, exitUsage, "nothing was touched"},
		"window":                 {&begunError{err: &engine.WindowError{Step: "s"}}, exitStopped, "in the next window: kup apply --resume"},
		"two journals":           {&forkedError{a: &runRecord{}, b: &runRecord{}}, exitUsage, "put the wrong one aside"},
		"drift":                  {&begunError{err: &planner.DriftError{}}, exitDrifted, "kup plan"},
		"stopped":                {&begunError{err: engine.ErrStopped}, exitInterrupted, "--resume"},
		"interrupted":            {errInterrupted, exitInterrupted, "--resume"},
		"interrupted twice":      {&begunError{err: errAborted}, exitInterrupted, "--resume"},
		"cancelled":              {fmt.Errorf("list nodes: %w", context.Canceled), exitInterrupted, "--resume"},
		"rolled back, node":      {&rolledBackError{plan: &plan.Plan{Rollback: &plan.Rollback{Scope: plan.ScopeNode}, Hops: make([]plan.Hop, 1)}}, exitRolledBack, "kup apply --resume"},
		"rolled back, data":      {&rolledBackError{plan: &plan.Plan{Rollback: &plan.Rollback{Scope: plan.ScopeData}, Hops: make([]plan.Hop, 1)}}, exitRolledBack, "kup plan"},
		"rollback failed":        {&begunError{err: boom, back: true}, exitStopped, "kup rollback goes on"},
		"rollback interrupted":   {&begunError{err: engine.ErrStopped, back: true}, exitInterrupted, "kup rollback goes on"},
		"rollback drifted":       {&begunError{err: &planner.DriftError{}, back: true}, exitDrifted, "kup rollback goes on; or restore the snapshot instead: kup rollback --scope data; kup plan"},
		"no way back":            {&noWayError{}, exitBlocked, "ways back"},
		"a sealed way back":      {&noWayError{sealed: true}, exitBlocked, "--identity FILE"},
		"result not written too": {errors.Join(failed(boom), boom), exitStopped, "--resume"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{tc.err, fmt.Errorf("wrapped: %w", tc.err)} {
				code, hint := classify(err)
				if code != tc.code || !strings.Contains(hint, tc.hint) || (tc.hint == "") != (hint == "") {
					t.Errorf("classify(%v) = %d, %q; want %d, …%q…", err, code, hint, tc.code, tc.hint)
				}
			}
		})
	}
}

func TestExitSaysErrorAndHint(t *testing.T) {
	var out bytes.Buffer
	if code := exit(&out, nil); code != exitDone || out.Len() > 0 {
		t.Errorf("no error: %d, %q", code, &out)
	}
	if code := exit(&out, &usageError{err: errors.New("wrong"), hint: "mend it"}); code != exitUsage {
		t.Errorf("code %d", code)
	}
	if got, want := out.String(), "kup: wrong\nhint: mend it\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Errors carry what hosts wrote: they stay on one line and do not steer the terminal.
func TestExitKeepsErrorsOnOneLine(t *testing.T) {
	var out bytes.Buffer
	exit(&out, &usageError{err: errors.Join(errors.New("w-1: \x1b[2Jsudo failed"), errors.New("w-2: the same\r")), hint: "see\x07 there"})
	if got, want := out.String(), "kup: w-1:  [2Jsudo failed; w-2: the same\nhint: see  there\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What cancelled a run is what is told, not how its steps noticed.
func TestEnded(t *testing.T) {
	lost := &kube.LostLeaseError{Holder: "other"}
	aborted, abort := context.WithCancelCause(t.Context())
	abort(errAborted)
	robbed, rob := context.WithCancelCause(t.Context())
	rob(lost)
	killed := &engine.StepError{Step: "s", Err: errors.New("./lb: signal: killed")}
	for name, tc := range map[string]struct {
		ctx  context.Context
		err  error
		code int
		is   error
	}{
		"done":           {t.Context(), nil, exitDone, nil},
		"failed":         {t.Context(), killed, exitStopped, killed},
		"aborted":        {aborted, &engine.StepError{Err: context.Canceled}, exitInterrupted, errAborted},
		"aborted, plain": {aborted, errAborted, exitInterrupted, errAborted},
		"aborted, noisy": {aborted, killed, exitInterrupted, errAborted},
		"lock lost":      {robbed, &engine.StepError{Err: context.Canceled}, exitLocked, lost},
		"done in time":   {aborted, nil, exitDone, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := ended(tc.ctx, &runRecord{plan: &plan.Plan{}}, tc.err)
			code := exitDone
			if err != nil {
				code, _ = classify(err)
			}
			if code != tc.code || !errors.Is(err, tc.is) || (err != nil && strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v: %d, want %d and %v", err, code, tc.code, tc.is)
			}
		})
	}
}
