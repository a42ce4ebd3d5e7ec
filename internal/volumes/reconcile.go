package volumes

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/md"
)

// active is a node that was made.
type active struct {
	*node
	device string
	from   []*member // whose parts its sources are; nil for a node, or one that is missing
	below  []string  // devices of the nodes that it is made of
	height int       // arrays made of arrays
	lost   bool      // its disks have gone, and this was told
}

// reconcile takes down what is not to be any more, makes what is, and tells what is wrong.
func (a *Assembler) reconcile() {
	nodes, wrong := a.plan()
	hurry := a.changed.Add(patience).Sub(a.now())
	patient := hurry <= 0
	if !patient && (len(wrong) > 0 || slices.ContainsFunc(nodes, func(n *node) bool { return n.degraded })) {
		a.wake(hurry)
	}
	wanted := map[string]*node{}
	for _, n := range nodes {
		wanted[n.name] = n
	}
	problems := a.takeDown(wanted)
	problems = append(problems, a.make(nodes, patient)...)
	for _, why := range a.refused {
		problems = append(problems, why)
	}
	a.tell(problems, wrong, patient)
}

// tell reports problems that are new. What a plan finds wrong may be right with the next disk.
func (a *Assembler) tell(problems, wrong []string, patient bool) {
	slices.Sort(problems)
	if patient {
		problems = append(problems, wrong...)
	}
	told := map[string]bool{}
	for _, p := range problems {
		if !a.told[p] && !told[p] {
			a.config.Problem(p)
		}
		told[p] = true
	}
	for _, p := range wrong {
		told[p] = told[p] || a.told[p]
	}
	a.told = told
}

// wake has a look taken after a while, or before if one is due then.
func (a *Assembler) wake(after time.Duration) {
	due := a.now().Add(after)
	if !a.due.IsZero() && !due.Before(a.due) {
		return
	}
	a.due = due
	a.after(after, func() {
		if !a.due.Equal(due) {
			return // there was one before
		}
		a.due, a.busy = time.Time{}, min(2*a.busy, maxBusyPause)
		a.reconcile()
	})
}

// takeDown removes what is not wanted any more, or not like this, the last made first. What is in use stays until it
// is not.
func (a *Assembler) takeDown(wanted map[string]*node) (problems []string) {
	for i := len(a.active) - 1; i >= 0; i-- {
		v := a.active[i]
		want := wanted[v.name]
		if a.keeps(v, want) {
			v.lost = false
			continue
		}
		if want == nil && !v.hidden && !v.lost {
			v.lost = true
			a.config.Lost(v.device)
		}
		if a.used(v) {
			if want != nil {
				problems = append(problems, v.title+" goes on without disks that came later")
			}
			continue
		}
		err := a.remove(v)
		switch {
		case err == nil:
			a.active = slices.Delete(a.active, i, i+1)
			a.drop(v.device) // what is on it has gone with it
		case !errors.Is(err, errBusy):
			problems = append(problems, sentence(err))
		default:
			a.wake(a.busy)
			if want != nil && !v.hidden {
				problems = append(problems, v.title+" is in use; disks that came later are taken in when it is not")
			}
		}
	}
	return problems
}

func (a *Assembler) remove(v *active) error {
	if m := a.member(v.device); m != nil {
		m.release()
	}
	if v.array != nil {
		return a.kernel.stopArray(v.device)
	}
	return a.kernel.removeTable(v.name)
}

// used says whether other nodes are made of one.
func (a *Assembler) used(v *active) bool {
	return slices.ContainsFunc(a.active, func(other *active) bool { return slices.Contains(other.below, v.device) })
}

// keeps says whether what is there can stay for what is wanted. A table can be changed while it is in use if only its
// loop devices are others; an array goes on with fewer members.
func (a *Assembler) keeps(v *active, wanted *node) bool {
	if wanted == nil || v.uuid != wanted.uuid || (v.array == nil) != (wanted.array == nil) {
		return false
	}
	if v.array == nil {
		return slices.EqualFunc(v.segments, wanted.segments, devmapper.Segment.Equal)
	}
	if *v.array != *wanted.array {
		return false
	}
	for i, slot := range wanted.slots {
		if slot.Device != "" && (slot != v.slots[i] || a.source(slot.Device, v.uuid) != v.from[i]) {
			return false
		}
	}
	return true
}

// source finds the member that a node is made of, by the node's UUID; nil where that is another node.
func (a *Assembler) source(name, uuid string) *member {
	for _, m := range a.members {
		if m.device == name || m.pv != nil && m.pv.ID == name && m.pv.MayServe(uuid) {
			return m
		}
	}
	return nil
}

// make makes what is wanted and not there, and says what failed.
func (a *Assembler) make(nodes []*node, patient bool) (problems []string) {
	tooMany := ""
	for _, n := range nodes {
		at := slices.IndexFunc(a.active, func(v *active) bool { return v.name == n.name })
		var err error
		switch {
		case at >= 0:
			err = a.refresh(a.active[at], n)
		case n.degraded && !patient:
		case len(a.active) >= maxActive:
			tooMany = cmp.Or(tooMany, n.title)
		case a.ready(n):
			err = a.add(n)
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s cannot be made: %s", n.title, sentence(err)))
		}
	}
	if tooMany != "" {
		problems = append(problems, fmt.Sprintf("%s and what follows it are left out: %d volumes are there already",
			tooMany, maxActive))
	}
	return problems
}

// ready says whether the nodes that n is made of are there: one of them may have failed, and is told of.
func (a *Assembler) ready(n *node) bool {
	for _, s := range n.sources() {
		if s.Device != "" && a.source(s.Device, n.uuid) == nil && a.named(s.Device) == nil {
			return false
		}
	}
	return true
}

func (a *Assembler) named(name string) *active {
	for _, v := range a.active {
		if v.name == name {
			return v
		}
	}
	return nil
}

func (a *Assembler) owner(device string) *active {
	for _, v := range a.active {
		if v.device == device {
			return v
		}
	}
	return nil
}

// add makes a node.
func (a *Assembler) add(n *node) error {
	module := devmapper.Module
	if n.array != nil {
		module = md.Module
	}
	if err := a.load(module); err != nil {
		return err
	}
	v := &active{node: n}
	if adopted, err := a.adopt(v); adopted || err != nil {
		return err
	}
	paths, err := a.resolve(v, holdPart)
	if err != nil {
		return err
	}
	if n.array != nil {
		v.device, err = a.kernel.startArray(n.name, *n.array, paths)
	} else {
		v.device, err = a.kernel.createTable(n.name, n.uuid, v.targets(paths))
	}
	if err != nil {
		return err
	}
	a.active = append(a.active, v)
	return nil
}

// load has a driver loaded once.
func (a *Assembler) load(module string) error {
	if a.loaded[module] {
		return nil
	}
	if err := a.config.Load(module); err != nil {
		return err
	}
	a.loaded[module] = true
	return nil
}

// holdPart is the device that has a part of a member and refuses writes.
func holdPart(m *member, part md.Slot) (string, error) { return m.hold(part.Start, part.Length) }

// resolve finds the paths of what v is made of, in the order of its sources, and notes where they come from. That of a
// part of a member is what pathOf says.
func (a *Assembler) resolve(v *active, pathOf func(*member, md.Slot) (string, error)) (paths []string, err error) {
	v.from, v.below, v.height = nil, nil, 0
	for _, s := range v.sources() {
		m := a.source(s.Device, v.uuid)
		path := ""
		switch below := a.named(s.Device); {
		case s.Device == "":
		case m != nil:
			if path, err = pathOf(m, s); err != nil {
				return nil, err
			}
			if owner := a.owner(m.device); owner != nil {
				v.below, v.height = append(v.below, owner.device), max(v.height, owner.height+1)
			}
		case below != nil:
			path = below.device
			v.below = append(v.below, path)
		}
		v.from, paths = append(v.from, m), append(paths, path)
	}
	return paths, nil
}

// targets is a table with the paths of its sources.
func (v *active) targets(paths []string) []devmapper.Target {
	i := -1
	return devmapper.Targets(v.segments, func(string) string {
		i++
		return paths[i]
	})
}

// refresh gives a table the loop devices of disks that have come back.
func (a *Assembler) refresh(v *active, wanted *node) error {
	if v.array != nil || !a.keeps(v, wanted) {
		return nil
	}
	var from []*member
	for _, s := range v.sources() {
		from = append(from, a.source(s.Device, v.uuid))
	}
	if slices.Equal(from, v.from) {
		return nil
	}
	paths, err := a.resolve(v, holdPart)
	if err != nil {
		return err
	}
	err = a.kernel.loadTable(v.name, v.targets(paths))
	if err != nil {
		v.from = nil // it is tried again
	}
	return err
}
