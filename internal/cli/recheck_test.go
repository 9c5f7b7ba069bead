package cli

import (
	"slices"
	"testing"
)

func TestUncheckedSincePlan(t *testing.T) {
	got := since([]string{"a could not be read", "b"}, []string{"b", "etcd could not be read", "b"})
	if want := []string{"etcd could not be read"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
