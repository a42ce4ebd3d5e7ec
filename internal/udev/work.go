package udev

import (
	"context"
	"errors"
	"path"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/guarded"
	"github.com/zerodisc/zerodisc/internal/uevent"
)

// job is the work on one event.
type job struct {
	event  uevent.Event
	done   func(uevent.Event)
	number int  // in the order of arrival
	ended  bool // subscribers have heard of it

	began time.Time // of one that had time
}

// answer is what has come of a job.
type answer struct {
	job     *job
	said    description
	told    *Answer // by the device, if it was asked
	disk    *record // of a partition, as it was when the job began
	waiting bool    // the device was asked and is silent: said is what could be found out without it
}

// state is what Run's goroutine owns.
type state struct {
	Config
	stop     context.Context
	answers  chan answer
	records  *records
	links    *links
	database *database

	queues  map[string][]*job   // jobs by device, in order; the first may be under way
	waiting map[string][]string // partitions that wait for the jobs of their disk
	ready   []string            // devices whose first job can begin
	later   []string            // and those that have time
	idle    bool                // there is time for them
	pause   <-chan time.Time    // until the next of them; nil for none
	running int                 // jobs under way, but for devices that are silent
	number  int                 // of the newest job

	silent   map[string]int                // devices that were asked in vain so far, with the job's number
	report   map[string]func(uevent.Event) // whom to tell of later changes, by device
	sequence uint64                        // of the newest event
}

func newState(ctx context.Context, config Config) *state {
	return &state{
		Config: config, stop: ctx, answers: make(chan answer),
		records: newRecords(), links: newLinks(config.Dev), database: newDatabase(config.Run),
		queues: map[string][]*job{}, waiting: map[string][]string{},
		silent: map[string]int{}, report: map[string]func(uevent.Event){},
	}
}

// diskOf is the device of the disk that a partition is on, "" for other devices.
func diskOf(e uevent.Event) string {
	if e.Subsystem == "block" && e.DevType == "partition" {
		return path.Dir(e.DevPath)
	}
	return ""
}

// enqueue puts a job behind the others of its device.
func (s *state) enqueue(j job) {
	s.number++
	j.number = s.number
	if n, err := strconv.ParseUint(j.event.Get("SEQNUM"), 10, 64); err == nil {
		s.sequence = max(s.sequence, n)
	}
	at := j.event.DevPath
	s.queues[at] = append(s.queues[at], &j)
	if len(s.queues[at]) == 1 {
		s.consider(at)
	}
}

// consider makes a device's first job ready, unless it has to wait for those that its disk had before.
func (s *state) consider(at string) {
	j, disk := s.queues[at][0], diskOf(s.queues[at][0].event)
	if before := s.queues[disk]; disk != "" && len(before) > 0 && before[0].number < j.number {
		s.waiting[disk] = append(s.waiting[disk], at)
		return
	}
	if Later(j.event) {
		s.later = append(s.later, at)
		return
	}
	s.ready = append(s.ready, at)
}

// usualPartitions is how many partitions a disk has at most, as a rule: Linux had numbers for 15 of a SCSI disk until
// 2008.
const usualPartitions = 15

// Later says of a device that nobody waits for it: it is one of very many partitions. A disk can have 255, each of
// which takes as long as any other device.
func Later(e uevent.Event) bool {
	number, err := strconv.Atoi(e.Get("PARTN"))
	return e.Subsystem == "block" && err == nil && number > usualPartitions
}

// dispatch begins jobs. What has time is done when there is nothing else, one at a time, with pauses.
func (s *state) dispatch() {
	for len(s.ready) > 0 && s.running < s.Workers {
		at := s.ready[0]
		s.ready = s.ready[1:]
		s.begin(s.queues[at][0])
	}
	for s.idle && s.pause == nil && len(s.later) > 0 && len(s.ready) == 0 && s.running == 0 {
		j := s.queues[s.later[0]][0]
		s.later = s.later[1:]
		j.began = time.Now()
		s.begin(j)
	}
}

// superseded says of the first of a device's jobs that a later one makes its work useless. Of a thousand events about
// a device only the last makes work.
func superseded(queue []*job) bool {
	if len(queue) > 1 && queue[0].event.Action == "change" && queue[1].event.Action == "change" {
		return true
	}
	return slices.ContainsFunc(queue[1:], func(j *job) bool { return j.event.Action == "remove" })
}

// begin does a job, or has a goroutine do it.
func (s *state) begin(j *job) {
	at := j.event.DevPath
	if j.event.Action == "move" {
		s.move(j.event)
	}
	old := s.records.get(at)
	switch {
	case superseded(s.queues[at]):
		s.end(j, old)
	case j.event.Action == "remove":
		s.forget(old)
		s.end(j, old)
	case !Concerns(j.event):
		s.grant(j.event)
		s.end(j, nil)
	default:
		s.running++
		b := &builder{
			attrs: newAttributes(s.Sys), event: j.event, disk: s.records.get(diskOf(j.event)), known: s.records,
		}
		// With another number it is another disk, or another disc.
		if old != nil && old.event.Get("DISKSEQ") == j.event.Get("DISKSEQ") {
			b.answer = old.answer
		}
		_, silent := s.silent[at]
		guarded.Go(s.stop, func() { s.work(j, b, !silent) })
	}
}

// work describes a device. It asks it only when it may, and says so when there is no answer for long.
func (s *state) work(j *job, b *builder, mayAsk bool) {
	ask := mayAsk && j.event.Subsystem == "block" && j.event.DevName != "" && probed(b.attrs, j.event.DevPath)
	if !ask {
		s.send(answer{job: j, said: build(b), told: b.answer, disk: b.disk})
		return
	}
	without := *b
	without.attrs = newAttributes(s.Sys) // the other one is in use
	goOn := sync.OnceFunc(func() {
		s.send(answer{job: j, said: build(&without), told: without.answer, disk: b.disk, waiting: true})
	})
	timer := time.AfterFunc(s.Patience, func() {
		s.Log.Warn("device", "name", j.event.DevName, "err", "it does not answer; a dying disk?")
		goOn()
	})
	slow := func() {
		timer.Stop()
		goOn()
	}
	told := s.Ask(path.Join(s.Dev, j.event.DevName), slow)
	timer.Stop()
	b.answer = &told
	s.send(answer{job: j, said: build(b), told: &told, disk: b.disk})
}

func (s *state) send(a answer) {
	select {
	case s.answers <- a:
	case <-s.stop.Done():
	}
}

// answered takes in what has come of a job.
func (s *state) answered(a answer) {
	j := a.job
	switch {
	case a.waiting && j.ended: // the answer came in the same moment
		return
	case a.waiting:
		s.silent[j.event.DevPath] = j.number
	case j.ended:
		s.late(a)
		return
	}
	s.running--
	s.end(j, s.apply(j, a))
}

// late takes in the answer of a device that was silent. If there were events meanwhile, it is asked again.
func (s *state) late(a answer) {
	at := a.job.event.DevPath
	if s.silent[at] == a.job.number {
		delete(s.silent, at)
	}
	rec := s.records.get(at)
	if rec == nil || s.silent[at] != 0 {
		return
	}
	s.Log.Debug("device", "name", rec.event.DevName, "answer", "late")
	if rec.job == a.job.number {
		changed := rec.event.WithAction("change")
		rec = s.apply(&job{event: changed, number: rec.job}, a)
		s.announce(changed, rec)
		s.tell(changed)
		return
	}
	s.again(rec)
}

// again has a device worked on once more, as if it had changed.
func (s *state) again(rec *record) {
	if tell := s.report[rec.event.DevPath]; tell != nil {
		s.enqueue(job{event: rec.event.WithAction("change"), done: tell})
	}
}

// tell reports a change that was found out later.
func (s *state) tell(e uevent.Event) {
	if tell := s.report[e.DevPath]; tell != nil {
		tell(e)
	}
}

// apply gives a device what was said of it and returns its new record.
func (s *state) apply(j *job, a answer) *record {
	old := s.records.get(j.event.DevPath)
	rec := &record{
		description: a.said, event: j.event, id: deviceID(j.event), answer: a.told, job: j.number,
		initialized: monotonic(),
	}
	var had []string
	if old != nil {
		rec.initialized, had = old.initialized, old.claims()
		if old.id != rec.id {
			s.problem(j.event, s.database.remove(old.id))
		}
	}
	rec.links = slices.Compact(slices.Sorted(slices.Values(rec.links)))
	s.grant(j.event)
	s.problem(j.event, s.links.update(j.event.DevPath, rec.node(), had, rec.claims(), rec.priority))
	s.records.put(rec)
	if rec.id != "" {
		s.problem(j.event, s.database.put(rec.id, rec.entry()))
	}
	s.addNames(rec)
	if s.Watch != nil && a.told != nil {
		s.Watch.add(j.event.DevPath, rec.node())
	}
	if a.told != nil && a.told.Err != nil {
		s.Log.Debug("device", "name", j.event.DevName, "err", a.told.Err)
	}
	if j.done != nil {
		s.report[j.event.DevPath] = j.done
	}
	s.followers(old, rec)
	if s.outdated(rec, a.disk) {
		s.again(rec)
	}
	return rec
}

// outdated says of a description that what it rests on has changed while it was made.
func (s *state) outdated(rec, disk *record) bool {
	if now := s.records.get(diskOf(rec.event)); now != nil && now != disk {
		return disk == nil || differs(disk, now)
	}
	if rec.member || rec.event.DevType != "disk" || !isArray(path.Base(rec.event.DevPath)) {
		return false
	}
	return s.records.member(newAttributes(s.Sys).list(rec.event.DevPath, "slaves")) != nil
}

// followers has those devices looked at again whose description rests on one that has changed: the partitions of a
// disk, and the array of a member.
func (s *state) followers(old, rec *record) {
	if old != nil && differs(old, rec) {
		for _, partition := range s.records.partitions(rec.event.DevPath) {
			s.again(partition)
		}
	}
	if rec.isMember() && (old == nil || !old.isMember()) {
		for _, array := range s.records.arrays() {
			s.again(array)
		}
	}
}

// differs says whether a disk's partitions have to be looked at again.
func differs(a, b *record) bool {
	var had, has Answer
	if a.answer != nil {
		had = *a.answer
	}
	if b.answer != nil {
		has = *b.answer
	}
	return !slices.Equal(a.properties, b.properties) || !slices.Equal(a.links, b.links) ||
		!reflect.DeepEqual(had.Content.Table, has.Content.Table)
}

// addNames gives a network interface its alternative names. It may have to wait for a driver, which nobody else shall.
func (s *state) addNames(rec *record) {
	index, err := strconv.Atoi(rec.event.Get("IFINDEX"))
	if len(rec.altNames) == 0 || err != nil {
		return
	}
	guarded.Go(s.stop, func() {
		if err := s.AddNames(index, rec.altNames); err != nil {
			s.Log.Debug("device", "name", rec.event.Interface, "err", err)
		}
	})
}

// grant gives a new node its owner and mode.
func (s *state) grant(e uevent.Event) { s.problem(e, grantNew(s.Dev, e)) }

// problem tells what went wrong with a device.
func (s *state) problem(e uevent.Event, err error) {
	if err != nil {
		s.Log.Warn("device", "name", path.Base(e.DevPath), "err", err)
	}
}

// forget takes away all that a device has.
func (s *state) forget(rec *record) {
	if rec == nil {
		return
	}
	at := rec.event.DevPath
	err := errors.Join(s.links.update(at, rec.node(), rec.claims(), nil, 0), s.database.remove(rec.id))
	s.problem(rec.event, err)
	s.records.remove(at)
	delete(s.report, at)
	if s.Watch != nil {
		s.Watch.remove(at)
	}
}

// move takes in that a network interface has another name: what is known of it is under the old one.
func (s *state) move(e uevent.Event) {
	if old := s.records.get(e.Get("DEVPATH_OLD")); old != nil {
		s.records.remove(old.event.DevPath)
		delete(s.report, old.event.DevPath)
		moved := *old
		moved.event.DevPath = e.DevPath
		s.records.put(&moved)
	}
}

// end tells of an event that was worked on, and makes the next jobs ready.
func (s *state) end(j *job, rec *record) {
	at := j.event.DevPath
	j.ended = true
	if !j.began.IsZero() { // others have as much of the processors as these
		s.pause = time.After(time.Since(j.began))
	}
	// What coldplug finds has no number. At boot nobody listens, and later nothing is new about most of it.
	if j.event.Get("SEQNUM") != "" || rec != nil && rec.job == j.number {
		s.announce(j.event, rec)
	}
	j.done(j.event)
	s.queues[at] = s.queues[at][1:]
	if len(s.queues[at]) > 0 {
		s.consider(at)
	} else {
		delete(s.queues, at)
	}
	released := s.waiting[at]
	delete(s.waiting, at)
	for _, partition := range released {
		s.consider(partition)
	}
}

// announce tells those who listen to udev.
func (s *state) announce(e uevent.Event, rec *record) {
	sequence := strconv.FormatUint(max(s.sequence, 1), 10)
	s.Announce(Message(e.Subsystem, e.DevType, announcement(e, rec, sequence)))
}

// monotonic is the time that udev's database has, microseconds.
func monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 1
	}
	return max(t.Nano()/1000, 1)
}
