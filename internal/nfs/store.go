package nfs

import (
	"cmp"
	"context"
	"errors"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/storage"
)

// Store is an export with guests, and what is done with them. All fields but Left and Timing must be set.
type Store struct {
	Source Source
	Kernel Kernel
	// Dir gets a directory for the mount. Left is the one that an init that has crashed has left mounted, "" for none.
	Dir, Left string
	// Start starts a guest of the store's, which nobody vouches for: NFS does not say who answers. Refuse tells of one
	// that cannot be read, and where the export is mounted.
	Start  func(context.Context, *guests.Guest)
	Refuse func(fault *guests.Error, root string)
	// Uses lists the guests that use a file below dir. It must not touch files.
	Uses   func(dir string) []string
	Tell   func(host.Remote)
	Timing Timing
}

// Timing holds the durations of this package. A zero field stands for its default; tests shorten them.
type Timing struct {
	FirstPause time.Duration // before the second try; it doubles with each try: 1 s
	MaxPause   time.Duration // between two tries: 30 s
	Grace      time.Duration // the network may still come up; failures are not reported: 10 s
	Look       time.Duration // between two looks whether the server answers: 10 s
	Patience   time.Duration // for an answer, until it is reported: 15 s
}

func (t Timing) orDefault() Timing {
	return Timing{
		FirstPause: cmp.Or(t.FirstPause, time.Second),
		MaxPause:   cmp.Or(t.MaxPause, 30*time.Second),
		Grace:      cmp.Or(t.Grace, 10*time.Second),
		Look:       cmp.Or(t.Look, 10*time.Second),
		Patience:   cmp.Or(t.Patience, 15*time.Second),
	}
}

// Run mounts the export as soon as that works, starts its guests, and watches the server until ctx ends. Where the
// server has another export in its place since, that is mounted. An error means that there is no place for the mount.
func (s Store) Run(ctx context.Context) error {
	s.Timing = s.Timing.orDefault()
	r := &run{Store: s, dir: s.Left, mounted: s.Left != "", began: time.Now(), known: map[string]bool{}}
	if !r.mounted {
		base := path.Base(s.Source.Path)
		var err error
		if r.dir, err = storage.Place(s.Dir, base, s.Source.Server+"-"+base, s.Source.Server); err != nil {
			return err
		}
	}
	for ctx.Err() == nil && r.persist(ctx, r.attach) {
		r.offer(ctx)
		r.watch(ctx)
	}
	return nil
}

// attach mounts the export and looks for guests in it.
func (r *run) attach(ctx context.Context) error {
	if !r.mounted {
		if err := r.mount(ctx); err != nil {
			return err
		}
		r.mounted = true
	}
	err := r.scan()
	if errors.Is(err, unix.ESTALE) {
		r.detach()
	}
	return err
}

// detach takes the mount away, as of an export that the server has no more. What is in use in it stays, and fails.
func (r *run) detach() {
	r.mounted = false
	if err := r.Kernel.Unmount(r.dir); err != nil {
		r.Tell(host.Remote{
			URL: r.Source.String(), State: host.RemoteLost, Mount: r.dir, Problem: err.Error(),
			Remedy: "unmount it by hand",
		})
	}
}

// offer starts guests, and refuses what is none, but those that were there before.
func (r *run) offer(ctx context.Context) {
	for _, fault := range r.faults {
		if !r.known[fault.Guest] {
			r.known[fault.Guest] = true
			r.Refuse(fault, r.dir)
		}
	}
	for _, g := range r.guests {
		if !r.known[g.Name] {
			r.known[g.Name] = true
			r.Start(ctx, g)
		}
	}
}

// run is the state of one Run.
type run struct {
	Store
	dir     string
	version string
	began   time.Time
	mounted bool
	known   map[string]bool // guests by name
	told    string          // the failure that was reported last
	guests  []*guests.Guest
	faults  []*guests.Error
}

// persist calls try until it succeeds, and says whether it has before ctx ended.
func (r *run) persist(ctx context.Context, try func(context.Context) error) bool {
	pause := r.Timing.FirstPause
	for {
		err := try(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		if said := err.Error(); said != r.told && time.Since(r.began) >= r.Timing.Grace {
			r.told = said
			r.Tell(host.Remote{URL: r.Source.String(), State: host.RemoteWaiting, Problem: said, Remedy: remedy(err)})
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		pause = min(2*pause, r.Timing.MaxPause)
	}
}

// mount mounts the export. The kernel may take minutes to give up, which nobody waits for once ctx ends.
func (r *run) mount(ctx context.Context) error {
	type answer struct {
		version string
		err     error
	}
	answers := make(chan answer, 1)
	guarded.Go(ctx, func() {
		version, err := r.Kernel.Mount(ctx, r.Source, r.dir)
		answers <- answer{version, err}
	})
	select {
	case a := <-answers:
		r.version = a.version
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// scan looks for guests. What the server did not answer is looked for once more.
func (r *run) scan() error {
	r.guests, r.faults = storage.Scan(r.dir, true)
	for _, fault := range r.faults {
		if isSilence(fault.Err) {
			return fault.Err
		}
	}
	if err := r.Kernel.Ask(r.dir); err != nil { // else a directory that cannot be read is one without guests
		return err
	}
	r.tellConnected()
	return nil
}

func (r *run) tellConnected() {
	var names []string
	for _, g := range r.guests {
		names = append(names, g.Name)
	}
	r.Tell(host.Remote{
		URL: r.Source.String(), State: host.RemoteConnected, Version: r.version, Mount: r.dir, Guests: names,
	})
}

// isSilence says of an error that it is the server that does not answer.
func isSilence(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, unix.ESTALE)
}

// watch asks the server from time to time, and tells when it stops answering and when it answers again. It returns when
// the server does not know what was mounted any more.
func (r *run) watch(ctx context.Context) {
	lost := false
	for {
		select {
		case <-time.After(r.Timing.Look):
		case <-ctx.Done():
			return
		}
		answer := make(chan error, 1)
		guarded.Go(ctx, func() { answer <- r.Kernel.Ask(r.dir) })
		var err error
		select {
		case err = <-answer:
		case <-time.After(r.Timing.Patience):
			r.isLost(&lost, errors.New("the server does not answer"))
			select {
			case err = <-answer:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
		switch {
		case errors.Is(err, unix.ESTALE):
			r.isLost(&lost, errors.New("the server has another export there now"))
			r.detach()
			return
		case err != nil:
			r.isLost(&lost, err)
		case lost:
			lost = false
			r.tellConnected()
		}
	}
}

// isLost tells, once, that the server does not answer.
func (r *run) isLost(lost *bool, err error) {
	if *lost {
		return
	}
	*lost = true
	r.told = ""
	r.Tell(host.Remote{
		URL: r.Source.String(), State: host.RemoteLost, Version: r.version, Mount: r.dir, Guests: r.Uses(r.dir),
		Problem: err.Error(),
		Remedy:  "until it answers their disks give I/O errors; look at the server and the network",
	})
}

// remedies are what to do about what goes wrong with a mount.
var remedies = []struct {
	err    error
	remedy string
}{
	{unix.EACCES, "export the directory to this machine's address"},
	{unix.EPERM, "export the directory to this machine's address; some servers want the option insecure for it"},
	{unix.ENOENT, "check the path: it is the server's, from its root"},
	{unix.ENOTDIR, "check the path: it is the server's, from its root"},
	{unix.ECONNREFUSED, "start the server, or write its port into the URL"},
	{unix.EPROTONOSUPPORT, "leave vers out of the URL: then the server's newest version is taken"},
	{unix.ENODEV, "this disc has no driver for it"},
	{unix.EINVAL, "check the options in the URL; see dmesg"},
}

func remedy(err error) string {
	for _, r := range remedies {
		if errors.Is(err, r.err) {
			return r.remedy
		}
	}
	return "check the server's name and the network; it is tried again"
}
