package devmapper

import (
	"fmt"
	"slices"
	"strings"
)

// Segment is a range of a volume by what it is made of. More than one area makes it striped.
type Segment struct {
	Sectors uint64 // 512 bytes each
	Chunk   uint64 // of a striped segment: sectors in a row on one area
	Areas   []Area
}

// Area is a range of a device, as long as its segment needs it.
type Area struct {
	Device string // a name that means something to whoever made the segment
	Start  uint64 // sectors
}

// Equal says whether both segments describe the same.
func (s Segment) Equal(other Segment) bool {
	return s.Sectors == other.Sectors && s.Chunk == other.Chunk && slices.Equal(s.Areas, other.Areas)
}

// Targets makes a table of segments that follow each other. path has the path of each area's device.
func Targets(segments []Segment, path func(device string) string) []Target {
	var targets []Target
	var start uint64
	for _, s := range segments {
		t := Target{Start: start, Length: s.Sectors, Type: "linear"}
		var params []string
		if len(s.Areas) > 1 {
			t.Type = "striped"
			params = append(params, fmt.Sprint(len(s.Areas)), fmt.Sprint(s.Chunk))
		}
		for _, area := range s.Areas {
			params = append(params, path(area.Device), fmt.Sprint(area.Start))
		}
		t.Params = strings.Join(params, " ")
		targets = append(targets, t)
		start += s.Sectors
	}
	return targets
}
