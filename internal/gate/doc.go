// Package gate answers what must hold before and after steps: one file for each
// subject, a sentence and an assertion for each gate. A gate answers holds, not
// yet, never (waiting is pointless) or cannot tell (the question failed), each
// with a reason that names the object.
//
// A gate is asked; it never waits, polls or retries. How long it must hold and
// how often it is asked is its policy, which package engine carries out. What it
// asks are interfaces declared here: the package knows no client of its own.
package gate
