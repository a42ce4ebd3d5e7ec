package volumes

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/internal/devmapper"
	"github.com/zerodisc/zerodisc/internal/md"
)

// fakeDisk is a device of zeros with some pieces.
type fakeDisk struct {
	name   string
	size   int64
	pieces map[int64][]byte
}

func (d *fakeDisk) Size() int64  { return d.size }
func (d *fakeDisk) Close() error { return nil }

func (d *fakeDisk) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > d.size || int64(len(p)) > d.size-at {
		return 0, io.ErrUnexpectedEOF
	}
	clear(p)
	for start, piece := range d.pieces {
		from := max(at, start)
		if from < start+int64(len(piece)) && from < at+int64(len(p)) {
			copy(p[from-at:], piece[from-start:])
		}
	}
	return len(p), nil
}

// fixtures are the disks in the test data of the packages that read superblocks, by the names they have there.
func fixtures(t *testing.T) map[string]*fakeDisk {
	t.Helper()
	disks := map[string]*fakeDisk{}
	for _, name := range []string{"../md/testdata/superblocks.tar.gz", "../lvm/testdata/volumes.tar.gz"} {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(unzipped); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			name, numbers, _ := strings.Cut(header.Name, "@")
			var size, at int64
			if _, err := fmt.Sscanf(numbers, "%d@%d", &size, &at); err != nil {
				continue // no disk
			}
			if disks[name] == nil {
				disks[name] = &fakeDisk{name: name, size: size, pieces: map[int64][]byte{}}
			}
			if disks[name].pieces[at], err = io.ReadAll(archive); err != nil {
				t.Fatal(err)
			}
		}
	}
	return disks
}

// fakeKernel has disks and keeps what is made of them.
type fakeKernel struct {
	disks map[string]*fakeDisk // by paths
	loops map[string]string    // what each is of: "DISK" or "DISK+START+LENGTH"
	made  map[string]string    // tables and arrays by names, with loop devices written as what they are of
	paths map[string]string    // names by device
	busy  map[string]bool      // names
	fail  map[string]error     // names
	count int
	log   []string // what was done

	uuids   map[string]string // of tables, by names
	targets map[string][]devmapper.Target
	arrays  map[string]string // as describeArray has them
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{
		disks: map[string]*fakeDisk{}, loops: map[string]string{}, made: map[string]string{},
		paths: map[string]string{}, busy: map[string]bool{}, fail: map[string]error{}, uuids: map[string]string{},
		targets: map[string][]devmapper.Target{}, arrays: map[string]string{},
	}
}

func (k *fakeKernel) open(device string) (disk, error) {
	if d := k.disks[device]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("open %s: %w", device, os.ErrNotExist)
}

type fakeLoop struct {
	k    *fakeKernel
	name string
}

func (l fakeLoop) Name() string { return l.name }
func (l fakeLoop) Close() error { return nil }

func (k *fakeKernel) hold(d disk, offset, size uint64) (loop, error) {
	k.count++
	name := fmt.Sprintf("/dev/loop%d", k.count)
	k.loops[name] = d.(*fakeDisk).name
	if size > 0 {
		k.loops[name] += fmt.Sprintf("+%d+%d", offset/sector, size/sector)
	}
	return fakeLoop{k, name}, nil
}

// plain writes names for devices.
func (k *fakeKernel) plain(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if of, ok := k.loops[w]; ok {
			words[i] = of
		} else if name, ok := k.paths[w]; ok {
			words[i] = name
		}
	}
	return strings.Join(words, " ")
}

func (k *fakeKernel) make(device, name, content string) (string, error) {
	if err := k.fail[name]; err != nil {
		return "", err
	}
	if k.made[name] != "" {
		return "", fmt.Errorf("%s exists", name)
	}
	k.made[name], k.paths[device] = content, name
	k.log = append(k.log, "made "+name)
	return device, nil
}

func (k *fakeKernel) createTable(name, uuid string, targets []devmapper.Target) (string, error) {
	k.count++
	k.uuids[name], k.targets[name] = uuid, targets
	return k.make(fmt.Sprintf("/dev/dm-%d", k.count), name, k.table(targets))
}

// below is what linux.below is.
func (k *fakeKernel) below(device string) string {
	name, _, _ := strings.Cut(k.loops[device], "+")
	for path, d := range k.disks {
		if d.name == name {
			return path
		}
	}
	return device
}

// device is where something was made.
func (k *fakeKernel) device(name string) string {
	for device, made := range k.paths {
		if made == name && k.made[name] != "" {
			return device
		}
	}
	return ""
}

func (k *fakeKernel) leftTable(name string) (device, description string, err error) {
	var targets []devmapper.Target
	for _, t := range k.targets[name] {
		words := strings.Fields(t.Params)
		for i, w := range words {
			words[i] = k.below(w)
		}
		t.Params = strings.Join(words, " ")
		targets = append(targets, t)
	}
	return k.device(name), describeTable(k.uuids[name], targets), nil
}

func (k *fakeKernel) leftArray(name string) (device, description string, err error) {
	return k.device(name), k.arrays[name], nil
}

func (k *fakeKernel) table(targets []devmapper.Target) string {
	var lines []string
	for _, t := range targets {
		lines = append(lines, fmt.Sprint(t.Start, " ", t.Length, " ", t.Type, " ", k.plain(t.Params)))
	}
	return strings.Join(lines, "; ")
}

func (k *fakeKernel) loadTable(name string, targets []devmapper.Target) error {
	k.made[name] = k.table(targets)
	k.log = append(k.log, "changed "+name)
	return nil
}

func (k *fakeKernel) remove(name string) error {
	for _, content := range k.made {
		if k.busy[name] || slices.Contains(strings.Fields(content), name) {
			return errBusy
		}
	}
	delete(k.made, name)
	k.log = append(k.log, "removed "+name)
	return nil
}

func (k *fakeKernel) removeTable(name string) error { return k.remove(name) }

func (k *fakeKernel) startArray(name string, g md.Geometry, devices []string) (string, error) {
	var members, below []string
	for _, d := range devices {
		below = append(below, k.below(d))
		if d == "" {
			d = "-"
		}
		members = append(members, k.plain(d))
	}
	k.arrays[name] = describeArray(fmt.Sprint("raid", int(g.Level)), fmt.Sprint(g.Disks), below)
	return k.make("/dev/"+name, name, fmt.Sprint("level ", g.Level, " ", strings.Join(members, " ")))
}

func (k *fakeKernel) stopArray(device string) error { return k.remove(k.paths[device]) }

// bench is an assembler with a fake kernel and clock.
type bench struct {
	*Assembler
	t        *testing.T
	kernel   *fakeKernel
	fixtures map[string]*fakeDisk
	clock    time.Time
	due      []time.Time
	wakes    []func()
	lost     []string // names of what was told to be lost, since that was last looked at
	problems []string // since they were last looked at
	modules  []string
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, kernel: newFakeKernel(), fixtures: fixtures(t), clock: time.Unix(1e9, 0)}
	b.begin(false)
	return b
}

// begin has another assembler begin with what there is.
func (b *bench) begin(adopt bool) {
	b.due, b.wakes, b.problems, b.kernel.log = nil, nil, nil, nil
	b.Assembler = newAssembler(Config{
		Adopt:   adopt,
		Load:    func(module string) error { b.modules = append(b.modules, module); return nil },
		Lost:    func(device string) { b.lost = append(b.lost, b.kernel.paths[device]) },
		Problem: func(sentence string) { b.problems = append(b.problems, sentence) },
	}, b.kernel)
	b.now = func() time.Time { return b.clock }
	b.after = func(d time.Duration, f func()) {
		b.due, b.wakes = append(b.due, b.clock.Add(d)), append(b.wakes, f)
	}
}

// plug puts the fixture of a name at a path and tells of it.
func (b *bench) plug(path, fixture string) {
	b.t.Helper()
	if b.fixtures[fixture] == nil {
		b.t.Fatalf("no fixture %s", fixture)
	}
	b.kernel.disks[path] = b.fixtures[fixture]
	content := "linux_raid_member"
	if strings.HasPrefix(fixture, "pv") || strings.HasPrefix(fixture, "wrapped") {
		content = "LVM2_member"
	}
	b.found(path, content)
}

func (b *bench) pull(path string) {
	delete(b.kernel.disks, path)
	b.gone(path)
}

// wait lets time pass.
func (b *bench) wait(d time.Duration) {
	for end := b.clock.Add(d); ; {
		at := slices.IndexFunc(b.due, func(due time.Time) bool { return !due.After(end) })
		if at < 0 {
			b.clock = end
			return
		}
		wake := b.wakes[at]
		b.clock = b.due[at]
		b.due, b.wakes = slices.Delete(b.due, at, at+1), slices.Delete(b.wakes, at, at+1)
		wake()
	}
}

// volumes are the titles of what is there for others.
func (a *Assembler) volumes() []string {
	var titles []string
	for _, v := range a.active {
		if !v.hidden {
			titles = append(titles, v.title)
		}
	}
	return titles
}

// expectLost compares what was told to have lost its disks.
func (b *bench) expectLost(names string) {
	b.t.Helper()
	if got := strings.Join(b.lost, " "); got != names {
		b.t.Errorf("lost %q, want %q", got, names)
	}
	b.lost = nil
}

// expect compares what there is with what is wanted.
func (b *bench) expect(volumes string, problems ...string) {
	b.t.Helper()
	if got := strings.Join(b.volumes(), " "); got != volumes {
		b.t.Errorf("there is %q, want %q", got, volumes)
	}
	matches := len(b.problems) == len(problems)
	for i := range min(len(b.problems), len(problems)) {
		matches = matches && strings.Contains(b.problems[i], problems[i])
	}
	if !matches {
		b.t.Errorf("problems %q, want %q", b.problems, problems)
	}
	b.problems = nil
}

// expectMade compares a table or an array.
func (b *bench) expectMade(name, want string) {
	b.t.Helper()
	if got := b.kernel.made[name]; got != want {
		b.t.Errorf("%s is %q, want %q", name, got, want)
	}
}
