package lvm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/md"
	"github.com/zerodisc/zerodisc/internal/printable"
)

// Volume is a block device to make. A plan has it after those that it is made of.
type Volume struct {
	Name     string // device mapper's, as LVM makes them: "vg-lv", with hyphens doubled; or an array's, "md_..."
	UUID     string // device mapper's: "LVM-" and both UUIDs; that of a hidden one is longer
	Title    string // "vg/lv"
	Hidden   bool   // only others are made of it
	Degraded bool   // something of the group is missing, and may only be late
	Segments []devmapper.Segment
	Array    *Array // in place of segments
}

// The devices in segments and arrays are IDs of physical volumes or names of volumes. No name can be an ID: it
// has a hyphen or an underscore.

// Array is a RAID array without superblocks.
type Array struct {
	md.Geometry
	Members []string // in their places, "" for one that is missing
}

// Plan works out the volumes of all groups whose metadata are on the physical volumes, and says what is wrong with
// those that it leaves out. The first group of a name gets it.
func Plan(pvs []*PV) (volumes []Volume, problems []string) {
	order, newest := groups(pvs)
	owners := map[string]string{}
	for _, id := range order {
		g := newest[id]
		title := "volume group " + g.name + ": "
		if owner := owners[g.name]; owner != "" {
			problems = append(problems, fmt.Sprintf("%sthere are two with that name; the one with UUID %s is left out",
				title, withHyphens(id)))
			continue
		}
		if g.refused != "" {
			problems = append(problems, title+g.refused)
			continue
		}
		owners[g.name] = id
		p := newPlanner(g, pvs)
		p.plan()
		volumes = append(volumes, p.volumes...)
		for _, text := range p.problems() {
			problems = append(problems, title+text)
		}
	}
	return volumes, problems
}

// groups finds the newest metadata of each group, in the order in which the groups are first seen.
func groups(pvs []*PV) (order []string, newest map[string]*group) {
	newest = map[string]*group{}
	for _, pv := range pvs {
		g := pv.group
		if g == nil {
			continue
		}
		old := newest[g.id]
		if old == nil {
			order = append(order, g.id)
		}
		if old == nil || g.seqno > old.seqno {
			newest[g.id] = g
		}
	}
	return order, newest
}

// planner works out one group.
type planner struct {
	group    *group
	present  map[string]*PV    // by the names that the metadata have for them
	absent   map[string]string // why others are not
	broken   map[string]string // why logical volumes cannot be as the metadata say
	done     map[string]outcome
	volumes  []Volume
	made     []string            // the logical volumes that volumes are, "" for an array in one
	left     map[string][]string // logical volumes that are left out, by reasons
	reasons  []string
	notes    []string
	degraded bool // of the volume being worked out
}

// outcome is what became of a logical volume.
type outcome struct {
	name   string
	height int // how many are above each other
	err    error
}

// maxHeight bounds volumes made of volumes: an array, its parts, what pvmove was moving.
const maxHeight = 4

func newPlanner(g *group, pvs []*PV) *planner {
	p := &planner{
		group: g, present: map[string]*PV{}, absent: map[string]string{}, done: map[string]outcome{},
		left: map[string][]string{},
	}
	for _, name := range g.order {
		physical := g.pvs[name]
		pv, why := find(pvs, physical, g.id)
		if why != "" {
			p.absent[name] = why
			continue
		}
		p.present[name] = pv
	}
	p.broken = g.overlaps()
	return p
}

// find looks for a physical volume of a group.
func find(pvs []*PV, physical physical, group string) (pv *PV, why string) {
	title := "physical volume " + withHyphens(physical.id)
	for _, candidate := range pvs {
		switch {
		case candidate.ID != physical.id, candidate.group != nil && candidate.group.id != group:
		case pv != nil:
			return nil, fmt.Sprintf("%s is on %s and on %s; disconnect the copy",
				title, printable.Line(pv.Device), printable.Line(candidate.Device))
		default:
			pv = candidate
		}
	}
	if pv == nil {
		if physical.device != "" {
			title += " (it was " + printable.Line(physical.device) + ")"
		}
		return nil, title + " is missing"
	}
	if physical.missing {
		return nil, title + " was away while others of the group changed"
	}
	return pv, ""
}

// plan works out all that a person would see.
func (p *planner) plan() {
	stores := map[string]bool{}
	for _, l := range p.group.lvs {
		for _, s := range l.segments {
			if s.kind == "snapshot" {
				stores[s.cow] = true
				p.leave("snapshots cannot be read without writing", s.cow)
			}
			if s.merging {
				p.broken[s.origin] = "a snapshot is being merged into it"
			}
		}
	}
	for _, l := range p.group.lvs {
		isSnapshot := len(l.segments) > 0 && l.segments[0].kind == "snapshot"
		if !l.visible || isSnapshot || stores[l.name] {
			continue
		}
		made := len(p.volumes)
		p.degraded = len(p.absent) > 0
		if result := p.logical(l.name, 0); result.err != nil {
			p.leave(result.err.Error(), l.name)
			p.forget(made)
		}
		for i := range p.volumes[made:] {
			p.volumes[made+i].Degraded = p.degraded
		}
	}
}

// leave notes that a logical volume is left out.
func (p *planner) leave(reason, name string) {
	if p.left[reason] == nil {
		p.reasons = append(p.reasons, reason)
	}
	p.left[reason] = append(p.left[reason], name)
}

// forget takes back the volumes after the first made ones: parts of one that cannot be.
func (p *planner) forget(made int) {
	for _, name := range p.made[made:] {
		delete(p.done, name)
	}
	p.volumes, p.made = p.volumes[:made], p.made[:made]
}

// problems lists what is wrong, one line for each reason, and as many lines as anyone would read.
func (p *planner) problems() []string {
	const most, mostLines = 6, 20
	lines := slices.Clone(p.notes)
	for _, reason := range p.reasons {
		names := p.left[reason]
		text := printable.Line(strings.Join(names[:min(len(names), most)], ", "))
		if len(names) > most {
			text += fmt.Sprintf(" and %d more", len(names)-most)
		}
		lines = append(lines, fmt.Sprintf("%s left out: %s", text, reason))
	}
	if more := len(lines) - mostLines; more > 0 {
		lines = append(lines[:mostLines], fmt.Sprintf("%d more things are wrong with it", more))
	}
	return lines
}

// logical works out a logical volume, after those that it is made of. depth is how many are being worked out above it.
func (p *planner) logical(name string, depth int) outcome {
	if result, ok := p.done[name]; ok {
		return result
	}
	l := p.group.byName[name]
	if l == nil {
		return outcome{err: fmt.Errorf("it is made of %.128q, which does not exist", name)}
	}
	p.done[name] = outcome{err: errors.New("it is made of itself")}
	result := p.build(l, depth)
	p.done[name] = result
	return result
}

func (p *planner) build(l *logical, depth int) outcome {
	if why := p.broken[l.name]; why != "" {
		return outcome{err: errors.New(why)}
	}
	v := Volume{
		Name: dmName(p.group.name, l.name), UUID: uuidPrefix + p.group.id + l.id,
		Title: p.group.name + "/" + l.name, Hidden: !l.visible,
	}
	if v.Hidden {
		v.UUID += "-part" // as LVM marks what is not for others
	}
	if len(v.Name) > maxName {
		return outcome{err: errors.New("its name is too long together with its group's")}
	}
	if len(l.segments) == 0 {
		return outcome{err: errors.New("it has no extents")}
	}
	height := 0
	for i := range l.segments {
		segment, below, err := p.segment(l, &l.segments[i], depth)
		if err != nil {
			return outcome{err: err}
		}
		v.Segments = append(v.Segments, segment)
		height = max(height, below)
	}
	if height++; height > maxHeight {
		return outcome{err: fmt.Errorf("more than %d volumes are made of each other", maxHeight)}
	}
	p.add(l.name, v)
	return outcome{name: v.Name, height: height}
}

func (p *planner) add(name string, v Volume) {
	p.volumes, p.made = append(p.volumes, v), append(p.made, name)
}

// IsPart says whether a device mapper's UUID is that of a part of a logical volume, which nobody should look into: it
// may have one of two stripes of a file system.
func IsPart(uuid string) bool { return IsVolume(uuid) && len(uuid) > len(uuidPrefix)+2*idSize }

// uuidPrefix is how LVM's UUIDs of devices begin.
const uuidPrefix = "LVM-"

// MayServe says of a physical volume that it may be a part of a volume with a device mapper's UUID. One that has its
// group's metadata serves no other group, also if a disk of that group has the same UUID.
func (p *PV) MayServe(uuid string) bool {
	return p.group == nil || strings.HasPrefix(uuid, uuidPrefix+p.group.id)
}

// IsVolume says whether a device mapper's UUID is that of a logical volume, or of a part of one.
func IsVolume(uuid string) bool { return strings.HasPrefix(uuid, uuidPrefix) }

// maxName is what device mapper has room for.
const maxName = 127

// dmName is the name that LVM gives to a device (dm_build_dm_name).
func dmName(group, volume string) string {
	double := func(s string) string { return strings.ReplaceAll(s, "-", "--") }
	return double(group) + "-" + double(volume)
}

// unreadable are kinds of segments that cannot be read, and why.
var unreadable = map[string]string{
	"thin":       "thin volumes cannot be read without writing to their pool's metadata",
	"thin-pool":  "it is a pool of thin volumes, which cannot be read without writing to its metadata",
	"cache":      "what was written last may only be in its cache",
	"writecache": "what was written last may only be in its cache",
	"vdo":        "volumes with deduplication (VDO) are not supported",
	"vdo-pool":   "volumes with deduplication (VDO) are not supported",
	"integrity":  "volumes with checksums (integrity) are not supported",
	"error":      "a part of it is lost",
}

// segment works out a segment of l, and how many volumes are above each other in it.
func (p *planner) segment(l *logical, s *segment, depth int) (devmapper.Segment, int, error) {
	var height int
	var err error
	result := devmapper.Segment{Sectors: s.count * p.group.extent}
	geometry, isArray := arrays[s.kind]
	switch {
	case s.kind == "striped", s.kind == "linear":
		result.Chunk = s.chunk
		result.Areas, height, err = p.areas(s.areas, s.count, depth)
	case s.kind == "mirror": // the first copy is the one that is always up to date
		result.Areas, height, err = p.areas(s.areas[:min(len(s.areas), 1)], s.count, depth)
	case s.kind == "raid0", s.kind == "raid0_meta":
		result.Chunk = s.chunk
		result.Areas, height, err = p.areas(s.areas, s.count, depth)
	case isArray:
		result.Areas, height, err = p.array(l, s, geometry, depth)
	case unreadable[s.kind] != "":
		err = errors.New(unreadable[s.kind])
	default:
		err = fmt.Errorf("volumes of kind %.40q are not supported", s.kind)
	}
	if err != nil {
		return result, 0, err
	}
	return result, height, checkStripes(result)
}

// checkStripes refuses what the striped target would.
func checkStripes(s devmapper.Segment) error {
	n := uint64(len(s.Areas))
	if n > 1 && (s.Chunk == 0 || s.Sectors/n%s.Chunk != 0) {
		return fmt.Errorf("%d sectors cannot be striped over %d areas by %d", s.Sectors, n, s.Chunk)
	}
	return nil
}

// areas finds the devices of a segment's areas, which have count extents together.
func (p *planner) areas(list []area, count uint64, depth int) (areas []devmapper.Area, height int, err error) {
	if len(list) == 0 || count%uint64(len(list)) != 0 {
		return nil, 0, fmt.Errorf("%d extents are made of %d areas", count, len(list))
	}
	count /= uint64(len(list))
	for _, a := range list {
		found, below, err := p.area(a, count, depth)
		if err != nil {
			return nil, 0, err
		}
		areas, height = append(areas, found), max(height, below)
	}
	return areas, height, nil
}

// area finds the device of an area of count extents.
func (p *planner) area(a area, count uint64, depth int) (devmapper.Area, int, error) {
	if physical, ok := p.group.pvs[a.name]; ok && !a.part {
		found, err := p.physical(a, physical, count)
		return found, 0, err
	}
	if depth >= maxHeight {
		return devmapper.Area{}, 0, fmt.Errorf("more than %d volumes are made of each other", maxHeight)
	}
	result := p.logical(a.name, depth+1)
	if result.err != nil {
		return devmapper.Area{}, 0, result.err
	}
	if a.extent+count > p.group.byName[a.name].extents() {
		return devmapper.Area{}, 0, fmt.Errorf("it goes beyond the end of %s", a.name)
	}
	return devmapper.Area{Device: result.name, Start: a.extent * p.group.extent}, result.height, nil
}

// physical finds an area on a physical volume.
func (p *planner) physical(a area, physical physical, count uint64) (devmapper.Area, error) {
	pv := p.present[a.name]
	if pv == nil {
		return devmapper.Area{}, errors.New(p.absent[a.name])
	}
	start := physical.start + a.extent*p.group.extent
	if a.extent+count > physical.count {
		return devmapper.Area{}, fmt.Errorf("it goes beyond the last extent of physical volume %s",
			withHyphens(physical.id))
	}
	if start+count*p.group.extent > pv.sectors {
		return devmapper.Area{}, fmt.Errorf("it goes beyond the end of %s; has that been cut off?",
			printable.Line(pv.Device))
	}
	return devmapper.Area{Device: pv.ID, Start: start}, nil
}

// extents is the size of a logical volume.
func (l *logical) extents() uint64 {
	last := l.segments[len(l.segments)-1] // no volume without one is ever worked out
	return last.start + last.count
}
