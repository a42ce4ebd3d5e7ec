package netcfg

import "context"

// session is a running DHCP client.
type session struct {
	client *Client
	states chan State
	cancel context.CancelFunc
	done   chan struct{}
}

// startSession starts a DHCP client for the interface that is to have the address.
func (m *Manager) startSession(ctx context.Context) *session {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{states: make(chan State), cancel: cancel, done: make(chan struct{})}
	s.client = NewClient(ClientOptions{
		Interface: m.host.ifname,
		Port:      m.nic.Index,
		Hostname:  m.options.Hostname,
		Timing:    m.timing,
		Report: func(state State) {
			select {
			case s.states <- state:
			case <-ctx.Done():
			}
		},
	})
	go func() {
		defer close(s.done)
		s.client.Run(ctx)
	}()
	return s
}

// reports returns the channel of the client's reports; of no client, one that never has any.
func (s *session) reports() <-chan State {
	if s == nil {
		return nil
	}
	return s.states
}

// hangUp ends the client, if any, and waits until it is gone.
func (m *Manager) hangUp() {
	if m.session == nil {
		return
	}
	m.session.cancel()
	<-m.session.done
	m.session = nil
}
