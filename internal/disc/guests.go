package disc

import (
	"context"

	"github.com/zerodisc/zerodisc/internal/guestdir"
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
