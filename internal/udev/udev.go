// Package udev is the device manager that programs and people know from other systems: links such as
// /dev/disk/by-label/NAME, owners of nodes, what is known of each device in udev's database below /run/udev, and
// word of it to programs that use libudev. Package uevent has it work on each event before anybody else hears of it,
// so that whoever is told of a disk finds its links.
//
// There are no rules files: what udev's default rules say of the devices that matter here is code (rules.go).
//
// Disks are read to see what they hold (package blkid), each in a goroutine of its own. One that does not answer
// holds up nobody for longer than Config.Patience: it has its links by name and place then, and those by content when
// it answers.
package udev

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/zerodisc/zerodisc/internal/uevent"
)

// Config is what a Manager works with.
type Config struct {
	Sys fs.FS  // /sys
	Dev string // /dev
	Run string // RunDir

	// Ask asks a block device by its node what it is and holds. It may take as long as a dying disk does. Where it
	// knows that it will take long, it calls slow, and nobody waits for it any more.
	Ask func(node string, slow func()) Answer
	// Announce sends a message to those that listen to udev.
	Announce func(message []byte)
	// AddNames gives a network interface alternative names. Those that it has already are no error.
	AddNames func(index int, names []string) error

	// Watch, if set, watches those that are read.
	Watch *Watch

	// Idle is closed when there is time for devices that have it (Later); nil is always.
	Idle <-chan struct{}

	Patience time.Duration // for one device's answer; 0 is 3 s
	Workers  int           // how many devices are worked on at once; 0 is 8
	Log      *slog.Logger
}

// Manager works on events. All of its state belongs to the goroutine in Run.
type Manager struct {
	config Config

	mu    sync.Mutex
	inbox []job         // taken in by Handle, not yet seen by Run
	wake  chan struct{} // holds a value while inbox may have something
}

// New returns a manager; nothing happens before Run.
func New(config Config) *Manager {
	config.Patience = cmp.Or(config.Patience, 3*time.Second)
	config.Workers = cmp.Or(config.Workers, 8)
	config.Log = cmp.Or(config.Log, slog.Default())
	return &Manager{config: config, wake: make(chan struct{}, 1)}
}

// Handle takes in an event and returns at once. When the device has its links and its entry, done gets the event.
// What is found out later done gets as a "change" of the device.
func (m *Manager) Handle(e uevent.Event, done func(uevent.Event)) {
	m.mu.Lock()
	m.inbox = append(m.inbox, job{event: e, done: done})
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (m *Manager) take() []job {
	m.mu.Lock()
	defer m.mu.Unlock()
	jobs := m.inbox
	m.inbox = nil
	return jobs
}

// Run works until ctx ends. It may be called once.
func (m *Manager) Run(ctx context.Context) {
	s := newState(ctx, m.config)
	idle := m.config.Idle
	s.idle = idle == nil
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
			for _, j := range m.take() {
				s.enqueue(j)
			}
		case a := <-s.answers:
			s.answered(a)
		case <-idle:
			s.idle, idle = true, nil
		case <-s.pause:
			s.pause = nil
		}
		s.dispatch()
	}
}
