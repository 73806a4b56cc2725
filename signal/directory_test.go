package signal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDirectory compares the directory with a sorted list while users come and go.
func TestDirectory(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var d directory
	var model []*user
	for step := range 20_000 {
		if coming := step < 5000 || step < 12_000 && random.IntN(2) == 0; coming || len(model) == 0 {
			u := &user{id: fmt.Sprint(step), name: fmt.Sprint("name ", random.IntN(3000))}
			at, _ := slices.BinarySearchFunc(model, u, func(a, b *user) int { return compareUsers(a.wire(), b.wire()) })
			model = slices.Insert(model, at, u)
			d.insert(u)
		} else {
			i := random.IntN(len(model))
			d.remove(model[i])
			model = slices.Delete(model, i, i+1)
		}
		if step%500 == 0 {
			checkDirectory(t, &d, model, random)
		}
	}
	for len(model) > 0 {
		d.remove(model[0])
		model = model[1:]
	}
	checkDirectory(t, &d, nil, random)
	if len(d.blocks) > 0 {
		t.Errorf("%d blocks are left", len(d.blocks))
	}
}

func checkDirectory(t *testing.T, d *directory, model []*user, random *rand.Rand) {
	t.Helper()
	all := slices.Concat(d.blocks...)
	if !slices.Equal(all, model) {
		t.Fatalf("has %d users, want %d in order", len(all), len(model))
	}
	if len(d.blocks) > 1+len(model)*8/directoryBlock+len(model)/2 {
		t.Fatalf("%d blocks for %d users", len(d.blocks), len(model))
	}
	if len(model) == 0 {
		return
	}
	i := random.IntN(len(model))
	but := model[min(i+3, len(model)-1)]
	got, more := d.page(model[i].wire(), 10, but)
	want := slices.DeleteFunc(slices.Clone(model[i+1:]), func(u *user) bool { return u == but })
	if first := want[:min(10, len(want))]; !slices.Equal(got, first) || more != (len(want) > 10) {
		t.Fatalf("a page after %d of %d has %d users, more %v", i, len(model), len(got), more)
	}
}
