package netcfg

import (
	"context"
	"errors"
	"testing"
)

// A manager whose Run has ended can run again, with what was applied last.
func TestRunAgain(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		e := manage(t, Options{Network: Network{Interfaces: []Interface{{Bridge: "first", NIC: NoNIC}}}, Sys: wired()})
		e.apply(Network{Interfaces: []Interface{{Bridge: "second", NIC: NoNIC}}})
		e.stop()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.m.Run(ctx) }()
		e.apply(Network{Interfaces: []Interface{{Bridge: "second", NIC: NoNIC}, {Bridge: "third", NIC: NoNIC}}})
		for name, want := range map[string]bool{"first": false, "second": true, "third": true} {
			if _, err := (Bridge{name}).link(); (err == nil) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}
