package remaster

import (
	"bytes"
	"path"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guestdir"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// guest is a guest on a disc.
type guest struct {
	name   string // its own, or its directory's
	dir    string // below boot.MediumGuests
	kind   string // of guest, for a person
	memory int64  // MiB
	vcpus  int64
	size   int64  // bytes that only this guest needs
	shared int64  // bytes that it has in common with others
	fault  string // why its configuration is of no use; "" when it is fine
}

// What xl takes where a configuration says nothing, and more than any machine has.
const (
	defaultMemory = 32 // MiB
	maxMemory     = 16 << 20
	maxVCPUs      = 8192
)

// Limits of what is kept of a guest whose configuration is hostile: bytes of a configuration (as package
// guests has it), and characters of a name or a fault.
const (
	maxConfig = 64 << 10
	maxWords  = 255
)

// guestsOf lists the guests of the disc, whose files have contents.
func guestsOf(disc *iso9660.Disc, contents []*iso9660.Content) []*guest {
	var list []*guest
	budget := disc.Size() // bytes of configurations: files can share extents, so that they say more than the disc
	used := map[*iso9660.Content]int{}
	for _, c := range contents {
		used[c]++
	}
	for i, f := range disc.Files {
		below, ok := strings.CutPrefix(f.Path, boot.MediumGuests+"/")
		dir, name, inside := strings.Cut(below, "/")
		if !ok || !inside {
			continue
		}
		if len(list) == 0 || list[len(list)-1].dir != dir { // files are sorted
			list = append(list, &guest{name: dir, dir: dir, fault: "there is no *.cfg in its directory"})
		}
		g := list[len(list)-1]
		if contents[i].IsTail() || used[contents[i]] > 1 {
			g.shared += f.Size
		} else {
			g.size += f.Size
		}
		if strings.EqualFold(path.Ext(name), ".cfg") && !strings.ContainsAny(name, "/") && name[0] != '.' {
			if budget -= f.Size; budget < 0 {
				g.fault = "the guests' configurations have more bytes than the disc"
				continue
			}
			g.fault = ""
			if err := g.configure(disc, f.Path); err != nil {
				g.fault = short(err.Error())
			}
		}
	}
	return list
}

// configure takes what a person wants to know from the configuration at a path of the disc.
func (g *guest) configure(disc *iso9660.Disc, name string) error {
	text, err := disc.ReadFile(name, maxConfig)
	if err != nil {
		return err
	}
	config, err := guests.Parse(name, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if value, ok, err := config.Text("name"); err != nil {
		return err
	} else if ok {
		g.name = short(value.Text)
	}
	g.kind = "PVH or PV" // what the machine can do
	for _, setting := range []string{"builder", "type"} {
		if value, ok, err := config.Text(setting); err != nil {
			return err
		} else if ok {
			g.kind = short(strings.ToUpper(value.Text))
		}
	}
	most, err := config.Int("maxmem", defaultMemory, 1, maxMemory)
	if err != nil {
		return err
	}
	if g.memory, err = config.Int("memory", most, 1, maxMemory); err != nil {
		return err
	}
	g.vcpus, err = config.Int("vcpus", 1, 0, maxVCPUs)
	return err
}

// short is a text of a configuration as far as a person reads it. It does not keep the rest in memory.
func short(text string) string {
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	return strings.Clone(text)
}

// present is what a disc's guests leave to others.
func present(list []*guest) guestdir.Present {
	p := guestdir.Present{Owner: "the disc", Remedy: "replace the disc's with -replace",
		Names: map[string]bool{}, Dirs: map[string]bool{}}
	for _, g := range list {
		p.Names[g.name], p.Dirs[g.dir] = true, true
	}
	return p
}
