package e2e

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
)

// Difference is one field of one object that is not as it was.
type Difference struct {
	Key
	Path          string // empty: the object as a whole
	Before, After string
}

func (d Difference) String() string {
	if d.Path == "" {
		return fmt.Sprintf("%s: %s -> %s", d.Key, d.Before, d.After)
	}
	return fmt.Sprintf("%s: %s: %s -> %s", d.Key, d.Path, d.Before, d.After)
}

// Comparison is what Compare found.
type Comparison struct {
	// Before and After are how many objects there were, kinds and objects that
	// are ignored as a whole left out; Compared is how many were in both and
	// were compared field by field.
	Before, After, Compared int
	Differences             []Difference
	// Ignored counts differences by the index of the rule that covers them.
	Ignored []int
}

// Objects is how many different objects the differences are in.
func (c Comparison) Objects() int {
	keys := map[Key]bool{}
	for _, d := range c.Differences {
		keys[d.Key] = true
	}
	return len(keys)
}

const (
	absent  = "absent"
	present = "present"
)

// Compare holds two snapshots against each other and sorts every difference
// that no rule covers.
func Compare(before, after map[Key]map[string]any, rules []Rule) Comparison {
	c := Comparison{Before: len(before), After: len(after), Ignored: make([]int, len(rules))}
	for key, old := range before {
		now, stays := after[key]
		replaced := !stays || uid(old) != uid(now)
		c.one(key, old, now, replaced, rules)
	}
	for key, now := range after {
		if _, was := before[key]; !was {
			c.one(key, nil, now, true, rules)
		}
	}
	sort.Slice(c.Differences, func(i, j int) bool { return c.Differences[i].String() < c.Differences[j].String() })
	return c
}

func (c *Comparison) one(key Key, old, now map[string]any, replaced bool, rules []Rule) {
	var mine []int
	state := old
	if state == nil {
		state = now
	}
	whole := -1
	for i := range rules {
		if !rules[i].covers(key, state, replaced) {
			continue
		}
		if len(rules[i].paths) == 0 {
			whole = i
			break
		}
		mine = append(mine, i)
	}
	if whole >= 0 {
		if !rules[whole].Replaced {
			c.count(old, now, -1)
		}
		if !reflect.DeepEqual(old, now) {
			c.Ignored[whole]++
		}
		return
	}
	if old == nil || now == nil {
		c.Differences = append(c.Differences, Difference{Key: key, Before: presence(old), After: presence(now)})
		return
	}
	c.Compared++
	c.walk(key, nil, old, now, rules, mine)
}

// count takes an object into account, or out of it.
func (c *Comparison) count(old, now map[string]any, by int) {
	if old != nil {
		c.Before += by
	}
	if now != nil {
		c.After += by
	}
}

func (c *Comparison) walk(key Key, path []string, old, now any, rules []Rule, mine []int) {
	for _, i := range mine {
		if rules[i].matches(path) && (!rules[i].AnyOrder || reordered(old, now)) {
			if !reflect.DeepEqual(old, now) {
				c.Ignored[i]++
			}
			return
		}
	}
	oldMap, ok1 := old.(map[string]any)
	nowMap, ok2 := now.(map[string]any)
	if (ok1 || old == nil) && (ok2 || now == nil) && (ok1 || ok2) {
		for _, k := range unionKeys(oldMap, nowMap) {
			c.walk(key, append(path[:len(path):len(path)], k), oldMap[k], nowMap[k], rules, mine)
		}
		return
	}
	oldList, ok1 := old.([]any)
	nowList, ok2 := now.([]any)
	if ok1 && ok2 && len(oldList) == len(nowList) {
		for i := range oldList {
			c.walk(key, append(path[:len(path):len(path)], strconv.Itoa(i)), oldList[i], nowList[i], rules, mine)
		}
		return
	}
	if !reflect.DeepEqual(old, now) {
		c.Differences = append(c.Differences, Difference{Key: key, Path: joinPath(path), Before: show(old), After: show(now)})
	}
}

// reordered tells whether two lists hold the same.
func reordered(old, now any) bool {
	a, ok := old.([]any)
	b, ok2 := now.([]any)
	if !ok || !ok2 || len(a) != len(b) {
		return false
	}
	left := slices.Clone(b)
	for _, want := range a {
		i := slices.IndexFunc(left, func(v any) bool { return reflect.DeepEqual(v, want) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

func presence(o map[string]any) string {
	if o == nil {
		return absent
	}
	return present
}

func show(v any) string {
	const most = 120
	if v == nil {
		return absent
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(raw) > most {
		return string(raw[:most]) + "…"
	}
	return string(raw)
}

func uid(o map[string]any) string {
	m, _ := o["metadata"].(map[string]any)
	s, _ := m["uid"].(string)
	return s
}

func unionKeys(a, b map[string]any) []string {
	var out []string
	for k := range a {
		out = append(out, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}
