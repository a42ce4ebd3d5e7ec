package sshd

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/zerodisc/zerodisc/internal/host"
)

// Service keeps the server in step with the configuration and the state volume. It runs in init; New makes one.
type Service struct {
	ServiceConfig
	options  chan Options
	on       bool    // the server's process was switched on
	made     bool    // a one-time password
	last     Options // that were applied
	volume   volume
	reported map[string]bool // problems
}

// ServiceConfig is what a Service works with.
type ServiceConfig struct {
	Dir    string                // of the server's files; it is made
	Kept   string                // directory on the state volume, relative to it, where the host key outlasts the boot
	Random <-chan struct{}       // closed when the kernel has random numbers
	Switch func(on bool) error   // starts the server's process, which starts itself again from then on, or ends it
	Show   func(password string) // shows a one-time password to who stands at the machine, and to nobody else
	Tell   func(host.Fact)
	// Problem reports what is wrong, each time with other words.
	Problem func(err error, remedy string)
	Made    bool          // there was a one-time password before: an init that has crashed has made it
	Retry   time.Duration // after a failure to do what the options say; 10 s
}

// volume is the state volume, as far as it matters here.
type volume struct {
	dir      string // "" while there is none
	readOnly bool
}

// NewService returns a Service, which does nothing until Run.
func NewService(config ServiceConfig) *Service {
	config.Retry = cmp.Or(config.Retry, listenPause)
	return &Service{
		ServiceConfig: config, options: make(chan Options, 1), made: config.Made, reported: map[string]bool{},
	}
}

// Apply makes the options known. Those that come soon take the place of earlier ones. One goroutine at a time may call
// it.
func (s *Service) Apply(o Options) {
	select {
	case <-s.options:
	default:
	}
	s.options <- o
}

// Run applies options, and looks after the host key, until ctx ends. updates are the host's state.
func (s *Service) Run(ctx context.Context, updates <-chan host.Update) {
	select {
	case <-s.Random:
	case <-ctx.Done():
		return
	}
	s.note(<-updates) // the present state
	var retry <-chan time.Time
	for known := false; ; {
		select {
		case s.last = <-s.options:
			known = true
		case update := <-updates:
			if !s.note(update) || !known {
				continue
			}
		case <-retry:
		case <-ctx.Done():
			return
		}
		retry = nil
		if err := s.apply(s.last); err != nil {
			s.Tell(host.SSH{Problem: err.Error()})
			retry = time.After(s.Retry)
		}
	}
}

// note says whether the state volume has changed.
func (s *Service) note(update host.Update) bool {
	now := volume{update.Host.State.Mount, update.Host.State.ReadOnly}
	changed := now != s.volume
	s.volume = now
	return changed
}

// apply has the server do what the options say.
func (s *Service) apply(o Options) error {
	o, errs := o.Check()
	for _, err := range errs {
		s.problem(err, "it is ignored")
	}
	if o.Off {
		return s.end()
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	if len(o.HostKeys) == 0 {
		key, err := s.hostKey()
		if err != nil {
			return err
		}
		o.HostKeys = []string{key}
	}
	if err := s.oneTime(o); err != nil {
		return err
	}
	if err := WriteOptions(s.Dir, o); err != nil {
		return err
	}
	if s.on {
		return nil // it follows the options
	}
	if err := s.Switch(true); err != nil {
		return err
	}
	s.on = true
	return nil
}

// end ends the server, and with it all connections.
func (s *Service) end() error {
	s.Tell(host.SSH{Off: true})
	if err := s.Switch(false); err != nil {
		return err
	}
	s.on = false
	return errors.Join(DropOneTime(s.Dir), removeOptions(s.Dir))
}

// oneTime makes a one-time password where nobody could log in otherwise, once, and drops it again when the
// configuration, which may come from the network, has other means.
func (s *Service) oneTime(o Options) error {
	switch {
	case !o.HasCredential() && !o.NoOneTime && !s.made:
		password, err := NewOneTime(s.Dir)
		if err == nil {
			s.made = true
			s.Show(password)
		}
		return err
	case o.HasCredential() && s.made:
		s.made = false
		return DropOneTime(s.Dir)
	}
	return nil
}

// hostKey is the key that the state volume has, or that this boot has made, which the state volume gets then.
func (s *Service) hostKey() (string, error) {
	kept := filepath.Join(s.volume.dir, s.Kept)
	if s.volume.dir == "" {
		return s.bootKey()
	}
	key, err := ReadHostKey(kept)
	if err == nil {
		return key, SaveHostKey(s.Dir, key) // it stays when the volume goes
	}
	if !errors.Is(err, fs.ErrNotExist) {
		s.problem(err, "another host key is used; remove the file, and this one is kept there")
		return s.bootKey()
	}
	if key, err = s.bootKey(); err != nil || s.volume.readOnly {
		return key, err
	}
	if err := SaveHostKey(kept, key); err != nil {
		s.problem(err, "the host has another key after the next boot")
	}
	return key, nil
}

// bootKey is the key of this boot.
func (s *Service) bootKey() (string, error) {
	key, err := ReadHostKey(s.Dir)
	if err == nil {
		return key, nil
	}
	if key, err = NewHostKey(); err != nil {
		return "", err
	}
	return key, SaveHostKey(s.Dir, key)
}

// problem reports a problem once.
func (s *Service) problem(err error, remedy string) {
	if text := err.Error(); !s.reported[text] {
		s.reported[text] = true
		s.Problem(err, remedy)
	}
}

// Heard is the fact that an event of the server's is, nil for none.
func Heard(e Event) host.Fact {
	switch e.Kind {
	case Listening:
		return host.SSH{Port: e.Port, Fingerprints: e.Fingerprints, Methods: e.Methods, Problem: e.Problem}
	case LoggedIn:
		return host.SSHLogin{From: e.From, Method: e.Method, Others: e.Others}
	case Refused:
		return host.SSHRefused{From: e.From, Passwords: e.Count, Others: e.Others}
	case Crowded:
		return host.SSHRefused{From: e.From, Connections: e.Count, Others: e.Others}
	}
	return nil
}
