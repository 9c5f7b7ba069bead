package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kup-project/kup/internal/engine"
)

func TestHearsNamesNodeAndTitle(t *testing.T) {
	var heard []engine.Event
	p := testPlan(t)
	h := newHears(observerFunc(func(e engine.Event) { heard = append(heard, e) }), p)
	h.Note("1.34/prepare/snapshot", "half way")
	h.Note("no such step", "x")
	from := time.Unix(1, 0)
	h.Spent(engine.SpentEviction, from, from.Add(time.Second))
	if len(heard) != 3 || heard[0].Title != "snapshot" || heard[0].Text != "half way" || heard[1].Title != "" ||
		heard[2].Kind != engine.TimeSpent || heard[2].Text != engine.SpentEviction || heard[2].To.Sub(heard[2].From) != time.Second {
		t.Errorf("%+v", heard)
	}
}

type observerFunc func(engine.Event)

func (f observerFunc) Event(e engine.Event) { f(e) }

func TestDNSWithoutControlPlanesIsAnError(t *testing.T) {
	conn, err := dns{hosts: &hosts{}}.DialContext(t.Context(), "tcp", "192.0.2.1:53")
	if conn != nil || err == nil {
		t.Errorf("%v %v", conn, err)
	}
	if _, err := (&hosts{}).Host("w-1"); err == nil || !strings.Contains(err.Error(), "kup.yaml") || !errors.Is(err, errUnlisted) {
		t.Errorf("%v", err)
	}
}
