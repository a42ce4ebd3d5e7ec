package hotplug

import "slices"

// carried is where bytes of a disk are.
type carried struct {
	// mounted and held are the block devices that carry them, under a mount of dom0's and in a guest's hands.
	mounted, held []Number
	// readers are the block devices that have them too and write elsewhere (copy-on-write). origins are those that a
	// disk with copy-on-write reads from; originsMounted has no disks under file systems, whose mount is where a file
	// comes from.
	readers, origins, originsMounted []Number
}

// carriers finds out where bytes of m are: of a block device itself, all that it is made of and all that is made of it;
// of a file the loop devices that it backs, and all that is made of them. No guest may have the disk under the file's
// file system either, but a mount of that is where the file comes from.
func carriers(disks Disks, m Medium) (carried, error) {
	loops, err := disks.Loops()
	if err != nil {
		return carried{}, err
	}
	f := family{disks: disks, loops: loops}
	if m.Block {
		f.add(m.Number, f.below)
		f.add(m.Number, f.above)
		return f.carried(f.members), f.err
	}
	for _, loop := range loops {
		if f.same(loop.Backing, m) {
			f.add(loop.Number, f.above)
		}
	}
	mounted := slices.Clone(f.members)
	f.add(home(m), f.below)
	return f.carried(mounted), f.err
}

// family gathers the relatives of block devices. Brothers, as two partitions of a disk are, count as none.
type family struct {
	disks   Disks
	loops   []Loop
	members []Number
	readers []Number // the snapshots of members
	origins []Number // what members that are snapshots are made of
	err     error    // the first
}

// carried is what was gathered, with the relatives of readers and origins.
func (f *family) carried(mounted []Number) carried {
	c := carried{mounted: mounted, held: f.members}
	c.readers = f.others(f.readers, f.above)
	c.origins = f.others(f.origins, f.below)
	c.originsMounted = f.others(f.origins, f.belowButFiles)
	return c
}

// others are the devices in list and those that step leads to.
func (f *family) others(list []Number, step func(Number) []Number) []Number {
	other := family{disks: f.disks, loops: f.loops}
	for _, n := range list {
		other.add(n, step)
	}
	return other.members
}

// add adds n and those that step leads to, step by step.
func (f *family) add(n Number, step func(Number) []Number) {
	for seen, left := map[Number]bool{}, []Number{n}; len(left) > 0; left = left[1:] {
		if seen[left[0]] {
			continue
		}
		seen[left[0]] = true
		if !slices.Contains(f.members, left[0]) {
			f.members = append(f.members, left[0])
		}
		left = append(left, step(left[0])...)
	}
}

// below lists what n is made of.
func (f *family) below(n Number) []Number { return f.madeOf(n, true) }

// belowButFiles is below without what the files lie on that n is made of.
func (f *family) belowButFiles(n Number) []Number { return f.madeOf(n, false) }

func (f *family) madeOf(n Number, files bool) []Number {
	numbers := f.relatives(n).Below
	for _, loop := range f.loops {
		if loop.Number == n && (files || loop.Backing.Block) {
			numbers = append(numbers, home(loop.Backing))
		}
	}
	return numbers
}

// above lists what is made of n. A file in a file system on n is a part of n.
func (f *family) above(n Number) []Number {
	numbers := f.relatives(n).Above
	for _, loop := range f.loops {
		if home(loop.Backing) == n {
			numbers = append(numbers, loop.Number)
		}
	}
	return numbers
}

func (f *family) relatives(n Number) Relatives {
	r, err := f.disks.Relatives(n)
	if f.err == nil {
		f.err = err
	}
	f.readers = append(f.readers, r.Readers...)
	f.origins = append(f.origins, r.Origins...)
	return r
}

// home is the block device where m's bytes are.
func home(m Medium) Number {
	if m.Block {
		return m.Number
	}
	return numberOf(m.Device)
}

// same says whether two files are one. A file system may be mounted twice, once through a loop device over all
// of its block device: so the medium's ISO file is.
func (f *family) same(a, b Medium) bool {
	return !a.Block && !b.Block && a.Inode == b.Inode && f.origin(numberOf(a.Device)) == f.origin(numberOf(b.Device))
}

// origin looks through loop devices over whole block devices.
func (f *family) origin(n Number) Number {
	for range f.loops {
		at := slices.IndexFunc(f.loops, func(l Loop) bool { return l.Number == n && l.Backing.Block })
		if at < 0 {
			break
		}
		n = f.loops[at].Backing.Number
	}
	return n
}
