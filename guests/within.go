package guests

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// Within is an error where a path leads out of root by symbolic links. On the machine where a link was made it led to
// another place than here: whoever made it did not mean dom0's own files. What is not there is fs.ErrNotExist.
func Within(root, path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	realRoot, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(realRoot, real)
	switch {
	case err != nil || !filepath.IsLocal(rel):
		return fmt.Errorf("it is a symbolic link that leads out of the volume, to %s", printable.Line(real))
	case real != printable.Line(real): // Linux' file systems put names into messages on the console as they are
		return errors.New("its name has a character that cannot be printed")
	}
	return nil
}

// within refuses a file in the guest's directory that is a link out of its volume.
func (r *resolver) within(what string, pos Pos, path string) error {
	if r.guest.Root == "" {
		return nil
	}
	err := Within(r.guest.Root, path)
	if err == nil || errors.Is(err, fs.ErrNotExist) { // what is missing is for the caller to say
		return nil
	}
	return r.config().errorf(pos, "put the file itself there, or write in the configuration where it is",
		"%s cannot be used: %v", what, err)
}
