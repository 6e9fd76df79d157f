package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// checkOffsets compares what was decided with the offsets that were committed: each record is decided in the transaction
// whose commit moves the group's offset over it, and below that offset nothing is left out.
func (c *checker) checkOffsets() {
	for _, at := range c.sortedCommits() {
		list := c.commits[at]
		for i := 1; i < len(list); i++ {
			if list[i].offset < list[i-1].offset {
				c.found(Apart, "a committed offset went back", fmt.Sprintf("%s from %d to %d", at, list[i-1].offset, list[i].offset))
			}
		}
	}
	for _, topic := range inputs {
		for partition := range c.partitions(topic) {
			at := partitionOf{topic, partition}
			list := c.commits[groupPlace{c.groups.Reconciler, at}]
			for _, offset := range c.inputs[at] {
				c.checkInput(place{topic, partition, offset}, list)
			}
		}
	}
	known := make(map[place]bool)
	for at, offsets := range c.inputs {
		for _, o := range offsets {
			known[place{at.topic, at.partition, o}] = true
		}
	}
	for input := range c.decided {
		if !known[input] && slices.Contains(inputs, input.topic) {
			c.found(Visible, "a record was decided that no reader of committed records sees", input.String())
		}
	}
}

// checkInput looks for the commit that moves over a record, the first one past it.
func (c *checker) checkInput(input place, list []commit) {
	t, decided := c.decided[input]
	i := sort.Search(len(list), func(i int) bool { return list[i].offset > input.offset })
	moved := i < len(list)
	switch {
	case !decided && moved:
		c.found(Lost, "the group's offset moved over a record that was not decided", input.String()+" by "+list[i].txn.String())
	case decided && !moved:
		c.found(Apart, "a record was decided and the group's offset did not move over it", input.String()+" by "+t.String())
	case decided && list[i].txn != t:
		c.found(Apart, "a record was decided in another transaction than the one that moved the group's offset over it", input.String()+" by "+t.String()+", moved by "+list[i].txn.String())
	}
}

// partitions are those of a topic in which anything is committed.
func (c *checker) partitions(topic string) map[int32]bool {
	out := make(map[int32]bool)
	for at := range c.inputs {
		if at.topic == topic {
			out[at.partition] = true
		}
	}
	return out
}

func (c *checker) sortedCommits() []groupPlace {
	out := make([]groupPlace, 0, len(c.commits))
	for at := range c.commits {
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b groupPlace) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return out
}
