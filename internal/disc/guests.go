package disc

import (
	"os"
	"path"
	"path/filepath"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/guestdir"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// demoGuests are the guests of every disc, directories of this module.
var demoGuests = []string{"tty1", "tty2"}

// guestImage is the name under which a demo guest's configuration finds its initrd.
const guestImage = "initrd.img"

// takeGuests reads the guests in dirs, and refuses those that no machine could start, or that take a place of the
// demo's, naming every one of them.
func takeGuests(dirs []string) (*guestdir.Taken, error) {
	demo := guestdir.Present{Owner: "the demo", Names: map[string]bool{}, Dirs: map[string]bool{}}
	for _, name := range demoGuests {
		demo.Names[name], demo.Dirs[name] = true, true
	}
	return guestdir.Take(dirs, demo)
}

// demoFiles are the files of the demo guests in the sources, and their initrd.
func demoFiles(source string, image *iso9660.Content) ([]iso9660.File, error) {
	var files []iso9660.File
	for _, name := range demoGuests {
		dir := filepath.Join(source, "guests", name)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			content, _, err := iso9660.FromFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			files = append(files, iso9660.File{Path: path.Join(boot.MediumGuests, name, e.Name()), Content: content})
		}
		files = append(files, iso9660.File{Path: path.Join(boot.MediumGuests, name, guestImage), Content: image})
	}
	return files, nil
}
