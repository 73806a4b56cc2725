package signal

import (
	"cmp"
	"slices"

	"example.org/turnpike/signal/wire"
)

// directory has the users who are online, sorted by name. It lies in blocks, so that a user comes and goes at the cost
// of one block, however many are there. Guarded by Server.mu. The zero directory is empty.
type directory struct{ blocks [][]*user } // no block is empty

const directoryBlock = 256 // users at most

func compareUsers(a, b wire.User) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.User, b.User))
}

// find returns the place of a user: where it is, or would be.
func (d *directory) find(key wire.User) (block, at int) {
	block, _ = slices.BinarySearchFunc(d.blocks, key, func(users []*user, key wire.User) int {
		if compareUsers(users[0].wire(), key) <= 0 {
			return -1
		}
		return 1
	})
	if block = max(block-1, 0); block == len(d.blocks) {
		return 0, 0
	}
	at, _ = slices.BinarySearchFunc(d.blocks[block], key, func(u *user, key wire.User) int { return compareUsers(u.wire(), key) })
	return block, at
}

func (d *directory) insert(u *user) {
	if len(d.blocks) == 0 {
		d.blocks = [][]*user{{u}}
		return
	}
	b, at := d.find(u.wire())
	users := slices.Insert(d.blocks[b], at, u)
	if d.blocks[b] = users; len(users) > directoryBlock {
		half := len(users) / 2
		d.blocks = slices.Insert(d.blocks, b+1, slices.Clone(users[half:]))
		clear(users[half:])
		d.blocks[b] = users[:half]
	}
}

// remove takes out a user that is there under its present name.
func (d *directory) remove(u *user) {
	b, at := d.find(u.wire())
	users := slices.Delete(d.blocks[b], at, at+1)
	switch d.blocks[b] = users; {
	case len(users) == 0:
		d.blocks = slices.Delete(d.blocks, b, b+1)
	case b+1 < len(d.blocks) && len(users)+len(d.blocks[b+1]) <= directoryBlock/2:
		d.blocks[b] = append(users, d.blocks[b+1]...)
		d.blocks = slices.Delete(d.blocks, b+1, b+2)
	}
}

// page lists up to n users after a place, without one of them. more reports whether others follow.
func (d *directory) page(after wire.User, n int, but *user) (list []*user, more bool) {
	b, at := d.find(after)
	for ; b < len(d.blocks); b, at = b+1, 0 {
		for _, u := range d.blocks[b][at:] {
			switch {
			case u == but || compareUsers(u.wire(), after) <= 0:
			case len(list) == n:
				return list, true
			default:
				list = append(list, u)
			}
		}
	}
	return list, false
}
