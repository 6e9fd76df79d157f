package store

import (
	"cmp"
	"math"

	"github.com/tidwall/btree"
)

// dueItem says that a key, known by the first part of its hash, is due.
type dueItem struct {
	due  int64
	hash uint64
}

func (a dueItem) before(b dueItem) bool {
	return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.hash, b.hash)) < 0
}

// dueIndex holds keys in the order in which they are due.
type dueIndex struct{ tree *btree.BTreeG[dueItem] }

func newDueIndex() dueIndex {
	return dueIndex{btree.NewBTreeGOptions(dueItem.before, btree.Options{NoLocks: true})}
}

func (d dueIndex) add(due int64, hash uint64) {
	if due != 0 {
		d.tree.Set(dueItem{due, hash})
	}
}

func (d dueIndex) drop(due int64, hash uint64) {
	if due != 0 {
		d.tree.Delete(dueItem{due, hash})
	}
}

// next appends up to cap(items) items that follow after.
func (d dueIndex) next(items []dueItem, after dueItem) []dueItem {
	d.tree.Ascend(after, func(it dueItem) bool {
		if it != after {
			items = append(items, it)
		}
		return len(items) < cap(items)
	})
	return items
}

// beforeDue is an item before all that are due at from or later.
func beforeDue(from int64) dueItem {
	if from == math.MinInt64 {
		return dueItem{math.MinInt64, 0}
	}
	return dueItem{from - 1, math.MaxUint64}
}
