package auth

import (
	"container/list"
	"slices"
	"time"
)

// lately has values by ID, and forgets each some time after its last change.
type lately[V any] struct {
	entries map[string]*latelyEntry[V]
	order   list.List         // Of *latelyEntry[V], by their last change.
	changed []*latelyEntry[V] // Not written yet, in the order of their first change.
	cursor  *list.Element     // Where walkSome goes on; nil: at its end.
}

type latelyEntry[V any] struct {
	id      string
	until   time.Time
	value   V
	place   *list.Element // Nil: forgotten.
	changed bool
	queued  bool // It is in the list of the changed.
}

func newLately[V any]() lately[V] { return lately[V]{entries: map[string]*latelyEntry[V]{}} }

func (l *lately[V]) get(id string, now time.Time) *V {
	if entry := l.entries[id]; entry != nil && entry.until.After(now) {
		return &entry.value
	}
	return nil
}

// at finds or makes the entry of an ID, which has changed last.
func (l *lately[V]) at(id string, until time.Time) *latelyEntry[V] {
	entry := l.entries[id]
	if entry == nil {
		if len(l.entries) >= maxEnded {
			l.drop(l.order.Front())
		}
		entry = &latelyEntry[V]{id: id}
		entry.place = l.order.PushBack(entry)
		l.entries[id] = entry
	}
	if until.After(entry.until) {
		entry.until = until
		l.passBy(entry.place)
		l.order.MoveToBack(entry.place)
	}
	return entry
}

func (l *lately[V]) change(id string, until time.Time, do func(*V)) {
	entry := l.at(id, until)
	do(&entry.value)
	l.mark(entry)
}

// merge is change for what the file says. all says that the file has it all.
func (l *lately[V]) merge(id string, until time.Time, do func(*V) (all bool)) {
	isNew := l.entries[id] == nil
	entry := l.at(id, until)
	all := do(&entry.value) && !entry.until.After(until)
	if all {
		entry.changed = false
	} else if isNew {
		l.mark(entry)
	}
}

func (l *lately[V]) mark(entry *latelyEntry[V]) {
	entry.changed = true
	if !entry.queued {
		if len(l.changed) >= 2*maxEnded { // Nothing can be written, and most of this is forgotten by now.
			l.changed = slices.DeleteFunc(l.changed, func(other *latelyEntry[V]) bool { return other.place == nil })
		}
		entry.queued = true
		l.changed = append(l.changed, entry)
	}
}

func (l *lately[V]) changedAgain(id string) {
	if entry := l.entries[id]; entry != nil {
		l.mark(entry)
	}
}

func (l *lately[V]) walkSome(most int, do func(*latelyEntry[V])) {
	for ; l.cursor != nil && most > 0; most-- {
		do(l.cursor.Value.(*latelyEntry[V]))
		l.cursor = l.cursor.Next()
	}
}

// passBy moves the cursor off an element that is about to go from its place.
func (l *lately[V]) passBy(place *list.Element) {
	if l.cursor == place {
		l.cursor = place.Next()
	}
}

func (l *lately[V]) takeChanged(most int) (some []*latelyEntry[V]) {
	for len(l.changed) > 0 && len(some) < most {
		entry := l.changed[0]
		l.changed[0] = nil
		l.changed = l.changed[1:]
		entry.queued = false
		if entry.changed && entry.place != nil {
			entry.changed = false
			some = append(some, entry)
		}
	}
	return some
}

func (l *lately[V]) forget(now time.Time, most int) (more bool) {
	for first := l.order.Front(); first != nil && !first.Value.(*latelyEntry[V]).until.After(now); first = l.order.Front() {
		if most--; most < 0 {
			return true
		}
		l.drop(first)
	}
	return false
}

func (l *lately[V]) drop(place *list.Element) {
	l.passBy(place)
	entry := l.order.Remove(place).(*latelyEntry[V])
	entry.place = nil
	delete(l.entries, entry.id)
}
