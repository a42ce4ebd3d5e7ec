package disc

import (
	"context"
	"io/fs"

	"github.com/zerodisc/zerodisc/internal/guestdir"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// checkGuests refuses a disc with guests that no machine could start, or that take a place of the
// demo's, naming every one of them.
func (b *builder) checkGuests(context.Context) error {
	demo := guestdir.Present{Owner: "the demo", Names: map[string]bool{}, Dirs: map[string]bool{}}
	for _, name := range demoGuests {
		demo.Names[name], demo.Dirs[name] = true, true
	}
	_, err := guestdir.Check(b.Guests, demo)
	return err
}

// guestFiles lists the files of the guests in a directory of this machine: a guest directory (one
// with a *.cfg), or a store of them.
func guestFiles(dir string) ([]iso9660.File, error) { return guestdir.Files(dir) }

// fileContent is the content of a file of this machine.
func fileContent(name string) (*iso9660.Content, fs.FileInfo, error) { return iso9660.FromFile(name) }
