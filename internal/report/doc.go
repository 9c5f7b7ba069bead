// Package report turns data into what people and programs read: plans and
// findings into text, events into lines, a live view or JSON, and a finished run
// into a result with its time accounted for.
//
// It is a view: it decides nothing, asks nothing, and everything it shows is
// also in the plan, the events or the result. Results go to the writer it is
// given for results, progress to the one for progress.
package report
