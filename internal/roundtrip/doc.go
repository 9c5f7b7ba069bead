// Package roundtrip tells what an object of a newer API server loses when an API
// server of the minor before reads it and writes it back: fields that it does not
// know, values that it refuses, resources that it does not serve.
//
// It is pure: both sides come in as data (cluster.API), objects as what JSON decodes
// to. What it cannot judge it says. Status, managedFields, and values that are zero or
// the default are no loss: nobody chose them, or somebody writes them again.
package roundtrip
